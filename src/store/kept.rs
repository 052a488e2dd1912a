//! The connection to SQLite that a task keeps from one operation to the next.

use sqlx::{Database, Pool, pool::PoolConnection};
use std::{
    ops::{Deref, DerefMut},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// After how long a kept connection goes back to its pool, which ends it when its life is over.
const KEPT_MAX: Duration = Duration::from_mins(1);

/// How long giving a connection back may take: until then it has its place in the pool. A database
/// that serves answers within milliseconds, and a new connection costs little more.
const GIVE_BACK_TIMEOUT: Duration = Duration::from_millis(500);

/// The connection that a task keeps from one operation to the next. The pool asks the database for
/// a sign of life before it lends a connection and when it gets it back: two round trips for each
/// operation's one.
#[derive(Debug)]
pub struct Kept<DB: Database>(Option<(PoolConnection<DB>, Instant)>);

impl<DB: Database> Default for Kept<DB> {
    fn default() -> Self {
        Self(None)
    }
}

impl<DB: Database> Kept<DB> {
    /// The kept connection, or one of the pool's.
    pub async fn take(&mut self, pool: &Pool<DB>) -> sqlx::Result<Lease<DB>> {
        if let Some((connection, since)) = self.0.take_if(|(_, since)| since.elapsed() < KEPT_MAX) {
            return Ok(Lease { connection: Some(connection), since });
        }
        self.rest();
        let connection = pool.acquire().await?;
        Ok(Lease { connection: Some(connection), since: Instant::now() })
    }

    /// Ends a lease. The connection is kept after a success; after an error it is closed, which
    /// ends its transaction and releases its locks. (SQLite ends one by itself when the disk is
    /// full, and sqlx goes on believing that it is in one.)
    pub fn put<T, E>(&mut self, mut lease: Lease<DB>, result: Result<T, E>) -> Result<T, E> {
        if result.is_ok() {
            self.0 = lease.connection.take().map(|connection| (connection, lease.since));
        }
        result
    }

    /// Gives the connection back to its pool, or closes it when the database keeps silent.
    pub fn rest(&mut self) {
        if let Some((mut connection, _)) = self.0.take() {
            // What sqlx does with a connection that is dropped, but without a time limit.
            let giving_back = connection.return_to_pool();
            tokio::spawn(async { timeout(GIVE_BACK_TIMEOUT, giving_back).await.ok() });
        }
    }
}

impl<DB: Database> Drop for Kept<DB> {
    fn drop(&mut self) {
        self.rest();
    }
}

/// A connection during an operation, which is kept only when its last answer has been read.
///
/// sqlx has no query timeout: a query that is given up leaves its connection in the middle of an
/// answer, and giving that back makes the pool wait for a peer that may be gone for ever.
pub struct Lease<DB: Database> {
    connection: Option<PoolConnection<DB>>,
    since: Instant,
}

impl<DB: Database> Drop for Lease<DB> {
    fn drop(&mut self) {
        // Outside the pool, dropping a connection closes its socket and frees its place.
        drop(self.connection.take().map(PoolConnection::detach));
    }
}

impl<DB: Database> Deref for Lease<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &Self::Target {
        self.connection.as_ref().expect("a lease holds its connection until it ends")
    }
}

impl<DB: Database> DerefMut for Lease<DB> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.connection.as_mut().expect("a lease holds its connection until it ends")
    }
}
