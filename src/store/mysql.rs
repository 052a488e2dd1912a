//! MySQL 8, MariaDB 10.6 and newer, and what else speaks their protocol.

use super::{
    database::Purpose,
    distance::{Distance, within},
    error::Trouble,
    lease::{Kept, Lease},
    limits::Limits,
    migrate,
    mysql_session::{SETTINGS, set_up, set_up_for_migrations},
    mysql_url, queries,
    sequence::{self, Ids},
};
use crate::{config::Migrate, message::MessageId};
use log::LevelFilter;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, MySqlConnection, MySqlPool,
    mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode},
    query, query_scalar,
};
use std::{
    io,
    sync::{
        Arc, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Mutex, time::timeout};
use tracing::warn;

/// How many tasks keep a connection: group commit and the two shared reads.
const LANES: u32 = 3;

/// How long a call waits for a connection: sqlx's 30 s are longer than clients listen. This and the
/// next limit grow with the distance.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long connecting and each small step of preparing may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one attempt waits for another server's migration, inside [`STEP_TIMEOUT`].
const LOCK_WAIT_SECONDS: u32 = 3;

/// Connections are replaced after this time, so that a failover or a new password reaches them all.
const CONNECTION_LIFETIME: Duration = Duration::from_mins(30);

#[derive(Debug)]
pub struct MySql {
    pool: MySqlPool,
    /// Connections of their own for the tasks that keep theirs.
    lanes: MySqlPool,
    /// One connection of its own, so that probing does not queue behind the requests.
    probe: MySqlPool,
    /// The same server without a database, for creating it.
    server: MySqlConnectOptions,
    database: String,
    limits: Arc<RwLock<Limits>>,
    distance: Arc<Distance>,
    /// The connection of the probe, and what it found.
    probed: Mutex<(Kept<sqlx::MySql>, Ids)>,
    /// All new ids are larger.
    floor: AtomicI64,
}

impl MySql {
    pub fn new(url: &str, connections_max: u32, distance: Arc<Distance>) -> anyhow::Result<Self> {
        let (options, server) = mysql_url::parse(url)?;
        let database = options.get_database().unwrap_or_default().to_owned();
        let pool = MySqlPoolOptions::new()
            .max_lifetime(CONNECTION_LIFETIME)
            // One line for each request that waits; the pool's metrics say it better.
            .acquire_slow_level(LevelFilter::Debug);
        let probe = pool.clone().max_connections(1).after_connect(|connection, _| {
            Box::pin(async { connection.execute(SETTINGS).await.map(drop) })
        });
        let limits = Arc::<RwLock<Limits>>::default();
        let known = Arc::clone(&limits);
        let pool = pool.after_connect(move |connection, _| {
            let known = Arc::clone(&known);
            Box::pin(async move {
                *write(&known) = set_up(connection).await?;
                Ok(())
            })
        });
        let others = pool.clone().max_connections(connections_max - LANES - 1);
        Ok(Self {
            pool: others.connect_lazy_with(options.clone()),
            lanes: pool.max_connections(LANES).connect_lazy_with(options.clone()),
            probe: probe.connect_lazy_with(options),
            limits,
            distance,
            probed: Mutex::default(),
            floor: AtomicI64::new(0),
            server,
            database,
        })
    }

    /// The kept connection, or a new one from the pool for this purpose.
    pub async fn take(
        &self,
        kept: &mut Kept<sqlx::MySql>,
        purpose: Purpose,
    ) -> sqlx::Result<Lease<sqlx::MySql>> {
        let pool = match purpose {
            Purpose::Posts | Purpose::SharedReads => &self.lanes,
            Purpose::OtherReads => &self.pool,
        };
        let limit = ACQUIRE_TIMEOUT + self.distance.allowance();
        timeout(limit, kept.take(pool)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    pub fn connect_options(&self) -> Arc<MySqlConnectOptions> {
        self.pool.connect_options()
    }

    pub const fn pools(&self) -> [(&'static str, &MySqlPool); 3] {
        [("lanes", &self.lanes), ("reads", &self.pool), ("probe", &self.probe)]
    }

    pub fn limits(&self) -> Limits {
        *self.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn prepare(&self, migrate: Migrate) -> sqlx::Result<()> {
        let begun = Instant::now();
        let mut connection = self.step(self.connect_or_create(migrate)).await?;
        let connected = Instant::now();
        *write(&self.limits) = self.step(set_up_for_migrations(&mut connection)).await?;
        self.distance.set(connected - begun, connected.elapsed());
        if self.step(is_current(&mut connection)).await? {
            return self.step(connection.close()).await;
        }
        if migrate == Migrate::Off {
            self.step(connection.close()).await?;
            return Err(migrate::not_migrated());
        }
        // The lock ends with the connection, so a server that dies while it holds it blocks no one.
        self.step(self.lock_migrations(&mut connection)).await?;
        self.step(forget_what_is_missing(&mut connection)).await?;
        migrate::apply(&migrate::MYSQL, &mut connection).await?;
        self.step(connection.close()).await
    }

    pub async fn probe(&self) -> sqlx::Result<()> {
        let mut probed = self.probed.lock().await;
        let (connection, ids) = &mut *probed;
        let mut lease = connection.take(&self.probe).await?;
        let begun = Instant::now();
        let result = sequence::look(&mut lease).await;
        *ids = connection.put(lease, result)?;
        self.distance.note_round_trip(begun.elapsed());
        self.floor.store(ids.floor(), Ordering::Relaxed);
        Ok(())
    }

    pub fn floor(&self) -> MessageId {
        self.floor.load(Ordering::Relaxed)
    }

    pub async fn keep_sequence(&self) -> sqlx::Result<()> {
        let mut probed = self.probed.lock().await;
        let (connection, ids) = &mut *probed;
        if ids.are_recorded() {
            return Ok(());
        }
        let mut lease = connection.take(&self.probe).await?;
        let result = sequence::record(&mut lease, *ids).await;
        connection.put(lease, result)
    }

    pub async fn close(&self) {
        // A pool waits for what it has lent.
        self.probed.lock().await.0.rest();
        self.probe.close().await;
        self.lanes.close().await;
        self.pool.close().await;
    }

    async fn connect_or_create(&self, migrate: Migrate) -> sqlx::Result<MySqlConnection> {
        let connected = match self.pool.connect_options().connect().await {
            Err(error) if self.prefers_tls() && is_handshake_failure(&error) => {
                self.go_on_without_tls(&error);
                self.pool.connect_options().connect().await
            }
            connected => connected,
        };
        let missing = |error: &sqlx::Error| Trouble::of(error) == Some(Trouble::DatabaseMissing);
        if migrate == Migrate::Off || !connected.as_ref().is_err_and(missing) {
            return connected;
        }
        let ssl_mode = self.pool.connect_options().get_ssl_mode();
        let mut server = self.server.clone().ssl_mode(ssl_mode).connect().await?;
        set_up_for_migrations(&mut server).await?;
        let name = self.database.replace('`', "``");
        let create = format!(
            "create database if not exists `{name}` character set utf8mb4 collate utf8mb4_bin"
        );
        query(AssertSqlSafe(create)).execute(&mut server).await?;
        server.close().await?;
        self.pool.connect_options().connect().await
    }

    fn prefers_tls(&self) -> bool {
        matches!(self.pool.connect_options().get_ssl_mode(), MySqlSslMode::Preferred)
    }

    /// What MySQL's own clients do by default with a server whose TLS they cannot speak, such as
    /// one that knows only ciphers of the past.
    fn go_on_without_tls(&self, cause: &sqlx::Error) {
        warn!(%cause, "Going on without TLS, as ssl-mode=PREFERRED allows; REQUIRED does not");
        let options = self.pool.connect_options().as_ref().clone();
        for pool in [&self.pool, &self.lanes, &self.probe] {
            pool.set_connect_options(options.clone().ssl_mode(MySqlSslMode::Disabled));
        }
    }

    async fn step<T>(&self, step: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        within(STEP_TIMEOUT + self.distance.allowance(), step).await
    }

    /// Waits for the right to migrate, which one connection of the whole server has at a time.
    async fn lock_migrations(&self, connection: &mut MySqlConnection) -> sqlx::Result<()> {
        // Lock names are shared by all databases of a server and at most 64 characters long.
        let locked: Option<i64> =
            query_scalar("select get_lock(concat('chat-server.', md5(?)), ?)")
                .bind(&self.database)
                .bind(LOCK_WAIT_SECONDS)
                .fetch_one(connection)
                .await?;
        if locked == Some(1) { Ok(()) } else { Err(migrate::under_way()) }
    }
}

fn write(limits: &RwLock<Limits>) -> RwLockWriteGuard<'_, Limits> {
    limits.write().unwrap_or_else(PoisonError::into_inner)
}

/// Without a certificate to verify, as with `ssl-mode=PREFERRED`, a server that answers what TLS
/// does not understand is the only reason for this kind of error.
fn is_handshake_failure(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData)
}

async fn is_current(connection: &mut MySqlConnection) -> sqlx::Result<bool> {
    Ok(migrate::is_current(&migrate::MYSQL, connection).await?
        && migrate::tables_exist(sequence::look(connection).await.map(drop))?)
}

/// MySQL commits each DDL statement by itself, so a server that died in a migration leaves it
/// marked as begun; and somebody may have dropped a table whose migration is marked as done. All
/// of ours can run again; without the mark, they do.
async fn forget_what_is_missing(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    let failed_only = migrate::tables_exist(sequence::look(connection).await.map(drop))?;
    let version_max = migrate::version_max(&migrate::MYSQL);
    let forgotten = queries::mysql::forget_migrations(connection, version_max, failed_only).await;
    migrate::tables_exist(forgotten).map(drop)
}
