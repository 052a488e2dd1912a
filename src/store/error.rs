//! What can go wrong below HTTP: the few cases that callers tell apart. No status codes here.

use crate::readiness::DatabaseFault;
use std::sync::Arc;
use tokio::sync::TryAcquireError;

/// Why a store call has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// As many calls as the limit allows are under way.
    #[error("too many calls are waiting for the database")]
    Overloaded,
    /// The server is stopping.
    #[error("the store is closed")]
    Closed,
    /// The database cannot serve now; a write may or may not have happened.
    #[error("the database is not available: {}", .0.as_str())]
    Unavailable(DatabaseFault),
    /// The call's deadline has passed; a write may or may not have happened.
    #[error("the database did not respond in time")]
    DeadlineExceeded,
    /// The text is too long for the database.
    #[error("the database takes texts of up to {bytes_max} bytes")]
    TextTooLong { bytes_max: usize },
    /// A bug in this server, such as SQL that the database does not understand.
    #[error("unexpected database error: {0}")]
    Internal(#[source] Arc<sqlx::Error>),
}

/// Why a batch was not stored.
#[derive(Debug)]
pub enum InsertError {
    /// Another session holds a lock on the name of one of its users.
    NameLocked(sqlx::Error),
    Failed(sqlx::Error),
}

impl InsertError {
    pub const fn cause(&self) -> &sqlx::Error {
        match self {
            Self::NameLocked(error) | Self::Failed(error) => error,
        }
    }
}

impl From<sqlx::Error> for InsertError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

/// Tables of another application are where this server's would be.
#[derive(Debug, thiserror::Error)]
#[error(
    "the database {database} has tables of another application where this server's would be: {}; \
     name a database of its own", tables.join(", ")
)]
pub struct ForeignTables {
    pub database: String,
    pub tables: Vec<&'static str>,
}

/// The settings lead to another database, which has to be prepared first.
#[derive(Debug, thiserror::Error)]
#[error("the settings lead to another database now")]
pub struct Moved;

impl StoreError {
    pub(super) fn internal(error: sqlx::Error) -> Self {
        Self::Internal(Arc::new(error))
    }
}

impl From<TryAcquireError> for StoreError {
    fn from(error: TryAcquireError) -> Self {
        match error {
            TryAcquireError::NoPermits => Self::Overloaded,
            TryAcquireError::Closed => Self::Closed,
        }
    }
}
