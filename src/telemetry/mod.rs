//! Recording and sending of metrics, traces and the log. The modules above decide what to record.
//!
//! docs/observability.md lists every name, and a test checks it.

// Metrics and traces of a request, of a batch of requests and of a database call.
mod request;

mod batch;

mod query;

mod trace_context;

// The log on standard error: lines with trace ids, and throttled.
mod log;

mod line;

mod throttle;

// Exports to a collector, and their failures.
mod otlp;

mod delivery;

mod backlog;

mod transport;

mod variables;

// The instruments that the server records into.
mod instruments;

mod response_times;

mod excerpt;

pub use batch::batch;
pub use excerpt::excerpt;
pub use instruments::{apdex_seconds, meter};
pub use log::fatal;
pub use otlp::instance;
pub use query::{Observation, Query};
pub use request::{ActiveRequest, active_requests};
pub use response_times::ResponseTimes;
pub use throttle::{Kind, admits};
pub use trace_context::{current_span, trace_id, trace_id_of_caller};

use crate::config::Config;
use anyhow::Context;
use backlog::Backlog;
use opentelemetry::global;
use opentelemetry_sdk::{
    Resource, logs::SdkLoggerProvider, metrics::SdkMeterProvider, trace::SdkTracerProvider,
};
use prometheus::Registry;
use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};
use tracing_appender::non_blocking::{ErrorCounter, WorkerGuard};

/// How long a shutdown waits for the collector to take the remaining telemetry. Each signal has its
/// own thread, because the SDK's shutdown blocks for five seconds or more.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The providers to flush at the end, and the sources of `/metrics` and `/stats`.
#[derive(Debug)]
pub struct Telemetry {
    pub registry: Registry,
    metrics: SdkMeterProvider,
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
    /// Writes the last lines when it is dropped.
    lines: WorkerGuard,
    /// Counts the lines that were lost because the reader of standard error is stuck.
    lost_lines: ErrorCounter,
    backlog: Option<Arc<Backlog>>,
}

impl Telemetry {
    /// Starts metrics, and logs and traces if they are enabled. Must run inside the runtime, which
    /// gRPC needs. The collector need not be reachable.
    ///
    /// # Errors
    /// If a setting cannot be used.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        // For https collectors. Fails harmlessly if the same provider is already installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let resource = otlp::resource().clone();
        let wanted = otlp::Wanted::from_env()?;
        let logs = wanted.logs.then(|| otlp::logs(resource.clone())).transpose()?;
        let (lines, lost_lines) = log::start(config, wanted.traces, logs.as_ref())?;
        variables::warn_of_unusable_values();
        // Before the traces, which count dropped spans.
        let registry = Registry::new();
        let metrics = metrics(&registry, resource.clone(), wanted.metrics)?;
        global::set_meter_provider(metrics.clone());
        tokio::spawn(throttle::keep_reporting());
        let traces = wanted.traces.then(|| otlp::traces(resource)).transpose()?;
        let (traces, backlog) = traces.unzip();
        if let Some(traces) = &traces {
            global::set_text_map_propagator(otlp::propagator());
            global::set_tracer_provider(traces.clone());
        }
        instruments::start(config.apdex_t);
        Ok(Self { registry, metrics, traces, logs, lines, lost_lines, backlog })
    }

    /// The total numbers of log lines that were left out and that were lost.
    pub fn dropped_lines(&self) -> impl Fn() -> [u64; 2] + Send + Sync + use<> {
        let lost = self.lost_lines.clone();
        move || [throttle::left_out_lines(), lost.dropped_lines() as u64]
    }

    /// The total number of requests not traced because too many spans wait for the collector.
    pub fn skipped_traces(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let backlog = self.backlog.clone();
        move || backlog.as_ref().map_or(0, |backlog| backlog.skipped())
    }

    /// Sends the remaining telemetry. Blocks for at most [`FLUSH_TIMEOUT`].
    pub fn stop(self) {
        let Self { metrics, traces, logs, lines, .. } = self;
        throttle::report();
        let mut flushes: Vec<Flush> = vec![Box::new(move || drop(metrics.shutdown()))];
        if let Some(traces) = traces {
            flushes.push(Box::new(move || drop(traces.shutdown())));
        }
        if let Some(logs) = logs {
            flushes.push(Box::new(move || drop(logs.shutdown())));
        }
        flush(flushes);
        drop(lines);
    }
}

type Flush = Box<dyn FnOnce() + Send>;

/// Runs all flushes in parallel and waits for them, for at most [`FLUSH_TIMEOUT`].
fn flush(flushes: Vec<Flush>) {
    let (done, all_done) = mpsc::channel();
    for flush in flushes {
        let done = done.clone();
        thread::spawn(move || {
            flush();
            drop(done);
        });
    }
    drop(done);
    // Nothing is sent: the channel closes when the last flush has ended.
    let _: Result<(), _> = all_done.recv_timeout(FLUSH_TIMEOUT);
}

fn metrics(
    registry: &Registry,
    resource: Resource,
    pushed: bool,
) -> anyhow::Result<SdkMeterProvider> {
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()
        .context("cannot set up /metrics")?;
    let mut provider = SdkMeterProvider::builder().with_resource(resource).with_reader(exporter);
    if pushed {
        provider = provider.with_periodic_exporter(otlp::metric_exporter()?);
    }
    Ok(provider.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_that_does_not_end_is_not_waited_for() {
        let (release, released) = mpsc::channel::<()>();
        let (ended, has_ended) = mpsc::channel();
        flush(vec![
            Box::new(move || {
                let _ = released.recv();
            }),
            Box::new(move || ended.send(()).unwrap()),
        ]);
        assert!(has_ended.recv().is_ok(), "the others have their time");
        drop(release);
    }
}
