//! Keeps the database fit to serve: waits for it, creates and migrates it, looks after it, heals.

use super::{database::Database, error::Trouble};
use crate::{config::Migrate, health::Health};
use std::{io, time::Duration};
use tokio::time::{sleep, timeout};
use tracing::{error, info};

/// How often the database is looked at, serving or not.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// How long a look may take. With the interval and the second look, readiness follows the database
/// within about a second, even when all that it does is to keep silent.
const PROBE_TIMEOUT: Duration = Duration::from_millis(400);

/// How long to wait before the second look. A connection that broke says little of the database;
/// one that breaks again a little later does.
const SECOND_LOOK_AFTER: Duration = Duration::from_millis(100);

pub async fn keep_ready(database: &Database, health: &Health, migrate: Migrate) {
    loop {
        match prepare(database, migrate).await {
            Ok(()) => {
                if health.set_database(None) {
                    info!("The database is ready");
                }
                let cause = watch(database).await;
                let trouble = Trouble::of(&cause).unwrap_or(Trouble::Unreachable);
                health.set_database(Some(trouble));
                error!(db.trouble = trouble.as_str(), %cause, "The database does not serve");
            }
            Err(cause) => {
                let trouble = Trouble::of(&cause).unwrap_or(Trouble::Unreachable);
                if health.set_database(Some(trouble)) {
                    error!(db.trouble = trouble.as_str(), %cause, "Waiting for the database");
                }
                sleep(PROBE_INTERVAL).await;
            }
        }
    }
}

/// Succeeds only when the tables can be read.
async fn prepare(database: &Database, migrate: Migrate) -> sqlx::Result<()> {
    database.prepare(migrate).await?;
    look(database).await
}

/// Returns when the database does not serve any more, with the reason.
async fn watch(database: &Database) -> sqlx::Error {
    loop {
        sleep(PROBE_INTERVAL).await;
        if look(database).await.is_err() {
            sleep(SECOND_LOOK_AFTER).await;
            if let Err(error) = look(database).await {
                return error;
            }
        }
        // The next time will do as well.
        timeout(PROBE_TIMEOUT, database.keep_sequence()).await.ok();
    }
}

async fn look(database: &Database) -> sqlx::Result<()> {
    let timed_out = || Err(io::Error::from(io::ErrorKind::TimedOut).into());
    timeout(PROBE_TIMEOUT, database.probe()).await.unwrap_or_else(|_| timed_out())
}
