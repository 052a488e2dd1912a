//! Starts the server, waits for a signal, stops it.

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

/// A request makes and drops some hundred small things; the system's allocator takes a fifth of the
/// server's time for that (docs/performance.md). Huge pages would double what an idle server holds.
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
        // A person or a container engine ran it; there is no log.
        Some(_) => drop(writeln!(std::io::stderr(), "chat-server: {error:#}")),
        None => telemetry::fatal(config.log_format, &format!("{error:#}")),
    }
    ExitCode::FAILURE
}

/// Prints what clap says: as it is for people, as one line of the log for machines.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || std::io::stderr().is_terminal() {
        error.exit();
    }
    let text = error.to_string();
    // What follows is for people: how to use the command, and where to read more.
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
    // Before signals are waited for, so that one of them ends the process while a file is read.
    let url = config.database_url()?;
    let runtime = runtime()?;
    let telemetry = {
        let _context = runtime.enter();
        Telemetry::start(config)?
    };
    let result = runtime.block_on(run_until_stopped(config, &url, &telemetry));
    // Off the runtime, which still has to send it.
    telemetry.stop();
    // What still runs, such as looking up the collector's name, is not waited for.
    runtime.shutdown_background();
    result
}

/// At least two workers, so that one that is busy for long does not stop the others on a single
/// core.
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
        warn!("Second signal: stopping at once");
        std::process::exit(130);
    });
    app::run(config, url, listeners, &telemetry.registry, async { drop(stopped.await) }).await
}
