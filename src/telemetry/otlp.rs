//! Exports to a collector over OTLP, configured by the `OTEL_*` variables of the specification:
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
//!
//! The SDK reads most of them itself; this module handles the others. Without an endpoint nothing
//! is sent (the specification says localhost), because most small servers have no collector.

use super::{
    backlog::{self, Admission, Backlog},
    delivery::Reported,
    transport::Transport,
    variables::{is_name, setting, variable},
};
use anyhow::{Context, bail};
use opentelemetry::{
    KeyValue,
    propagation::{TextMapCompositePropagator, TextMapPropagator},
};
use opentelemetry_otlp::{
    LogExporter, MetricExporter, SpanExporter, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::{
    Resource,
    logs::SdkLoggerProvider,
    propagation::TraceContextPropagator,
    resource::{EnvResourceDetector, ResourceDetector, TelemetryResourceDetector},
    trace::{BatchConfigBuilder, BatchSpanProcessor, Config, SdkTracerProvider},
};
use std::sync::{Arc, LazyLock};
use sysinfo::System;
use uuid::Uuid;

/// The maximum number of spans that wait for the collector, the default of the specification.
const SPANS_MAX: usize = 2_048;

/// The maximum number of spans in an export, the default of the specification.
const BATCH_MAX: usize = 512;

const INSTANCE_ID: &str = "service.instance.id";
const HOST_NAME: &str = "host.name";

macro_rules! exporter {
    ($exporter:ident, $signal:literal) => {{
        let exporter = $exporter::builder();
        match Transport::of($signal)? {
            Transport::Grpc(tls) => exporter.with_tonic().with_tls_config(tls).build(),
            Transport::Http(client) => exporter.with_http().with_http_client(client).build(),
        }
        .map(|exporter| Reported::new(exporter, $signal))
        .context(concat!("OpenTelemetry's ", $signal))
    }};
}

/// The signals to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub traces: bool,
    pub metrics: bool,
    pub logs: bool,
}

impl Wanted {
    /// # Errors
    /// If a variable names an unknown exporter.
    pub fn from_env() -> anyhow::Result<Self> {
        let disabled =
            variable("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let wanted = |signal: &str| {
            let exporter = format!("OTEL_{signal}_EXPORTER");
            let exports = match variable(&exporter).as_deref() {
                None | Some("otlp") => true,
                Some("none") => false,
                // /metrics always exists.
                Some("prometheus") if signal == "METRICS" => false,
                Some(other) => bail!("{exporter}: {other:?} is unknown; use otlp or none"),
            };
            Ok(!disabled && exports && setting(signal, "ENDPOINT").is_some())
        };
        Ok(Self { traces: wanted("TRACES")?, metrics: wanted("METRICS")?, logs: wanted("LOGS")? })
    }
}

/// Returns the resource, which describes this process. `OTEL_RESOURCE_ATTRIBUTES` and
/// `OTEL_SERVICE_NAME` take precedence; manifests set the Kubernetes attributes with them.
pub fn resource() -> &'static Resource {
    static RESOURCE: LazyLock<Resource> = LazyLock::new(detect_resource);
    &RESOURCE
}

/// Identifies this replica: `service.instance.id` and `host.name` of the resource.
pub fn instance() -> [String; 2] {
    [INSTANCE_ID, HOST_NAME]
        .map(|key| resource().get(&key.into()).map_or_else(String::new, |it| it.to_string()))
}

fn detect_resource() -> Resource {
    let attributes = EnvResourceDetector::new().detect();
    let attributes = attributes
        .iter()
        .filter(|(key, _)| is_name(key.as_str()))
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()))
        .collect::<Vec<_>>();
    let builder = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", env!("CARGO_PKG_NAME")),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new(INSTANCE_ID, Uuid::now_v7().to_string()),
            KeyValue::new(HOST_NAME, System::host_name().unwrap_or_else(|_| "unknown".to_owned())),
        ])
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(attributes);
    match variable("OTEL_SERVICE_NAME") {
        Some(name) => builder.with_service_name(name).build(),
        None => builder.build(),
    }
}

/// Returns the known propagators of `OTEL_PROPAGATORS`. Baggage is ignored: this server does not
/// use it, and a client could fill the log with warnings about invalid baggage.
pub fn propagator() -> TextMapCompositePropagator {
    let names = variable("OTEL_PROPAGATORS").unwrap_or_else(|| "tracecontext".to_owned());
    let propagators = names.split(',').map(str::trim).filter_map(
        |name| -> Option<Box<dyn TextMapPropagator + Send + Sync>> {
            match name {
                "tracecontext" => Some(Box::new(TraceContextPropagator::new())),
                "baggage" | "none" => None,
                other => {
                    tracing::warn!("OTEL_PROPAGATORS: {other:?} is unknown and ignored");
                    None
                }
            }
        },
    );
    TextMapCompositePropagator::new(propagators.collect())
}

/// Returns the tracer provider, and the backlog of spans that wait to be sent.
pub fn traces(resource: Resource) -> anyhow::Result<(SdkTracerProvider, Arc<Backlog>)> {
    let max = variable("OTEL_BSP_MAX_QUEUE_SIZE").and_then(|max| max.parse().ok());
    let max = max.filter(|max| *max > 0).unwrap_or(SPANS_MAX);
    let backlog = Backlog::new(max);
    let exporter = exporter!(SpanExporter, "TRACES")?.out_of(&backlog);
    let queue = BatchConfigBuilder::default().with_max_queue_size(max);
    // A batch must be full before the queue is half full, or it would wait for the export interval.
    let queue = match variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") {
        Some(_) => queue.build(),
        None => queue.with_max_export_batch_size(BATCH_MAX.min(max.div_ceil(4))).build(),
    };
    let queue = BatchSpanProcessor::builder(exporter).with_batch_config(queue).build();
    let sampler = backlog::sampler(&backlog, Config::default().sampler);
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(sampler)
        .with_span_processor(Admission { backlog: Arc::clone(&backlog), next: queue });
    Ok((provider.build(), backlog))
}

pub fn metric_exporter() -> anyhow::Result<Reported<MetricExporter>> {
    exporter!(MetricExporter, "METRICS")
}

pub fn logs(resource: Resource) -> anyhow::Result<SdkLoggerProvider> {
    let exporter = exporter!(LogExporter, "LOGS")?;
    Ok(SdkLoggerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
}
