//! Asking a server on this machine whether it is ready, for containers that have nothing else in
//! them to ask with.

use crate::config::Config;
use anyhow::Context;
use reqwest::{StatusCode, blocking::Client};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// How long the answer may take; less than the 3 s that the image allows for the whole check.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `/readyz` of the server with these settings says.
///
/// # Errors
/// When it cannot be reached or is not ready.
pub fn run(config: &Config) -> anyhow::Result<String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let address = reachable(config.ops_addr.unwrap_or(config.listen_addr));
    anyhow::ensure!(address.port() != 0, "port 0 is a different one each time");
    let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let asked = client.get(format!("http://{address}/readyz")).send();
    let answer = asked.with_context(|| format!("nothing answers at {address}"))?;
    let status = answer.status();
    let report = answer.text().context("the answer broke off")?;
    anyhow::ensure!(status == StatusCode::OK, "not ready: {report}");
    Ok(report)
}

/// The unspecified address is where to listen, not where to ask.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
