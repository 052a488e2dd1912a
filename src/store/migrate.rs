//! What the two databases' migrations have in common.

use super::error::Trouble;
use sqlx::migrate::{Migrate, MigrateError, Migrator};
use std::{io, time::Duration};

/// How long all pending migrations may take together. A bound against a peer that vanished, not an
/// estimate: a schema change on a large table takes its time.
const MIGRATION_TIMEOUT: Duration = Duration::from_hours(1);

/// Whether the schema has all that this binary needs.
pub async fn is_current<C: Migrate>(migrator: &Migrator, connection: &mut C) -> sqlx::Result<bool> {
    let applied = match connection.list_applied_migrations(&migrator.table_name).await {
        Ok(applied) => applied,
        // Nothing was ever migrated.
        Err(error) if Trouble::of_migration(&error) == Trouble::NotMigrated => return Ok(false),
        Err(error) => return Err(flatten(error)),
    };
    for known in migrator.iter() {
        match applied.iter().find(|applied| applied.version == known.version) {
            None => return Ok(false),
            Some(applied) if applied.checksum != known.checksum => {
                return Err(MigrateError::VersionMismatch(known.version).into());
            }
            Some(_) => {}
        }
    }
    let unfinished = connection.dirty_version(&migrator.table_name).await.map_err(flatten)?;
    Ok(unfinished.is_none())
}

/// Whether the tables that a query was about exist, by how it ended.
pub fn tables_exist(result: sqlx::Result<()>) -> sqlx::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if Trouble::of(&error) == Some(Trouble::NotMigrated) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The newest migration that this binary knows.
pub fn version_max(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Applies what is pending. The caller holds the lock that keeps other servers out.
pub async fn apply<C: Migrate>(migrator: &Migrator, connection: &mut C) -> sqlx::Result<()> {
    let run = migrator.run_direct(None, connection, false);
    match tokio::time::timeout(MIGRATION_TIMEOUT, run).await {
        Ok(result) => result.map_err(flatten),
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

/// The error of a schema that is too old, while `MIGRATE=off` forbids to change it.
pub fn not_migrated() -> sqlx::Error {
    MigrateError::Source("the schema is not up to date, and MIGRATE=off leaves it so".into()).into()
}

fn flatten(error: MigrateError) -> sqlx::Error {
    match error {
        MigrateError::Execute(error) => error,
        error => error.into(),
    }
}
