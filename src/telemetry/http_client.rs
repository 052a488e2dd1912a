//! The HTTP client that sends to a collector.

use super::variables::setting;
use anyhow::Context;
use reqwest::blocking;
use std::{thread, time::Duration};

/// How long one export may take, the default of the specification.
const TIMEOUT_MS: u64 = 10_000;

/// `pem` holds certificates to trust besides those that the system trusts.
///
/// # Errors
/// When a variable cannot be used.
pub fn client(signal: &str, pem: Option<&[u8]>) -> anyhow::Result<blocking::Client> {
    const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE: not PEM";
    let certificates = pem.map(reqwest::Certificate::from_pem_bundle).transpose();
    let certificates = certificates.context(CERTIFICATE)?.unwrap_or_default();
    let timeout = setting(signal, "TIMEOUT").and_then(|(_, timeout)| timeout.parse().ok());
    let timeout = timeout.filter(|timeout| *timeout > 0);
    let client = blocking::Client::builder()
        .timeout(Duration::from_millis(timeout.unwrap_or(TIMEOUT_MS)))
        .tls_certs_merge(certificates);
    // It makes a runtime of its own, which must not be done where one is entered.
    let built = thread::spawn(|| client.build()).join();
    built.map_err(|_| anyhow::anyhow!("no HTTP client"))?.context(CERTIFICATE)
}
