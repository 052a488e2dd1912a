//! SQLite, compiled into the binary: one file, one writer, many readers.

mod connection;
mod file;
mod insert;

pub use connection::KeptConnection;
pub use file::beyond_repair;
pub use insert::{INSERT, insert};

use super::{
    distance::within,
    migrate::{self, Applied},
    pool_kind::{PoolKind, PoolUse},
    queries, schema,
};
use crate::{config::Migrate, readiness::DatabaseFault};
use log::LevelFilter;
use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool, query,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    time::Duration,
};

/// How long a call waits for a connection, and a writer for another process's transaction.
const WAIT_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Sqlite {
    options: SqliteConnectOptions,
    connections_max: u32,
    pools: RwLock<Pools>,
}

#[derive(Clone, Debug)]
struct Pools {
    /// One connection: SQLite allows one writer at a time, and the queue of this server is fair and
    /// cheap.
    writer: SqlitePool,
    reader: SqlitePool,
    /// One connection of its own, so that probing does not queue behind the reads.
    probe: SqlitePool,
    /// Which file the connections are about. Behind a file that was deleted or replaced, SQLite
    /// goes on writing to the old one, where the messages would be lost. The probe notices, so that
    /// this is over within its interval.
    file: Option<FileId>,
}

/// Device and inode.
type FileId = (u64, u64);

impl Sqlite {
    pub fn new(url: &str, connections_max: u32) -> anyhow::Result<Self> {
        let options = file::parse(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged message survives a power failure, not only a crash of the process.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(WAIT_TIMEOUT);
        let pools = RwLock::new(Pools::new(&options, connections_max, None));
        Ok(Self { options, connections_max, pools })
    }

    pub fn pool(&self, kind: PoolKind) -> SqlitePool {
        match kind {
            PoolKind::Posts => self.pools().writer,
            PoolKind::SharedReads | PoolKind::OtherReads => self.pools().reader,
            PoolKind::Watchdog => self.pools().probe,
        }
    }

    pub fn pool_uses(&self) -> [PoolUse; 3] {
        let Pools { writer, reader, probe, .. } = self.pools();
        [pool_use("writer", &writer), pool_use("reads", &reader), pool_use("probe", &probe)]
    }

    pub async fn prepare(&self, migrate: Migrate) -> sqlx::Result<()> {
        let prepared = self.open_and_migrate(migrate).await;
        let in_use = self.pools().file.is_some();
        prepared.map_err(|error| file::explain(error, &self.path(), migrate, in_use))
    }

    async fn open_and_migrate(&self, migrate: Migrate) -> sqlx::Result<()> {
        let old = self.pools();
        if old.file.is_some() && file_id(&self.path()).await.ok() != old.file {
            // SQLite removes its side files with the last connection; a new database must not find
            // them.
            old.close().await;
        }
        if let Err(error) = self.check_tables().await
            && DatabaseFault::of(&error) == Some(DatabaseFault::ForeignTables)
        {
            return Err(error);
        }
        let mut connection =
            self.options.clone().create_if_missing(migrate != Migrate::Off).connect().await?;
        let applied = Applied::read(&migrate::SQLITE, &mut connection).await?;
        let tables_exist = migrate::tables_exist(probe(&mut connection).await)?;
        let is_old = applied.is_old() && migrate != Migrate::Off;
        let is_current = applied.is_current(&migrate::SQLITE, &mut connection).await?;
        if is_old || !tables_exist || !is_current {
            if migrate == Migrate::Off {
                return Err(migrate::not_migrated());
            }
            // Servers that start together take turns here.
            let mut transaction = connection.begin_with("begin immediate").await?;
            let applied = Applied::read(&migrate::SQLITE, &mut *transaction).await?;
            let file = self.path().display().to_string();
            schema::check_sqlite(&mut transaction, &applied.versions(), file).await?;
            if applied.is_old() {
                migrate::create_list(&mut *transaction).await?;
                queries::sqlite::copy_migrations(&mut transaction).await?;
            }
            if !tables_exist {
                // A table whose migration is marked as done may have been dropped by hand.
                let version_max = migrate::version_max(&migrate::SQLITE);
                let forgotten =
                    queries::sqlite::forget_migrations(&mut transaction, version_max, false).await;
                migrate::tables_exist(forgotten)?;
            }
            migrate::apply(&migrate::SQLITE, &mut *transaction).await?;
            transaction.commit().await?;
        }
        applied.note_newer(&migrate::SQLITE);
        connection.close().await?;

        let file = file_id(&self.path()).await?;
        if old.file != Some(file) || old.writer.is_closed() {
            let new = Pools::new(&self.options, self.connections_max, Some(file));
            *self.pools.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
        Ok(())
    }

    /// Fails when the tables are another application's. By a connection without settings: the
    /// journal's mode would be written to the file.
    async fn check_tables(&self) -> sqlx::Result<()> {
        let path = self.path();
        let mut connection = SqliteConnectOptions::new().filename(&path).connect().await?;
        let applied = Applied::read(&migrate::SQLITE, &mut connection).await?;
        let file = path.display().to_string();
        let checked = schema::check_sqlite(&mut connection, &applied.versions(), file).await;
        connection.close().await?;
        checked
    }

    /// Fails when the file is another one, or the tables cannot be read within a time.
    pub async fn probe(&self, limit: Duration) -> sqlx::Result<()> {
        within(limit, async {
            let pools = self.pools();
            if Some(file_id(&self.path()).await?) != pools.file {
                return Err(io::Error::other("the database file was replaced").into());
            }
            let mut kept = KeptConnection::default();
            let mut lease = kept.lease(&pools.probe).await?;
            let result = probe(lease.connection()).await;
            lease.end(result.as_ref().err());
            result
        })
        .await
    }

    pub async fn close(&self) {
        self.pools().close().await;
    }

    fn pools(&self) -> Pools {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn path(&self) -> PathBuf {
        self.options.get_filename().to_owned()
    }
}

impl Pools {
    fn new(options: &SqliteConnectOptions, connections_max: u32, file: Option<FileId>) -> Self {
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(WAIT_TIMEOUT)
            .acquire_slow_level(LevelFilter::Debug);
        // A pool must not create a file: whatever takes its place has been prepared first.
        let options = options.clone().create_if_missing(false);
        Self {
            writer: pool.clone().max_connections(1).connect_lazy_with(options.clone()),
            probe: pool.clone().max_connections(1).connect_lazy_with(options.clone()),
            reader: pool.max_connections(connections_max).connect_lazy_with(options),
            file,
        }
    }

    async fn close(&self) {
        self.probe.close().await;
        self.reader.close().await;
        self.writer.close().await;
    }
}

async fn file_id(path: &Path) -> io::Result<FileId> {
    let metadata = tokio::fs::metadata(path).await?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Fails unless both tables can be read. Costs the same however full they are.
async fn probe(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    query("select exists (select id, dedup, user, text, created_at from messages), exists (select name from users)")
        .fetch_one(connection)
        .await
        .map(drop)
}

fn pool_use(name: &'static str, pool: &SqlitePool) -> PoolUse {
    let (size, idle) = (pool.size() as usize, pool.num_idle());
    let max = pool.options().get_max_connections();
    PoolUse { name, idle, used: size.saturating_sub(idle), max }
}
