//! Keeps the database fit to serve: waits for it, creates and migrates it, looks after it, heals.

use super::{database::Database, error::Trouble};
use crate::{config::Migrate, health::Health};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tracing::{error, info};

/// How often a serving database is looked at, so that readiness follows it well within a second.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// How long a look may take before the database counts as unreachable.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a database that does not serve is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

pub async fn keep_ready(database: &Database, health: &Health, migrate: Migrate) {
    loop {
        match database.prepare(migrate).await {
            Ok(()) => {
                if health.set_database(None) {
                    info!("The database is ready");
                }
                let trouble = watch(database).await;
                health.set_database(Some(trouble));
                error!(db.trouble = trouble.as_str(), "The database does not serve, healing");
            }
            Err(cause) => {
                let trouble = Trouble::of(&cause).unwrap_or(Trouble::MigrationFailed);
                if health.set_database(Some(trouble)) {
                    error!(db.trouble = trouble.as_str(), %cause, "Waiting for the database");
                }
                sleep(RETRY_INTERVAL).await;
            }
        }
    }
}

/// Returns when the database does not serve any more.
async fn watch(database: &Database) -> Trouble {
    loop {
        sleep(PROBE_INTERVAL).await;
        // A connection that broke says little of the database; one that breaks at once again does.
        let probe = async {
            match database.probe().await {
                Ok(()) => Ok(()),
                Err(_) => database.probe().await,
            }
        };
        match timeout(PROBE_TIMEOUT, probe).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Trouble::of(&error).unwrap_or(Trouble::Unreachable),
            Err(_) => return Trouble::Unreachable,
        }
    }
}
