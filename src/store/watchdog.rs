//! Keeps the database fit to serve: waits for it, creates and migrates it, maintains it, and
//! recovers after a failure.

use super::{database::Database, location::Location};
use crate::{
    config::Migrate,
    readiness::{DatabaseFault, Readiness},
};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

/// How often the database is probed, whether it serves or not.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// The timeout of a probe, to which the distance adds. With the interval and the second probe,
/// readiness follows a near database within about a second, even when it only stops responding. It
/// takes longer when all connections are in use, since a probe waits for one.
const PROBE_TIMEOUT: Duration = Duration::from_millis(400);

/// How long to wait before the second probe. One broken connection says little of the database; a
/// second one a little later does.
const SECOND_PROBE_AFTER: Duration = Duration::from_millis(100);

/// How often the log repeats that the server waits for the database.
const REMINDER_INTERVAL: Duration = Duration::from_secs(30);

/// Returns only when the database has never served and no retry can help, with the reason.
pub async fn keep_ready(database: &Database, readiness: &Readiness, migrate: Migrate) -> String {
    let mut reminded = Instant::now();
    let mut limits = Vec::new();
    loop {
        match prepare(database, migrate).await {
            Ok(()) => {
                if readiness.set_database(None) {
                    info!("The database is ready");
                }
                note_limits(database, &mut limits);
                let cause = watch(database, &mut limits).await;
                let fault = DatabaseFault::of_probe(&cause);
                readiness.set_database(Some(fault));
                // A move to another database, which is prepared now, is no error.
                if fault != DatabaseFault::Starting {
                    log(&database.location(), fault, &cause, "The database does not serve");
                }
                reminded = Instant::now();
            }
            Err(cause) => {
                let never_served = readiness.served_since().is_none();
                if never_served && let Some(reason) = database.beyond_repair(&cause) {
                    return reason;
                }
                let fault = DatabaseFault::of_probe(&cause);
                if readiness.set_database(Some(fault)) || reminded.elapsed() > REMINDER_INTERVAL {
                    log(&database.location(), fault, &cause, "Waiting for the database");
                    reminded = Instant::now();
                }
                sleep(PROBE_INTERVAL).await;
            }
        }
    }
}

fn log(location: &Location, fault: DatabaseFault, cause: &sqlx::Error, message: &str) {
    error!(
        db.fault = fault.as_str(),
        server.address = location.address,
        server.port = location.port,
        db.namespace = location.namespace,
        %cause,
        "{message}"
    );
}

/// Succeeds only when the tables can be read.
async fn prepare(database: &Database, migrate: Migrate) -> sqlx::Result<()> {
    database.prepare(migrate).await?;
    probe(database).await
}

/// Returns the reason when the database no longer serves.
async fn watch(database: &Database, limits: &mut Vec<String>) -> sqlx::Error {
    loop {
        sleep(PROBE_INTERVAL).await;
        if probe(database).await.is_err() {
            sleep(SECOND_PROBE_AFTER).await;
            if let Err(error) = probe(database).await {
                return error;
            }
        }
        note_limits(database, limits);
        // If this fails, the next round tries again.
        database.maintain(probe_timeout(database)).await.ok();
    }
}

/// Logs the warnings that are new: each new connection may find others.
fn note_limits(database: &Database, known: &mut Vec<String>) {
    let warnings = database.warnings();
    for news in warnings.iter().filter(|warning| !known.contains(warning)) {
        warn!("{news}");
    }
    *known = warnings;
}

async fn probe(database: &Database) -> sqlx::Result<()> {
    database.probe(probe_timeout(database)).await
}

fn probe_timeout(database: &Database) -> Duration {
    PROBE_TIMEOUT + database.allowance()
}
