//! The log: pretty for people, JSON for machines; over OTLP as well, if there is a collector.

use crate::config::{Config, LogFormat};
use anyhow::Context;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use std::{io::IsTerminal, panic};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt,
};

/// Where the SDK and its transports say what went wrong. Sent to the collector that it went wrong
/// with, that would never end. Some write by the `log` crate, and their lines have its name.
const SENDERS: [&str; 8] =
    ["opentelemetry", "hyper", "h2", "tonic", "tower", "reqwest", "rustls", "log"];

/// Lines that may wait for whoever reads standard error.
const LINES_MAX: usize = 8_192;

/// Starts logging to standard error, panics included. A thread of its own writes the lines, because
/// a reader that stands still would stop whoever writes; what it does not take is lost. The last
/// ones are written when the guard is dropped.
///
/// # Errors
/// When `RUST_LOG` is not a filter.
pub fn start(config: &Config, otlp: Option<&SdkLoggerProvider>) -> anyhow::Result<WorkerGuard> {
    let filter: EnvFilter = config
        .log_filter
        .parse()
        .with_context(|| format!("RUST_LOG: {:?} is not a filter", config.log_filter))?;
    let terminal = std::io::stderr().is_terminal();
    let json = match config.log_format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !terminal,
    };
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).finish(std::io::stderr());
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.compact().with_target(false).with_ansi(terminal).boxed()
    };
    let otlp = otlp.map(|provider| {
        OpenTelemetryTracingBridge::new(provider).with_filter(filter_fn(|metadata| {
            !SENDERS.iter().any(|sender| metadata.target().starts_with(sender))
        }))
    });
    tracing_subscriber::registry().with(filter).with(lines).with(otlp).init();
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(panic.place = place, panic.message = message, "A task panicked");
    }));
    Ok(guard)
}
