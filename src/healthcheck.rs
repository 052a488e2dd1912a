//! Checks whether a server on this machine is ready, for container images without another client.

use crate::config::Config;
use anyhow::Context;
use reqwest::{StatusCode, blocking::Client};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// The maximum time for the response; less than the 3 s that the image allows for the whole check.
const PATIENCE: Duration = Duration::from_secs(2);

/// Returns the response of `/readyz` of the server with these settings.
///
/// # Errors
/// If the server is unreachable or not ready.
pub fn run(config: &Config) -> anyhow::Result<String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let address = config.ops_addr.unwrap_or(config.listen_addr);
    anyhow::ensure!(
        address.port() != 0,
        "cannot check a server on port 0, whose real port is unknown"
    );
    let addresses = reachable(address);
    let client = Client::builder().no_proxy().timeout(PATIENCE);
    let client = client.resolve_to_addrs("localhost", &addresses).build()?;
    let asked = client.get(format!("http://localhost:{}/readyz", address.port())).send();
    let answer = asked.with_context(|| format!("no response from {address}"))?;
    let status = answer.status();
    let report = answer.text().context("the response is incomplete")?;
    anyhow::ensure!(status == StatusCode::OK, "not ready: {report}");
    Ok(report)
}

/// Returns the addresses to try. For an unspecified address, these are the loopback addresses: of
/// both families if the server listens on both, because the machine may have only one.
fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let (v4, v6) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
    let ips = match address.ip() {
        ip if !ip.is_unspecified() => vec![ip],
        IpAddr::V4(_) => vec![v4],
        IpAddr::V6(_) => vec![v4, v6],
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, address.port())).collect()
}
