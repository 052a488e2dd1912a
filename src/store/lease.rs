//! A connection to MySQL in use, and the right to use one.

use super::{database::Purpose, error::Trouble, pool::Pool};
use sqlx::{Connection as _, MySqlConnection};
use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle, time::timeout};

/// How long closing a connection in order may take. The database needs none of it.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub struct Connection {
    pub raw: MySqlConnection,
    pub opened_at: Instant,
    pub used_at: Instant,
    /// The flushes before it was opened.
    pub flushes: u64,
    _counted: Arc<()>,
}

/// The right to use a connection.
#[derive(Debug)]
pub struct Place {
    pub purpose: Purpose,
    pub permit: OwnedSemaphorePermit,
    _read: Option<OwnedSemaphorePermit>,
}

/// A connection in use. Unless its use is ended with success, it is closed, which ends its
/// transaction, releases its locks, and leaves no answer unread.
pub struct Lease {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    place: Place,
}

impl Connection {
    pub fn new(raw: MySqlConnection, flushes: u64, counted: Arc<()>) -> Self {
        let now = Instant::now();
        Self { raw, opened_at: now, used_at: now, flushes, _counted: counted }
    }
}

impl Place {
    /// With the right of a read with a query of its own to ask for it.
    pub fn new(
        purpose: Purpose,
        permit: OwnedSemaphorePermit,
        read: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { purpose, permit, _read: read }
    }
}

impl Lease {
    pub fn new(pool: &Arc<Pool>, connection: Connection, place: Place) -> Self {
        Self { pool: Arc::clone(pool), connection: Some(connection), place }
    }

    /// Ends the use of the connection, which is kept if there was no error. After some errors, the
    /// others are of no use either: the database has gone, or it is now elsewhere.
    pub fn end(mut self, error: Option<&sqlx::Error>) {
        if let Some(error) = error {
            if matches!(Trouble::of(error), Some(Trouble::Unreachable | Trouble::ReadOnly)) {
                self.pool.flush();
            }
        } else if let Some(connection) = self.connection.take() {
            self.pool.put(connection, self.place.purpose);
        }
    }
}

impl Deref for Lease {
    type Target = MySqlConnection;

    fn deref(&self) -> &Self::Target {
        &self.connection.as_ref().expect("a lease has its connection until it ends").raw
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection.as_mut().expect("a lease has its connection until it ends").raw
    }
}

/// Closes connections in the background.
pub fn close(connections: Vec<Connection>) -> Vec<JoinHandle<()>> {
    let close = |connection: Connection| {
        tokio::spawn(async { drop(timeout(CLOSE_TIMEOUT, connection.raw.close()).await) })
    };
    connections.into_iter().map(close).collect()
}
