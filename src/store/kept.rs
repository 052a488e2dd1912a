//! The connection to SQLite that a task keeps from one operation to the next.

use sqlx::{Sqlite, SqliteConnection, SqlitePool, pool::PoolConnection};
use std::{
    ops::{Deref, DerefMut},
    time::{Duration, Instant},
};

/// After how long a kept connection goes back to its pool, which ends it when its life is over.
const KEPT_MAX: Duration = Duration::from_mins(1);

/// The connection that a task keeps from one operation to the next. The pool makes sure that one is
/// alive before it lends it and when it gets it back, by asking the thread that each has.
#[derive(Debug, Default)]
pub struct Kept(Option<(PoolConnection<Sqlite>, Instant)>);

/// A connection during an operation. Unless it is put back, it is closed: a query that was given up
/// goes on in its thread, and the pool would wait for it.
pub struct InUse {
    connection: Option<PoolConnection<Sqlite>>,
    since: Instant,
}

impl Kept {
    /// The kept connection, or one of the pool's.
    pub async fn take(&mut self, pool: &SqlitePool) -> sqlx::Result<InUse> {
        if let Some((connection, since)) = self.0.take_if(|(_, since)| since.elapsed() < KEPT_MAX) {
            return Ok(InUse { connection: Some(connection), since });
        }
        self.rest();
        let connection = pool.acquire().await?;
        Ok(InUse { connection: Some(connection), since: Instant::now() })
    }

    /// Ends a use. The connection is kept after a success; after an error it is closed, which ends
    /// its transaction and releases its locks. (SQLite ends one by itself when the disk is full,
    /// and sqlx goes on believing that it is in one.)
    pub fn put<T, E>(&mut self, mut used: InUse, result: Result<T, E>) -> Result<T, E> {
        if result.is_ok() {
            self.0 = used.connection.take().map(|connection| (connection, used.since));
        }
        result
    }

    /// Gives the connection back to its pool.
    pub fn rest(&mut self) {
        self.0 = None;
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        // Outside the pool, dropping a connection closes it and frees its place.
        drop(self.connection.take().map(PoolConnection::detach));
    }
}

impl Deref for InUse {
    type Target = SqliteConnection;

    fn deref(&self) -> &Self::Target {
        self.connection.as_ref().expect("it has a connection until it ends")
    }
}

impl DerefMut for InUse {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.connection.as_mut().expect("it has a connection until it ends")
    }
}
