//! Logs once when exports to a collector fail, and when they succeed again. The SDK logs each
//! failed batch, without the address.

use super::{backlog::Backlog, variables::setting};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{SpanData, SpanExporter},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tracing::{info, warn};
use url::Url;

/// How often the log repeats that exports fail.
const REMINDER_INTERVAL: Duration = Duration::from_mins(1);

/// The end of the SDK's error if the collector responds with this status. A test in
/// `collector_trouble.rs` fails if it changes.
const UNKNOWN_PATH: &str = "status code: 404";

/// An exporter whose failures are logged.
#[derive(Debug)]
pub struct Reported<E> {
    next: E,
    signal: String,
    endpoint: String,
    /// How to fix the endpoint if the collector does not know the path.
    hint: String,
    /// The backlog that exported spans leave.
    backlog: Option<Arc<Backlog>>,
    /// When the last warning was logged, if exports fail.
    warned: Mutex<Option<Instant>>,
}

impl<E> Reported<E> {
    /// `signal` is written as in the names of variables.
    pub fn new(next: E, signal: &str) -> Self {
        let (name, endpoint) = setting(signal, "ENDPOINT").unwrap_or_default();
        let is_whole = name.contains(signal);
        let signal = signal.to_lowercase();
        let hint = if is_whole {
            format!("{name} is a whole URL, such as http://collector:4318/v1/{signal}")
        } else {
            format!("/v1/{signal} is added to {name}, which is a URL such as http://collector:4318")
        };
        let endpoint = without_password(&endpoint);
        Self { next, signal, endpoint, hint, backlog: None, warned: Mutex::default() }
    }

    pub fn out_of(self, backlog: &Arc<Backlog>) -> Self {
        Self { backlog: Some(Arc::clone(backlog)), ..self }
    }

    fn report(&self, result: OTelSdkResult) -> OTelSdkResult {
        let Self { signal, endpoint, hint, .. } = self;
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        match (&result, *warned) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => {
                *warned = None;
                info!("Sending {signal} to {endpoint} works again");
            }
            (Err(_), Some(at)) if at.elapsed() < REMINDER_INTERVAL => {}
            (Err(cause), _) => {
                *warned = Some(Instant::now());
                let hint = cause.to_string().ends_with(UNKNOWN_PATH).then_some(hint);
                warn!(%cause, hint, "Cannot send {signal} to {endpoint}");
            }
        }
        result
    }
}

fn without_password(endpoint: &str) -> String {
    match Url::parse(endpoint) {
        Ok(mut url) if url.has_host() => {
            let _ = url.set_password(None).and_then(|()| url.set_username(""));
            url.to_string()
        }
        // Without a scheme, such as `user:password@host:4317`.
        _ => endpoint.rsplit('@').next().unwrap_or_default().to_owned(),
    }
}

impl<E: SpanExporter> SpanExporter for Reported<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let result = self.next.export(batch).await;
        if let Some(backlog) = &self.backlog {
            backlog.remove(count);
        }
        self.report(result)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Reported<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.report(self.next.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Reported<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.report(self.next.export(metrics).await)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.next.temporality()
    }
}
