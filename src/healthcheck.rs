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
    let address = config.ops_addr.unwrap_or(config.listen_addr);
    anyhow::ensure!(address.port() != 0, "port 0 is a different one each time");
    let addresses = reachable(address);
    let client = Client::builder().no_proxy().timeout(PATIENCE);
    let client = client.resolve_to_addrs("localhost", &addresses).build()?;
    let asked = client.get(format!("http://localhost:{}/readyz", address.port())).send();
    let answer = asked.with_context(|| format!("nothing answers at {address}"))?;
    let status = answer.status();
    let report = answer.text().context("the answer broke off")?;
    anyhow::ensure!(status == StatusCode::OK, "not ready: {report}");
    Ok(report)
}

/// Where to ask. An unspecified address is where to listen: a server there is asked at this
/// machine's own, of either family where it listens at both, since there may be only one.
fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let (v4, v6) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
    let ips = match address.ip() {
        ip if !ip.is_unspecified() => vec![ip],
        IpAddr::V4(_) => vec![v4],
        IpAddr::V6(_) => vec![v4, v6],
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, address.port())).collect()
}
