//! The log: pretty for people, JSON for machines.

use crate::config::{Config, LogFormat};
use anyhow::Context;
use std::{io::IsTerminal, panic};
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error, panics included.
///
/// # Errors
/// When `RUST_LOG` is not a filter.
pub fn init(config: &Config) -> anyhow::Result<()> {
    let filter: EnvFilter = config
        .log_filter
        .parse()
        .with_context(|| format!("RUST_LOG: {:?} is not a filter", config.log_filter))?;
    let json = match config.log_format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        log.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    } else {
        log.compact().with_target(false).with_ansi(std::io::stderr().is_terminal()).init();
    }
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(panic.place = place, panic.message = message, "A task panicked");
    }));
    Ok(())
}
