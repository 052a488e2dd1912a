//! The log: pretty for people, JSON for machines; over OTLP as well, if there is a collector.

use super::throttle::{self, Kind};
use crate::config::{Config, LogFormat};
use anyhow::Context;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use std::{
    io::{IsTerminal, stderr},
    panic,
};
use tracing::{Level, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::filter_fn,
    fmt::MakeWriter,
    layer::SubscriberExt,
    registry::{LookupSpan, Registry},
    util::SubscriberInitExt,
};

/// Where the SDK and its transports say what went wrong. Sent to the collector that it went wrong
/// with, that would never end. Some write by the `log` crate, and their lines have its name.
const SENDERS: [&str; 8] =
    ["opentelemetry", "hyper", "h2", "tonic", "tower", "reqwest", "rustls", "log"];

/// Lines that may wait for the reader of standard error; as many may wait for a collector.
const LINES_MAX: usize = 2_048;

/// A request can panic as often as a client repeats it.
const PANIC: Kind =
    Kind { level: Level::ERROR, message: "A task panicked", code: None, route: None };

/// Starts logging to standard error, panics included. A thread of its own writes the lines, because
/// a reader that stands still would stop whoever writes; what it does not take is lost. The last
/// ones are written when the guard is dropped, and the counter has those that were lost.
///
/// # Errors
/// When `RUST_LOG` is not a filter.
pub fn start(
    config: &Config,
    otlp: Option<&SdkLoggerProvider>,
) -> anyhow::Result<(WorkerGuard, ErrorCounter)> {
    let filter: EnvFilter = config
        .log_filter
        .parse()
        .with_context(|| format!("RUST_LOG: {:?} is not a filter", config.log_filter))?;
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).finish(stderr());
    let lost = writer.error_counter();
    // The SDK says of each of its providers that it is set, which is news to its developers only.
    let is_news = filter_fn(|metadata| !metadata.name().ends_with("Provider.GlobalSet"));
    let lines = lines(config.log_format, writer).with_filter(is_news);
    let otlp = otlp.map(|provider| {
        OpenTelemetryTracingBridge::new(provider).with_filter(filter_fn(|metadata| {
            !SENDERS.iter().any(|sender| metadata.target().starts_with(sender))
        }))
    });
    tracing_subscriber::registry().with(filter).with(lines).with(otlp).init();
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

/// Says why the process ends, like a line of the log but whatever `RUST_LOG` is, and also when the
/// log has not begun or has ended.
pub fn fatal(format: LogFormat, cause: &str) {
    let subscriber = Registry::default().with(lines(format, stderr));
    tracing::subscriber::with_default(subscriber, || tracing::error!("{cause}"));
}

fn lines<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let terminal = stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let json = format == LogFormat::Json || format == LogFormat::Auto && !terminal;
    if json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.compact().with_target(false).with_ansi(terminal).boxed()
    }
}
