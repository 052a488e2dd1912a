//! MySQL 8, MariaDB 10.6 and newer, and what else speaks their protocol.

mod lease;
mod pool;
mod connection;
mod permits;
mod login;
mod setup;
mod limits;
mod insert;
mod target;
mod url;
mod sequence;

pub use insert::{Competition, INSERT, fitting, insert, text_bytes_max};
pub use url::refusal as url_refusal;

use super::{
    distance::{Distance, STATEMENT_TIMEOUT, within},
    location::Location,
    migrate::{self, Applied},
    pool_kind::{PoolKind, PoolUse},
    queries, schema,
};
use crate::{
    config::{DatabaseUrl, Migrate},
    message::MessageId,
    readiness::DatabaseFault,
};
use lease::Lease;
use limits::Limits;
use login::Login;
use pool::Pool;
use sequence::Ids;
use setup::{set_up, set_up_for_migrations};
use sqlx::{MySqlConnection, query, query_scalar};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long connecting and each small step of preparing may take. This limit and the others grow
/// with the distance.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one attempt waits for another server's migration, inside [`STEP_TIMEOUT`].
const LOCK_WAIT_SECONDS: u32 = 3;

/// How long a probe waits for a connection in use: longer than a statement may take.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub struct MySql {
    pool: Arc<Pool>,
    distance: Arc<Distance>,
    /// The result of the last probe.
    ids: Mutex<Ids>,
    /// All new ids are larger.
    floor: AtomicI64,
}

impl MySql {
    pub fn new(url: &DatabaseUrl, connections_max: u32) -> anyhow::Result<Self> {
        let distance = Arc::<Distance>::default();
        Ok(Self {
            pool: Pool::new(Login::new(url)?, connections_max, Arc::clone(&distance)),
            distance,
            ids: Mutex::default(),
            floor: AtomicI64::new(0),
        })
    }

    /// A connection to use. How long that may take is up to the caller, except for connecting.
    pub async fn lease(&self, kind: PoolKind) -> sqlx::Result<Lease> {
        Lease::take(&self.pool, self.pool.permits.acquire(kind).await?).await
    }

    pub fn location(&self) -> Location {
        Location::of_server(&self.pool.login.options())
    }

    pub fn pools(&self) -> [PoolUse; 2] {
        self.pool.uses()
    }

    pub fn limits(&self) -> Limits {
        self.pool.limits()
    }

    /// Limits that are too small, and what to do about them.
    pub fn warnings(&self) -> Vec<String> {
        self.pool.warnings()
    }

    /// How far to extend a time limit.
    pub fn allowance(&self) -> Duration {
        self.distance.allowance()
    }

    /// How long a statement may take.
    pub fn statement_timeout(&self) -> Duration {
        STATEMENT_TIMEOUT + self.allowance()
    }

    pub async fn prepare(&self, migrate: Migrate) -> sqlx::Result<()> {
        // They may lead to the place where the database was before.
        let flushes = self.pool.flush();
        self.pool.permits.end_waits();
        self.pool.login.arrive().await;
        let _permit = self.step(self.pool.permits.acquire(PoolKind::Watchdog)).await?;
        let begun = Instant::now();
        let mut connection = self.step(self.connect_or_create(migrate)).await?;
        let connected = Instant::now();
        self.step(set_up_for_migrations(&mut connection)).await?;
        self.distance.set(connected - begun, connected.elapsed());
        let applied = self.step(Applied::read(&migrate::MYSQL, &mut connection)).await?;
        let is_old = applied.is_old() && migrate != Migrate::Off;
        if is_old || !self.step(is_current(&applied, &mut connection)).await? {
            if migrate == Migrate::Off {
                self.step(schema::check_mysql(&mut connection, &applied.versions())).await?;
                return Err(migrate::not_migrated());
            }
            // The lock ends with the connection, so a server that dies while it holds it blocks no
            // other.
            self.step(self.lock_migrations(&mut connection)).await?;
            self.step(check_list(&mut connection)).await?;
            self.step(forget_what_is_missing(&mut connection)).await?;
            migrate::apply(&migrate::MYSQL, &mut connection).await?;
            self.step(self.unlock_migrations(&mut connection)).await?;
        }
        applied.note_newer(&migrate::MYSQL);
        let limits = self.step(set_up(&mut connection, self.statement_timeout())).await?;
        self.pool.adopt(connection, limits, flushes);
        Ok(())
    }

    /// Fails when the database does not respond within a time. Waiting for a connection in use is
    /// not part of that: there may be only one.
    pub async fn probe(&self, limit: Duration) -> sqlx::Result<()> {
        let waits_for_cluster = self.limits().waits_for_cluster;
        let look = async |connection: &mut MySqlConnection| {
            // Its own statement was prepared long ago, but requests may need new ones.
            if self.pool.statement_refused.load(Ordering::Relaxed) {
                query("select 1").persistent(false).execute(&mut *connection).await?;
                self.pool.statement_refused.store(false, Ordering::Relaxed);
            }
            let begun = Instant::now();
            let ids = sequence::look(connection, waits_for_cluster).await?;
            self.distance.note_round_trip(begun.elapsed());
            Ok(ids)
        };
        let ids = self.with_watchdog_lease(limit, look).await?;
        *self.ids() = ids;
        self.floor.store(ids.floor(), Ordering::Relaxed);
        Ok(())
    }

    pub fn floor(&self) -> MessageId {
        self.floor.load(Ordering::Relaxed)
    }

    /// Records the newest id, and maintains the connections.
    pub async fn maintain(&self, limit: Duration) -> sqlx::Result<()> {
        let ids = *self.ids();
        if !ids.are_recorded() {
            self.with_watchdog_lease(limit, async |connection| {
                sequence::record(connection, ids).await
            })
            .await?;
        }
        self.pool.maintain();
        Ok(())
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Uses a connection for the watchdog.
    async fn with_watchdog_lease<T>(
        &self,
        limit: Duration,
        operation: impl AsyncFnOnce(&mut MySqlConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let wait = PERMIT_TIMEOUT + self.distance.allowance();
        let permit = timeout(wait, self.pool.permits.acquire(PoolKind::Watchdog)).await;
        let permit = permit.map_err(|_| sqlx::Error::PoolTimedOut)??;
        within(limit, async {
            let mut lease = Lease::take(&self.pool, permit).await?;
            let result = operation(lease.connection()).await;
            lease.end(result.as_ref().err());
            result
        })
        .await
    }

    async fn connect_or_create(&self, migrate: Migrate) -> sqlx::Result<MySqlConnection> {
        let connected = self.pool.login.connect().await;
        let missing =
            |error: &sqlx::Error| DatabaseFault::of(error) == Some(DatabaseFault::DatabaseMissing);
        if migrate == Migrate::Off || !connected.as_ref().is_err_and(missing) {
            return connected;
        }
        self.pool.login.create_database().await
    }

    async fn step<T>(&self, step: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        within(STEP_TIMEOUT + self.distance.allowance(), step).await
    }

    /// Waits for the right to migrate, which one connection of the whole server has at a time.
    async fn lock_migrations(&self, connection: &mut MySqlConnection) -> sqlx::Result<()> {
        // Lock names are shared by all databases of a server and at most 64 characters long.
        let locked: Option<i64> =
            query_scalar("select get_lock(concat('chat-server.', md5(?)), ?)")
                .bind(self.pool.login.database())
                .bind(LOCK_WAIT_SECONDS)
                .fetch_one(connection)
                .await?;
        if locked == Some(1) { Ok(()) } else { Err(migrate::under_way()) }
    }

    async fn unlock_migrations(&self, connection: &mut MySqlConnection) -> sqlx::Result<()> {
        // Vitess knows no `do`.
        query("select release_lock(concat('chat-server.', md5(?)))")
            .bind(self.pool.login.database())
            .execute(connection)
            .await
            .map(drop)
    }

    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn is_current(applied: &Applied, connection: &mut MySqlConnection) -> sqlx::Result<bool> {
    Ok(applied.is_current(&migrate::MYSQL, connection).await?
        && migrate::tables_exist(sequence::look(connection, false).await.map(drop))?)
}

/// Fails when the tables are another application's; takes over the list of earlier servers. Another
/// server may have migrated before this one had the lock, so it reads the list itself.
async fn check_list(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    let applied = Applied::read(&migrate::MYSQL, connection).await?;
    schema::check_mysql(connection, &applied.versions()).await?;
    if applied.is_old() {
        migrate::create_list(connection).await?;
        queries::mysql::copy_migrations(connection).await?;
    }
    Ok(())
}

/// MySQL commits each DDL statement by itself, so a server that died in a migration leaves it
/// marked as begun; and a table whose migration is marked as done may have been dropped by hand.
/// All migrations can run again; without the mark, they do.
async fn forget_what_is_missing(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    let failed_only = migrate::tables_exist(sequence::look(connection, false).await.map(drop))?;
    let version_max = migrate::version_max(&migrate::MYSQL);
    let forgotten = queries::mysql::forget_migrations(connection, version_max, failed_only).await;
    migrate::tables_exist(forgotten).map(drop)
}
