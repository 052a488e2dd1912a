//! What the two databases' migrations have in common.

use super::error::Trouble;
use sqlx::{
    SqlSafeStr,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
};
use std::{io, sync::LazyLock, time::Duration};

/// How long all pending migrations may take together. A bound against a peer that vanished, not an
/// estimate: a schema change on a large table takes its time.
const MIGRATION_TIMEOUT: Duration = Duration::from_hours(1);

/// Lists the files of a folder. sqlx has a macro that finds them, but with its macros a build
/// compiles the database drivers twice.
macro_rules! files {
    ($folder:literal, $($name:literal),*) => {
        [$(($name, include_str!(concat!("../../migrations/", $folder, "/", $name, ".sql")))),*]
    };
}

pub static MYSQL: LazyLock<Migrator> = LazyLock::new(|| {
    migrator(files!(
        "mysql",
        "0001_messages",
        "0002_users",
        "0003_message_sequence",
        "0004_message_sequence_row",
        "0005_ids_in_commit_order"
    ))
});

pub static SQLITE: LazyLock<Migrator> =
    LazyLock::new(|| migrator(files!("sqlite", "0001_messages", "0002_users")));

/// Makes migrations of the names and texts of their files.
fn migrator<const N: usize>(files: [(&'static str, &'static str); N]) -> Migrator {
    let migration = |(name, sql): (&'static str, &'static str)| {
        let (version, description) = name.split_once('_').expect("a number and a description");
        let version = version.parse().expect("a number");
        let description = description.replace('_', " ").into();
        Migration::new(version, description, MigrationType::Simple, sql.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(files.map(migration).into());
    // A newer server may have migrated further: schema changes only ever add
    // (migrations/README.md).
    migrator.set_ignore_missing(true);
    // The caller of `apply` holds a lock. sqlx's own is `GET_LOCK(?, -1)`, which MariaDB answers
    // with NULL and no lock.
    migrator.set_locking(false);
    migrator
}

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
