//! What the two databases' migrations have in common.

use crate::readiness::DatabaseFault;
use sqlx::{
    SqlSafeStr,
    migrate::{AppliedMigration, Migrate, MigrateError, Migration, MigrationType, Migrator},
};
use std::{io, sync::LazyLock, time::Duration};
use tracing::{info, warn};

/// How long all pending migrations may take together. It only guards against a connection that
/// died: a schema change on a large table takes long.
const MIGRATION_TIMEOUT: Duration = Duration::from_hours(1);

/// The list of the migrations that were applied. Not sqlx's name, because another application in
/// the same database may use that.
const LIST: &str = "chat_server_migrations";

/// The name that earlier servers gave it. It is kept, so that a rollback to them works.
const OLD_LIST: &str = "_sqlx_migrations";

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
    Migrator::with_migrations(files.map(migration).into())
}

/// The migrations that were applied, according to a list.
pub struct Applied {
    list: &'static str,
    migrations: Vec<AppliedMigration>,
}

impl Applied {
    /// From this server's list, or else from that of earlier servers, if it exists.
    pub async fn read<C: Migrate>(migrator: &Migrator, connection: &mut C) -> sqlx::Result<Self> {
        let migrations = read_list(LIST, connection).await?;
        if migrations.is_empty() {
            // The list of another application may have other columns.
            let old = match read_list(OLD_LIST, connection).await {
                Err(error) if DatabaseFault::of(&error).is_none() => Vec::new(),
                old => old?,
            };
            let is_ours =
                |old: &AppliedMigration| migrator.iter().any(|ours| ours.checksum == old.checksum);
            if old.iter().any(is_ours) {
                return Ok(Self { list: OLD_LIST, migrations: old });
            }
        }
        Ok(Self { list: LIST, migrations })
    }

    pub fn versions(&self) -> Vec<i64> {
        self.migrations.iter().map(|applied| applied.version).collect()
    }

    /// Whether the list must be copied.
    pub fn is_old(&self) -> bool {
        self.list == OLD_LIST
    }

    /// Whether the schema has all that this binary needs.
    pub async fn is_current<C: Migrate>(
        &self,
        migrator: &Migrator,
        connection: &mut C,
    ) -> sqlx::Result<bool> {
        if !self.pending(migrator)?.is_empty() {
            return Ok(false);
        }
        let unfinished = connection.dirty_version(self.list).await.map_err(flatten)?;
        Ok(unfinished.is_none())
    }

    /// The migrations that were not applied yet, in their order. A newer server may have applied
    /// more: schema changes only ever add (migrations/README.md).
    fn pending<'a>(&self, migrator: &'a Migrator) -> sqlx::Result<Vec<&'a Migration>> {
        let mut pending = Vec::new();
        for known in migrator.iter() {
            match self.migrations.iter().find(|applied| applied.version == known.version) {
                None => pending.push(known),
                Some(applied) if applied.checksum != known.checksum => {
                    return Err(MigrateError::VersionMismatch(known.version).into());
                }
                Some(_) => {}
            }
        }
        Ok(pending)
    }

    /// Logs a warning when a newer server has migrated.
    pub fn note_newer(&self, migrator: &Migrator) {
        let known = version_max(migrator);
        if let Some(newest) = self.versions().into_iter().max().filter(|newest| *newest > known) {
            warn!(
                "The schema is newer than this server: it has migration {newest}, and this server \
                 knows those up to {known}"
            );
        }
    }
}

async fn read_list<C: Migrate>(
    list: &str,
    connection: &mut C,
) -> sqlx::Result<Vec<AppliedMigration>> {
    match connection.list_applied_migrations(list).await {
        // Nothing was ever migrated.
        Err(error) if DatabaseFault::of_migration(&error) == DatabaseFault::NotMigrated => {
            Ok(Vec::new())
        }
        applied => applied.map_err(flatten),
    }
}

/// Creates the list.
pub async fn create_list<C: Migrate>(connection: &mut C) -> sqlx::Result<()> {
    connection.ensure_migrations_table(LIST).await.map_err(flatten)
}

/// Whether the tables of a query exist, according to its result.
pub fn tables_exist(result: sqlx::Result<()>) -> sqlx::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if DatabaseFault::of(&error) == Some(DatabaseFault::NotMigrated) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The newest migration that this binary knows.
pub fn version_max(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Applies what is pending. The caller holds the lock that keeps other servers out: sqlx's own is
/// `GET_LOCK(?, -1)`, which MariaDB answers with NULL and no lock.
pub async fn apply<C: Migrate>(migrator: &Migrator, connection: &mut C) -> sqlx::Result<()> {
    match tokio::time::timeout(MIGRATION_TIMEOUT, apply_pending(migrator, connection)).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

/// As sqlx does it, with a log line for each: on a distant or a large database they take a while.
async fn apply_pending<C: Migrate>(migrator: &Migrator, connection: &mut C) -> sqlx::Result<()> {
    create_list(connection).await?;
    if let Some(version) = connection.dirty_version(LIST).await.map_err(flatten)? {
        return Err(MigrateError::Dirty(version).into());
    }
    let applied = Applied { list: LIST, migrations: read_list(LIST, connection).await? };
    for migration in applied.pending(migrator)? {
        let name = migration.description.replace(' ', "_");
        info!("Applying the migration {:04}_{name}", migration.version);
        connection.apply(LIST, migration).await.map_err(flatten)?;
    }
    Ok(())
}

/// The error of a schema that is too old, while `MIGRATE=off` forbids to change it.
pub fn not_migrated() -> sqlx::Error {
    MigrateError::Source("the schema is not up to date, and MIGRATE=off leaves it so".into()).into()
}

/// The error of a schema that another server is bringing up to date.
pub fn under_way() -> sqlx::Error {
    MigrateError::Source("another server is migrating the database".into()).into()
}

fn flatten(error: MigrateError) -> sqlx::Error {
    match error {
        MigrateError::Execute(error) => error,
        error => error.into(),
    }
}
