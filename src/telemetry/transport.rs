//! How a collector is reached, signal by signal, as far as the SDK leaves that out: which protocols
//! there are, and whose certificates are trusted.

use super::{http_client, variables::setting};
use crate::config::setting::read;
use anyhow::{Context, bail};
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use reqwest::blocking;
use std::path::Path;
use url::Url;

pub enum Transport {
    Grpc(ClientTlsConfig),
    Http(blocking::Client),
}

impl Transport {
    /// # Errors
    /// When a variable cannot be used.
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
                 it is not shown, as it may hold a password"
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
        Ok(Self::Http(http_client::client(signal, certificate.as_deref())?))
    }
}
