//! The connection to SQLite that a task keeps from one operation to the next.

use sqlx::{Sqlite, SqliteConnection, SqlitePool, pool::PoolConnection};
use std::time::{Duration, Instant};

/// After how long a kept connection goes back to its pool, which closes it at the end of its life.
const KEPT_MAX: Duration = Duration::from_mins(1);

/// The connection that a task keeps, and since when. The pool checks that one is alive before it
/// lends it and when it gets it back, by asking the thread that each connection has.
#[derive(Debug, Default)]
pub struct KeptConnection(Option<(PoolConnection<Sqlite>, Instant)>);

/// A connection in use. Unless its use is ended with success, it is closed: a query that was given
/// up goes on in its thread, and the pool would wait for it.
pub struct Lease<'a> {
    kept: &'a mut KeptConnection,
    connection: Option<PoolConnection<Sqlite>>,
    since: Instant,
}

impl KeptConnection {
    /// Takes the kept connection, or one of the pool's.
    pub async fn lease(&mut self, pool: &SqlitePool) -> sqlx::Result<Lease<'_>> {
        if let Some((connection, since)) = self.0.take_if(|(_, since)| since.elapsed() < KEPT_MAX) {
            return Ok(Lease { kept: self, connection: Some(connection), since });
        }
        self.reset();
        let connection = Some(pool.acquire().await?);
        Ok(Lease { kept: self, connection, since: Instant::now() })
    }

    /// Gives the connection back to its pool.
    pub fn reset(&mut self) {
        self.0 = None;
    }
}

impl Lease<'_> {
    pub fn connection(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("a lease has its connection until it ends")
    }

    /// Ends the use. The connection is kept if there was no error; otherwise it is closed, which
    /// ends its transaction and releases its locks. (SQLite ends one by itself when the disk is
    /// full, and sqlx goes on believing that it is in one.)
    pub fn end(mut self, error: Option<&sqlx::Error>) {
        if error.is_none() {
            self.kept.0 = self.connection.take().map(|connection| (connection, self.since));
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // Outside the pool, dropping a connection closes it and frees its place.
        drop(self.connection.take().map(PoolConnection::detach));
    }
}
