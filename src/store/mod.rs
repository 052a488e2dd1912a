//! The store: messages and users, kept in MySQL or SQLite.
//!
//! What it promises, each line with a test under `tests/it/`:
//!
//! - A message that was answered with success is committed, and stays.
//! - A message is stored once, however often its request is repeated with the same key and however
//!   often its connection breaks.
//! - A read begins after it was asked for, so it has every message acknowledged before that.
//! - Every call ends by its deadline. No result never means success: the write may have happened,
//!   and repeating it with the same key is safe.
//! - A call goes on when its client goes away, so nothing is left half done.

mod database;
mod error;
mod lease;
mod migrate;
mod mysql;
mod queries;
mod sqlite;
mod watch;

pub use database::Page;
pub use error::{StoreError, Trouble};

use crate::{
    config::Migrate,
    health::Health,
    message::{Message, MessageId, NewMessage},
};
use database::Database;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug};

/// First pause between two attempts of one call; it doubles each time, up to [`PAUSE_MAX`]. Long
/// enough for a deadlock's other side to finish, short against any deadline.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Most reads that may wait for a connection at once. Beyond it an answer would be late anyway.
const READS_MAX: usize = 1_024;

/// What the store needs to know of the settings.
#[derive(Debug)]
pub struct StoreOptions<'a> {
    pub url: &'a str,
    pub connections_max: u32,
    /// Most posts that may wait at once.
    pub write_queue: usize,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Posted {
    Created(Message),
    /// An earlier request with the same key stored it.
    Replayed(Message),
    /// An earlier request with the same key stored another text.
    KeyReused,
}

#[derive(Debug)]
pub struct Store {
    database: Database,
    health: Arc<Health>,
    writes: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    /// The calls under way.
    calls: TaskTracker,
}

impl Store {
    /// Opens nothing yet: [`Store::keep_ready`] does.
    ///
    /// # Errors
    /// When the URL is not that of a database of ours.
    pub fn new(options: &StoreOptions<'_>, health: Arc<Health>) -> anyhow::Result<Self> {
        Ok(Self {
            database: Database::new(options.url, options.connections_max)?,
            health,
            writes: Arc::new(Semaphore::new(options.write_queue)),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            calls: TaskTracker::new(),
        })
    }

    /// Creates and migrates the database, then watches it and mends what can be mended, for ever.
    pub async fn keep_ready(&self, migrate: Migrate) {
        watch::keep_ready(&self.database, &self.health, migrate).await;
    }

    /// Stores a message, once. After an error it may be stored even so.
    pub async fn post(&self, message: NewMessage, deadline: Instant) -> Result<Posted, StoreError> {
        let batch = Arc::new([message]);
        let posted = self
            .call(&self.writes, deadline, move |database| {
                let batch = Arc::clone(&batch);
                async move { database.commit(&batch[..]).await }
            })
            .await?;
        posted.into_iter().next().ok_or(StoreError::Internal(sqlx::Error::RowNotFound))
    }

    pub async fn messages(
        &self,
        page: Page,
        deadline: Instant,
    ) -> Result<Vec<Message>, StoreError> {
        self.call(
            &self.reads,
            deadline,
            move |database| async move { database.messages(page).await },
        )
        .await
    }

    pub async fn message(
        &self,
        id: MessageId,
        deadline: Instant,
    ) -> Result<Option<Message>, StoreError> {
        self.call(&self.reads, deadline, move |database| async move { database.message(id).await })
            .await
    }

    /// The names after `after`, in byte order.
    pub async fn users(
        &self,
        after: String,
        limit: i64,
        deadline: Instant,
    ) -> Result<Vec<String>, StoreError> {
        self.call(&self.reads, deadline, move |database| {
            let after = after.clone();
            async move { database.users(after, limit).await }
        })
        .await
    }

    /// Takes no more calls, waits until the ones under way are done, and closes the connections.
    pub async fn close(&self) {
        self.reads.close();
        self.writes.close();
        self.calls.close();
        self.calls.wait().await;
        self.database.close().await;
    }

    /// Runs one operation until it succeeds, fails for good, or its time is over.
    async fn call<T, F, Op>(
        &self,
        limit: &Arc<Semaphore>,
        deadline: Instant,
        operation: Op,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = sqlx::Result<T>> + Send,
        Op: Fn(Database) -> F + Send + Sync + 'static,
    {
        let permit = Arc::clone(limit).try_acquire_owned().map_err(|error| match error {
            tokio::sync::TryAcquireError::NoPermits => StoreError::Overloaded,
            tokio::sync::TryAcquireError::Closed => StoreError::Closed,
        })?;
        let (database, health) = (self.database.clone(), Arc::clone(&self.health));
        let attempts = async move {
            let _permit = permit;
            attempt_until(deadline, &health, || operation(database.clone())).await
        };
        // In a task of its own, because a handler is dropped when its client goes away.
        match self.calls.spawn(attempts.in_current_span()).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going.
                Err(_) => Err(StoreError::Closed),
            },
        }
    }
}

async fn attempt_until<T, F: Future<Output = sqlx::Result<T>>>(
    deadline: Instant,
    health: &Health,
    operation: impl Fn() -> F,
) -> Result<T, StoreError> {
    let mut pause = PAUSE_MIN;
    let mut last_trouble = None;
    loop {
        // Asking a database that is known to be down would only make its clients wait.
        if let Some(trouble) = health.database().trouble {
            return Err(StoreError::Unavailable(trouble));
        }
        let Ok(result) = timeout_at(deadline, operation()).await else { break };
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(trouble) = Trouble::of(&error) else { return Err(StoreError::Internal(error)) };
        debug!(db.trouble = trouble.as_str(), %error, "Store call failed, trying again");
        // Who may not write is told at once, after one more try on a new connection: a failover may
        // have moved the right elsewhere.
        let refused = matches!(trouble, Trouble::ReadOnly | Trouble::AccessDenied);
        if refused && last_trouble == Some(trouble) {
            break;
        }
        last_trouble = Some(trouble);
        // A random part keeps the two sides of a deadlock from meeting again.
        let wake = Instant::now() + pause.mul_f64(0.5 + fastrand::f64());
        if wake >= deadline {
            break;
        }
        tokio::time::sleep_until(wake).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    Err(last_trouble.map_or(StoreError::DeadlineExceeded, StoreError::Unavailable))
}
