//! A connection to MySQL in use.

use super::{connection::Connection, limits::is_out_of_statements, permits::Permit, pool::Pool};
use crate::{readiness::DatabaseFault, store::distance::is_too_slow};
use sqlx::MySqlConnection;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// How long after its start a connection is taken to lead to the right server.
const NEW_FOR: Duration = Duration::from_secs(5);

/// A connection in use. Unless its use is ended with success, it is closed, which ends its
/// transaction, releases its locks, and leaves no result unread.
pub struct Lease {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    permit: Permit,
}

impl Lease {
    /// A connection of the pool. How long waiting for a permit may take is up to the caller.
    pub async fn take(pool: &Arc<Pool>, permit: Permit) -> sqlx::Result<Self> {
        let (connection, permit) = pool.take(permit).await?;
        Ok(Self { pool: Arc::clone(pool), connection: Some(connection), permit })
    }

    pub fn connection(&mut self) -> &mut MySqlConnection {
        &mut self.connection.as_mut().expect("a lease has its connection until it ends").raw
    }

    /// Ends the use of the connection, which is kept if there was no error. Some errors make all
    /// other connections useless too: the database is down, or now elsewhere.
    pub fn end(mut self, error: Option<&sqlx::Error>) {
        let Some(error) = error else {
            if let Some(connection) = self.connection.take() {
                self.pool.put(connection, self.permit.kind);
            }
            return;
        };
        if is_out_of_statements(error) {
            self.pool.statement_refused.store(true, Ordering::Relaxed);
        }
        let are_useless = match DatabaseFault::of(error) {
            // One slow statement says nothing of the other connections.
            Some(DatabaseFault::Unreachable) => !is_too_slow(error),
            // On a new connection it shows that the database itself is read-only.
            Some(DatabaseFault::ReadOnly) => self.age() > NEW_FOR,
            _ => false,
        };
        if are_useless {
            self.pool.flush();
        }
    }

    fn age(&self) -> Duration {
        self.connection.as_ref().map_or(Duration::ZERO, |it| it.opened_at.elapsed())
    }
}
