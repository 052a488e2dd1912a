//! A pooled connection that goes back only when its last answer has been read.
//!
//! sqlx has no query timeout: a query that is given up leaves its connection in the middle of an
//! answer, and giving that back makes the pool wait for a peer that may be gone for ever.

use super::error::is_unique_violation;
use sqlx::{Database, Pool, pool::PoolConnection};
use std::ops::{Deref, DerefMut};

pub struct Lease<DB: Database>(Option<PoolConnection<DB>>);

impl<DB: Database> Lease<DB> {
    pub async fn take(pool: &Pool<DB>) -> sqlx::Result<Self> {
        pool.acquire().await.map(|connection| Self(Some(connection)))
    }

    /// Ends the lease. The connection is kept after a success and after a refusal that is part of
    /// the game. After any other error it is closed: SQLite, for one, ends a transaction by itself
    /// when the disk is full, and sqlx goes on believing that it is in one.
    pub fn give_back<T>(mut self, result: sqlx::Result<T>) -> sqlx::Result<T> {
        if result.as_ref().err().is_none_or(is_unique_violation) {
            drop(self.0.take());
        }
        result
    }
}

impl<DB: Database> Drop for Lease<DB> {
    fn drop(&mut self) {
        // Outside the pool, dropping a connection closes its socket and frees its place.
        drop(self.0.take().map(PoolConnection::detach));
    }
}

impl<DB: Database> Deref for Lease<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("a lease holds its connection until it ends")
    }
}

impl<DB: Database> DerefMut for Lease<DB> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.0.as_mut().expect("a lease holds its connection until it ends")
    }
}
