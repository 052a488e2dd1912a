//! SQLite, compiled into the binary: one file, one writer, many readers.

use super::{
    database::Purpose,
    error::{DatabaseFault, InsertError},
    kept::Kept,
    migrate::{self, Applied},
    queries, schema,
    session::Inserted,
    sqlite_file,
};
use crate::{config::Migrate, message::NewMessage};
use log::LevelFilter;
use sqlx::{
    ConnectOptions, Connection, QueryBuilder, SqliteConnection, SqlitePool, query, query_scalar,
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
    /// One connection: SQLite lets one write at a time, and waiting in our queue is fair and cheap.
    writer: SqlitePool,
    reader: SqlitePool,
    /// One connection of its own, so that probing does not queue behind the reads.
    probe: SqlitePool,
    /// Which file the connections are about. Behind a file that was deleted or replaced, SQLite
    /// goes on writing to the old one, where nobody will ever find the messages again. The probe
    /// notices, so that this is over within its interval.
    file: Option<FileId>,
}

/// Device and inode.
type FileId = (u64, u64);

impl Sqlite {
    pub fn new(url: &str, connections_max: u32) -> anyhow::Result<Self> {
        let options = sqlite_file::parse(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged message survives a loss of power, not only of the process.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(WAIT_TIMEOUT);
        let pools = RwLock::new(Pools::new(&options, connections_max, None));
        Ok(Self { options, connections_max, pools })
    }

    pub fn pool(&self, purpose: Purpose) -> SqlitePool {
        match purpose {
            Purpose::Posts => self.pools().writer,
            Purpose::SharedReads | Purpose::OtherReads => self.pools().reader,
            Purpose::Watching => self.pools().probe,
        }
    }

    pub fn named_pools(&self) -> [(&'static str, SqlitePool); 3] {
        let Pools { writer, reader, probe, .. } = self.pools();
        [("writer", writer), ("reads", reader), ("probe", probe)]
    }

    pub async fn prepare(&self, migrate: Migrate) -> sqlx::Result<()> {
        let prepared = self.open_and_migrate(migrate).await;
        let in_use = self.pools().file.is_some();
        prepared.map_err(|error| sqlite_file::explain(error, &self.path(), migrate, in_use))
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
                // Somebody may have dropped a table whose migration is marked as done.
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

    pub async fn probe(&self) -> sqlx::Result<()> {
        let pools = self.pools();
        if Some(file_id(&self.path()).await?) != pools.file {
            return Err(io::Error::other("the database file was replaced").into());
        }
        let mut connection = Kept::default();
        let mut lease = connection.take(&pools.probe).await?;
        let result = probe(&mut lease).await;
        connection.put(lease, result)
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

/// Stores messages, and these names: all or nothing. A file has one writer at a time, so its ids
/// become visible in their order by themselves.
pub async fn insert(
    connection: &mut SqliteConnection,
    batch: &[&NewMessage],
    new_names: &[&str],
) -> Result<Inserted, InsertError> {
    let mut transaction = connection.begin_with("begin immediate").await?;
    if !new_names.is_empty() {
        // Another process may have stored them meanwhile.
        QueryBuilder::new("insert or ignore into users (name) ")
            .push_values(queries::up_to_power_of_two(new_names), |mut row, name| {
                row.push_bind(*name);
            })
            .build()
            .execute(&mut *transaction)
            .await?;
    }
    // Never before that of the newest message, even when the clock went back.
    let created_at = query_scalar(
        "select max(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), \
         coalesce((select created_at from messages order by id desc limit 1), ''))",
    )
    .fetch_one(&mut *transaction)
    .await?;
    let mut last_id = 0;
    for messages in powers_of_two(batch) {
        last_id = QueryBuilder::new("insert into messages (dedup, user, text, created_at) ")
            .push_values(messages, |mut row, message| {
                row.push_bind(message.dedup)
                    .push_bind(message.user.as_str())
                    .push_bind(message.text.as_str())
                    .push_bind(created_at);
            })
            .build()
            .execute(&mut *transaction)
            .await?
            .last_insert_rowid();
    }
    transaction.commit().await?;
    let first_id = last_id + 1 - batch.len().cast_signed() as i64;
    Ok(Inserted { first_id, created_at })
}

/// Cuts a list into parts whose lengths are powers of two, so that lists of any length make a
/// handful of prepared statements.
fn powers_of_two<T>(mut list: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let count = 1 << list.len().checked_ilog2()?;
        let (part, rest) = list.split_at(count);
        list = rest;
        Some(part)
    })
}
