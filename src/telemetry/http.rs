//! The HTTP client that sends to a collector. When the collector does not know the path, it says
//! which setting is wrong, once.

use super::transport::setting;
use anyhow::Context;
use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::{StatusCode, blocking};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// How long one export may take, the default of the specification.
const TIMEOUT_MS: u64 = 10_000;

#[derive(Debug)]
pub struct Client {
    inner: blocking::Client,
    signal: &'static str,
    has_warned: AtomicBool,
}

impl Client {
    /// `pem` holds certificates to trust besides those that the system trusts.
    ///
    /// # Errors
    /// When a variable cannot be used.
    pub fn new(signal: &'static str, pem: Option<&[u8]>) -> anyhow::Result<Self> {
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
        let inner = built.map_err(|_| anyhow::anyhow!("no HTTP client"))?.context(CERTIFICATE)?;
        Ok(Self { inner, signal, has_warned: AtomicBool::new(false) })
    }

    fn warn(&self, path: &str) {
        let signal = self.signal.to_lowercase();
        let (name, _) = setting(self.signal, "ENDPOINT").unwrap_or_default();
        let hint = if name.contains(self.signal) {
            format!("{name} is a whole URL, such as http://collector:4318/v1/{signal}")
        } else {
            format!("/v1/{signal} is added to {name}, which is a URL such as http://collector:4318")
        };
        tracing::warn!("The collector takes no {signal} at {path} (404): {hint}");
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let path = request.uri().path().to_owned();
        let response = self.inner.send_bytes(request).await?;
        if response.status() != StatusCode::NOT_FOUND {
            self.has_warned.store(false, Ordering::Relaxed);
            return Ok(response);
        }
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            self.warn(&path);
        }
        // The SDK would write two lines for each export, which say less.
        Ok(Response::new(Bytes::new()))
    }
}
