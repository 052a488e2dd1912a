//! The log: pretty for people, JSON for machines; also over OTLP if there is a collector.

use super::{
    line::WithIds,
    throttle::{self, Kind},
};
use crate::config::{Config, LogFormat};
use anyhow::Context;
use opentelemetry::{
    global::{self, BoxedSpan, BoxedTracer},
    trace::{SpanBuilder, Tracer},
};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use std::{
    io::{IsTerminal, stderr},
    panic,
    sync::LazyLock,
};
use tracing::{Level, Metadata, level_filters::LevelFilter};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt::{MakeWriter, format},
    layer::{Filter, SubscriberExt},
    registry::Registry,
    util::SubscriberInitExt,
};

/// The targets of the SDK and its transports. Sending their errors to the same collector would
/// cause more of them. Some use the `log` crate, and their lines have its name.
const SENDERS: [&str; 8] =
    ["opentelemetry", "hyper", "h2", "tonic", "tower", "reqwest", "rustls", "log"];

/// Parts of the names of SDK events that `delivery.rs` and `variables.rs` log in a better way, or
/// that only concern the SDK's developers.
const SAID_ELSEWHERE: [&str; 5] = [
    ".ExportError",
    "Export.Failed.",
    "TracerProvider.Config.",
    "Exporter.Config.InvalidEnvironmentVariable",
    "Provider.GlobalSet",
];

/// The maximum number of lines that wait for the reader of standard error; the same as the SDK's
/// maximum for a collector.
const LINES_MAX: usize = 2_048;

/// A request can panic as often as a client repeats it.
const PANIC: Kind =
    Kind { level: Level::ERROR, message: "A task panicked", code: None, route: None };

type Part = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging to standard error, including panics. A separate thread writes the lines, because
/// a stuck reader would block the writer; lines that do not fit its queue are lost. Dropping the
/// guard writes the last lines, and the counter counts the lost ones.
///
/// # Errors
/// If `RUST_LOG` is not a filter.
pub fn start(
    config: &Config,
    traces: bool,
    logs: Option<&SdkLoggerProvider>,
) -> anyhow::Result<(WorkerGuard, ErrorCounter)> {
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).finish(stderr());
    let lost = writer.error_counter();
    // Each layer has its own filter. Events and spans that no layer takes are never created.
    let mut parts = vec![lines(config.log_format, writer).with_filter(events(config)?).boxed()];
    if let Some(provider) = logs {
        let others = filter_fn(|metadata| {
            !SENDERS.iter().any(|sender| metadata.target().starts_with(sender))
        });
        let bridge = OpenTelemetryTracingBridge::new(provider);
        parts.push(bridge.with_filter(events(config)?.and(others)).boxed());
    }
    if traces {
        parts.push(spans());
    }
    tracing_subscriber::registry().with(parts).init();
    panic::set_hook(Box::new(|panic| {
        if !throttle::admits(PANIC) {
            return;
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(panic.place = place, panic.message = message, "{}", PANIC.message);
    }));
    Ok((guard, lost))
}

/// Returns the filter of `RUST_LOG` for events.
fn events(config: &Config) -> anyhow::Result<impl Filter<Registry> + Send + Sync + use<>> {
    let filter: EnvFilter = config
        .log_filter
        .parse()
        .with_context(|| format!("RUST_LOG: {:?} is not a filter", config.log_filter))?;
    let is_news =
        |metadata: &Metadata<'_>| !SAID_ELSEWHERE.iter().any(|part| metadata.name().contains(part));
    // Not `is_event`, which is false for `enabled!`.
    Ok(filter_fn(move |metadata| !metadata.is_span() && is_news(metadata)).and(filter))
}

/// Creates traces from the spans of this crate. Libraries have spans too, even the exporter.
fn spans() -> Part {
    let ours = filter_fn(|metadata| {
        let ours = metadata.target().starts_with(env!("CARGO_CRATE_NAME"));
        ours && metadata.is_span() && *metadata.level() <= LevelFilter::INFO
    });
    tracing_opentelemetry::layer()
        .with_tracer(LateTracer)
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(ours.with_max_level_hint(LevelFilter::INFO))
        .boxed()
}

/// Uses the tracer provider that is set when the first span begins. Logging must start before the
/// provider, which logs too.
struct LateTracer;

impl Tracer for LateTracer {
    type Span = BoxedSpan;

    fn build_with_context(
        &self,
        builder: SpanBuilder,
        parent: &opentelemetry::Context,
    ) -> BoxedSpan {
        static TRACER: LazyLock<BoxedTracer> =
            LazyLock::new(|| global::tracer(env!("CARGO_PKG_NAME")));
        TRACER.build_with_context(builder, parent)
    }
}

/// Logs why the process ends, regardless of `RUST_LOG`, and even if the log has not started or has
/// ended.
pub fn fatal(format: LogFormat, cause: &str) {
    let subscriber = Registry::default().with(lines(format, stderr));
    tracing::subscriber::with_default(subscriber, || tracing::error!("{cause}"));
}

fn lines<W>(format: LogFormat, writer: W) -> Part
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let terminal = stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let json = format == LogFormat::Json || format == LogFormat::Auto && !terminal;
    if json {
        let lines = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
        lines.map_event_format(|format| WithIds { format, json }).boxed()
    } else {
        let lines = lines.compact().with_target(false).with_ansi(terminal);
        let with_ids =
            |format: format::Format<_, _>| WithIds { format: format.with_ansi(terminal), json };
        lines.map_event_format(with_ids).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::io::sink;
    use tracing::{enabled, info_span, subscriber::with_default};

    #[test]
    fn spans_are_there_for_traces_and_for_nothing_else_whatever_is_logged() {
        for logged in ["trace", "off"] {
            let config = Config::parse_from(["chat-server", "--log", logged]);
            let lines =
                || lines(LogFormat::Json, sink).with_filter(events(&config).unwrap()).boxed();
            let is_off = |parts: Vec<Part>| {
                with_default(Registry::default().with(parts), || {
                    info_span!("request").is_disabled()
                })
            };
            assert!(is_off(vec![lines()]), "{logged}");
            assert!(!is_off(vec![lines(), spans()]), "{logged}");
            let parts = Registry::default().with(vec![lines(), spans()]);
            assert_eq!(with_default(parts, || enabled!(Level::INFO)), logged == "trace");
        }
    }
}
