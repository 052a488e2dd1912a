//! Keeps the database fit to serve: waits for it, creates and migrates it, looks after it, heals.

use super::{database::Database, location::Location};
use crate::{
    config::Migrate,
    readiness::{DatabaseFault, Readiness},
};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

/// How often the database is looked at, serving or not.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// How long a look may take, with what the distance adds. With the interval and the second look,
/// readiness follows a near database within about a second, even when all that it does is to keep
/// silent. It takes longer when all connections are in use, since a look waits for one.
const PROBE_TIMEOUT: Duration = Duration::from_millis(400);

/// How long to wait before the second look. A connection that broke says little of the database;
/// one that breaks again a little later does.
const SECOND_LOOK_AFTER: Duration = Duration::from_millis(100);

/// How often the log repeats that the database is waited for.
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
                let fault = DatabaseFault::of_look(&cause);
                readiness.set_database(Some(fault));
                // Another database, which is prepared now, is no error.
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
                let fault = DatabaseFault::of_look(&cause);
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
    look(database).await
}

/// Returns when the database does not serve any more, with the reason.
async fn watch(database: &Database, limits: &mut Vec<String>) -> sqlx::Error {
    loop {
        sleep(PROBE_INTERVAL).await;
        if look(database).await.is_err() {
            sleep(SECOND_LOOK_AFTER).await;
            if let Err(error) = look(database).await {
                return error;
            }
        }
        note_limits(database, limits);
        // The next time will do as well.
        database.maintain(probe_timeout(database)).await.ok();
    }
}

/// Warns of limits that are too small, when they are news: new connections find out new ones.
fn note_limits(database: &Database, known: &mut Vec<String>) {
    let warnings = database.warnings();
    for news in warnings.iter().filter(|warning| !known.contains(warning)) {
        warn!("{news}");
    }
    *known = warnings;
}

async fn look(database: &Database) -> sqlx::Result<()> {
    database.probe(probe_timeout(database)).await
}

fn probe_timeout(database: &Database) -> Duration {
    PROBE_TIMEOUT + database.allowance()
}
