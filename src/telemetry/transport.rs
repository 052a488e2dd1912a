//! The transport to a collector, for each signal: the protocol, and the trusted certificates. The
//! SDK does not read these variables.

use super::variables::setting;
use crate::config::setting::read;
use anyhow::{Context, bail};
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use reqwest::blocking;
use std::{path::Path, thread, time::Duration};
use url::Url;

/// The timeout of an export, the default of the specification.
const TIMEOUT_MS: u64 = 10_000;

pub enum Transport {
    Grpc(ClientTlsConfig),
    Http(blocking::Client),
}

impl Transport {
    /// # Errors
    /// If a variable cannot be used.
    pub fn of(signal: &'static str) -> anyhow::Result<Self> {
        let grpc = match setting(signal, "PROTOCOL") {
            None => false,
            Some((name, protocol)) => match &*protocol {
                "http/protobuf" => false,
                "grpc" => true,
                other => bail!("{name}: {other:?} is neither grpc nor http/protobuf"),
            },
        };
        let (name, endpoint) = setting(signal, "ENDPOINT").unwrap_or_default();
        let url = Url::parse(&endpoint).ok();
        let is_http = url.is_some_and(|url| matches!(url.scheme(), "http" | "https"));
        let is_host = grpc && !endpoint.contains("//");
        if !is_http && !is_host {
            bail!(
                "{name} is not an http:// or https:// URL, such as http://localhost:4318; \
                 its value is not shown because it may contain a password"
            );
        }
        let certificate = match setting(signal, "CERTIFICATE") {
            Some((name, file)) => {
                let content = read(Path::new(&file));
                Some(content.with_context(|| format!("{name}: cannot read {file}"))?)
            }
            None => None,
        };
        if grpc {
            let tls = ClientTlsConfig::new().with_enabled_roots();
            return Ok(Self::Grpc(match certificate {
                Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
                None => tls,
            }));
        }
        Ok(Self::Http(client(signal, certificate.as_deref())?))
    }
}

/// Creates the HTTP client for a collector. `pem` contains certificates to trust in addition to the
/// system's.
fn client(signal: &str, pem: Option<&[u8]>) -> anyhow::Result<blocking::Client> {
    const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE: not PEM";
    let certificates = pem.map(reqwest::Certificate::from_pem_bundle).transpose();
    let certificates = certificates.context(CERTIFICATE)?.unwrap_or_default();
    let timeout = setting(signal, "TIMEOUT").and_then(|(_, timeout)| timeout.parse().ok());
    let timeout = timeout.filter(|timeout| *timeout > 0);
    let client = blocking::Client::builder()
        .timeout(Duration::from_millis(timeout.unwrap_or(TIMEOUT_MS)))
        .tls_certs_merge(certificates);
    // The blocking client creates its own runtime, which must not happen inside another one.
    let built = thread::spawn(|| client.build()).join();
    built.map_err(|_| anyhow::anyhow!("no HTTP client"))?.context(CERTIFICATE)
}
