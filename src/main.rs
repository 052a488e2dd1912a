//! Starts the server, waits for a signal and shuts the server down.

use anyhow::Context;
use chat_server::{
    api,
    app::{self, Listeners},
    config::{Command, Config, DatabaseUrl, LogFormat, Migrate},
    gauges, healthcheck,
    signals::StopSignals,
    telemetry::{self, Telemetry},
};
use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
    thread,
};
use tracing::{info, warn};

/// A request makes some hundred small allocations, which take a fifth of the server's time with the
/// system's allocator (docs/performance.md). Huge pages would double the memory of an idle server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = match Config::load() {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    let result = match config.command {
        Some(Command::Openapi) => print(&api::document()),
        Some(Command::Healthcheck) => healthcheck::run(&config).and_then(|report| print(&report)),
        None => run(&config),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    match config.command {
        // A person or a container engine ran the command; there is no log.
        Some(_) => drop(writeln!(std::io::stderr(), "chat-server: {error:#}")),
        None => telemetry::fatal(config.log_format, &format!("{error:#}")),
    }
    ExitCode::FAILURE
}

/// Prints clap's error: unchanged on a terminal, otherwise as one log line.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || std::io::stderr().is_terminal() {
        error.exit();
    }
    let text = error.to_string();
    // The rest is usage for people.
    let text = text.split("\n\nUsage").flat_map(|text| text.split("\n\nFor more")).next();
    let text = text.unwrap_or_default();
    let words: Vec<_> = text.trim_start_matches("error: ").split_whitespace().collect();
    telemetry::fatal(LogFormat::of_process(), &words.join(" "));
    ExitCode::from(2)
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn run(config: &Config) -> anyhow::Result<()> {
    // Before the signal handlers exist, so that a signal ends the process while it reads a file.
    let url = config.database_url()?;
    let runtime = runtime()?;
    let telemetry = {
        let _context = runtime.enter();
        Telemetry::start(config)?
    };
    let result = runtime.block_on(run_until_stopped(config, &url, &telemetry));
    // Must run outside the runtime, which the exporters need to send.
    telemetry.stop();
    // Does not wait for tasks that still run, such as a DNS lookup of the collector.
    runtime.shutdown_background();
    result
}

/// Uses at least two workers, so that a long task does not block all others on a single core.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let workers = thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

async fn run_until_stopped(
    config: &Config,
    url: &DatabaseUrl,
    telemetry: &Telemetry,
) -> anyhow::Result<()> {
    gauges::observe_telemetry(telemetry);
    let mut signals = StopSignals::listen()?;
    if config.migrate == Migrate::Only {
        tokio::select! {
            result = app::migrate_only(config, url) => return result,
            () = signals.stop() => {
                anyhow::bail!("stopped before the database was migrated");
            }
        }
    }
    let listeners = Listeners::bind(config)?;
    info!(version = env!("CARGO_PKG_VERSION"), "Starting");
    let (stop, stopped) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        signals.stop().await;
        let _ = stop.send(());
        signals.stop_at_once().await;
        warn!("Second signal: exiting immediately");
        std::process::exit(130);
    });
    app::run(config, url, listeners, &telemetry.registry, async { drop(stopped.await) }).await
}
