//! How a collector is reached, signal by signal, as far as the SDK leaves that out: which protocols
//! there are, and whose certificates are trusted.

use super::otlp::variable;
use anyhow::{Context, bail};
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use reqwest::blocking::Client;
use std::{fs, thread};
use url::Url;

pub enum Transport {
    Grpc(ClientTlsConfig),
    /// With a client of its own where the SDK's would not trust the collector.
    Http(Option<Client>),
}

impl Transport {
    /// # Errors
    /// When a variable cannot be used.
    pub fn of(signal: &str) -> anyhow::Result<Self> {
        let protocol = setting(signal, "PROTOCOL");
        let grpc = match protocol.as_deref() {
            None | Some("http/protobuf") => false,
            Some("grpc") => true,
            Some(other) => {
                bail!("OTEL_EXPORTER_OTLP_PROTOCOL: {other:?} is neither grpc nor http/protobuf")
            }
        };
        let endpoint = setting(signal, "ENDPOINT").unwrap_or_default();
        let url = Url::parse(&endpoint).ok();
        let is_http = url.is_some_and(|url| matches!(url.scheme(), "http" | "https"));
        let is_host = grpc && !endpoint.contains("//");
        if !is_http && !is_host {
            // It may hold a password, so it is not shown.
            bail!("OTEL_EXPORTER_OTLP_ENDPOINT: not an http:// or https:// URL");
        }
        let certificate = setting(signal, "CERTIFICATE")
            .map(|file| fs::read(&file).with_context(|| format!("cannot read {file}")))
            .transpose()
            .context("OTEL_EXPORTER_OTLP_CERTIFICATE")?;
        if grpc {
            let tls = ClientTlsConfig::new().with_enabled_roots();
            return Ok(Self::Grpc(match certificate {
                Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
                None => tls,
            }));
        }
        Ok(Self::Http(certificate.map(|pem| client(&pem)).transpose()?))
    }
}

/// A variable for one signal, or else for all.
pub fn setting(signal: &str, name: &str) -> Option<String> {
    variable(&format!("OTEL_EXPORTER_OTLP_{signal}_{name}"))
        .or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
}

fn client(pem: &[u8]) -> anyhow::Result<Client> {
    let certificates =
        reqwest::Certificate::from_pem_bundle(pem).context("OTEL_EXPORTER_OTLP_CERTIFICATE")?;
    let build = || Client::builder().tls_certs_merge(certificates).build();
    // It makes a runtime of its own, which must not be done where one is entered.
    let client = thread::spawn(build).join().map_err(|_| anyhow::anyhow!("no HTTP client"))?;
    client.context("OTEL_EXPORTER_OTLP_CERTIFICATE")
}
