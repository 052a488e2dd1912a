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
//! - A post goes on when its client goes away, so nothing is left half done.

mod attempts;
mod database;
mod distance;
mod error;
mod inbox;
#[cfg(test)]
mod interleavings;
mod kept;
mod lease;
mod limits;
mod location;
mod login;
mod migrate;
mod mysql;
mod mysql_session;
mod mysql_url;
mod page;
mod permits;
mod pool;
mod posts;
mod queries;
mod schema;
mod sequence;
mod session;
mod shared_read;
mod sqlite;
mod sqlite_file;
mod target;
mod transaction;
mod watch;

pub use database::PoolUse;
pub use error::{DatabaseFault, StoreError};
pub use location::Location;
pub use page::Page;
pub use shared_read::{FirstNames, LATEST_MAX, Latest, NAMES_MAX};

use crate::{
    config::DatabaseUrl,
    config::Migrate,
    message::{Message, MessageId, NewMessage},
    readiness::Readiness,
};
use attempts::Attempts;
use database::{Database, Purpose};
use inbox::{Calls, Serve, inbox};
use posts::Posts;
use session::Session;
use shared_read::{FirstUsers, LatestMessages, SharedRead, Source};
use std::sync::Arc;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::task::TaskTracker;

/// Most reads with a query of their own that may wait for a connection at once. Beyond it an answer
/// would be late anyway.
const READS_MAX: usize = 1_024;

/// What the store needs to know of the settings.
#[derive(Debug)]
pub struct StoreOptions<'a> {
    pub url: &'a DatabaseUrl,
    pub connections_max: u32,
    /// Most posts that may wait at once.
    pub write_queue: usize,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    Created(Message),
    /// It was stored before: by an earlier request with the same key, or by an earlier attempt of
    /// this one that seemed to have failed.
    Replayed(Message),
    /// An earlier request with the same key stored another text.
    KeyReused,
}

#[derive(Debug)]
pub struct Store {
    database: Database,
    health: Arc<Readiness>,
    posts: Calls<NewMessage, Posted>,
    latest: Calls<(), Arc<Latest>>,
    first_users: Calls<(), Arc<FirstNames>>,
    /// Reads with a query of their own.
    reads: Semaphore,
    tasks: TaskTracker,
}

impl Store {
    /// Opens nothing yet: [`Store::keep_ready`] does.
    ///
    /// # Errors
    /// When the URL is not that of a database of ours.
    pub fn new(options: &StoreOptions<'_>, health: Arc<Readiness>) -> anyhow::Result<Self> {
        let database = Database::new(options.url, options.connections_max)?;
        let tasks = TaskTracker::new();
        let shared = || (database.session(Purpose::SharedReads), Arc::clone(&health));
        let (session, its_health) = shared();
        let latest = SharedRead::new(LatestMessages::new(session), its_health);
        let (session, its_health) = shared();
        let first_users = SharedRead::new(FirstUsers::new(session), its_health);
        let posts = Posts::new(database.session(Purpose::Posts), Arc::clone(&health));
        Ok(Self {
            posts: serve_by(&tasks, options.write_queue, posts),
            // A client connection asks for one thing at a time, and the connections are limited.
            latest: serve_by(&tasks, Semaphore::MAX_PERMITS, latest),
            first_users: serve_by(&tasks, Semaphore::MAX_PERMITS, first_users),
            reads: Semaphore::new(READS_MAX),
            database,
            health,
            tasks,
        })
    }

    /// Creates and migrates the database, then watches it and repairs what can be repaired. Returns
    /// only when the database has never served and no retry can help, with the reason.
    pub async fn keep_ready(&self, migrate: Migrate) -> String {
        watch::keep_ready(&self.database, &self.health, migrate).await
    }

    /// Where the database is.
    pub fn location(&self) -> Location {
        Location::of(&self.database)
    }

    /// Stores a message, once. After an error it may be stored even so.
    pub async fn post(&self, message: NewMessage, deadline: Instant) -> Result<Posted, StoreError> {
        self.posts.ask(message, deadline).await
    }

    /// The newest messages, up to [`LATEST_MAX`], by a read that many requests share.
    pub async fn latest(&self, deadline: Instant) -> Result<Arc<Latest>, StoreError> {
        self.latest.ask((), deadline).await
    }

    /// The first user names in byte order, up to [`NAMES_MAX`], by a read that many requests share.
    pub async fn first_users(&self, deadline: Instant) -> Result<Arc<FirstNames>, StoreError> {
        self.first_users.ask((), deadline).await
    }

    pub async fn messages(
        &self,
        page: Page,
        deadline: Instant,
    ) -> Result<Vec<Message>, StoreError> {
        self.read(deadline, move |mut session| async move { session.messages(page).await }).await
    }

    pub async fn message(
        &self,
        id: MessageId,
        deadline: Instant,
    ) -> Result<Option<Message>, StoreError> {
        self.read(deadline, move |mut session| async move { session.message(id).await }).await
    }

    /// The names after `after`, in byte order.
    pub async fn users(
        &self,
        after: String,
        limit: u32,
        deadline: Instant,
    ) -> Result<Vec<String>, StoreError> {
        let after = after.as_str();
        self.read(deadline, move |mut session| async move { session.users(after, limit).await })
            .await
    }

    /// The queues: name, calls that wait or are being served, and how many may.
    pub fn queues(&self) -> [(&'static str, usize, Option<usize>); 3] {
        [
            ("posts", self.posts.waiting(), Some(self.posts.limit)),
            (LatestMessages::NAMES.1, self.latest.waiting(), None),
            (FirstUsers::NAMES.1, self.first_users.waiting(), None),
        ]
    }

    /// The database's connections, by pool.
    pub fn pools(&self) -> Vec<PoolUse> {
        self.database.pools()
    }

    /// Limits of the database that are too small, and what to do about them.
    pub fn warnings(&self) -> Vec<String> {
        self.database.warnings()
    }

    /// Takes no more calls, waits until the ones under way are done, and closes the connections.
    pub async fn close(&self) {
        self.posts.close();
        self.latest.close();
        self.first_users.close();
        self.reads.close();
        self.tasks.close();
        self.tasks.wait().await;
        self.database.close().await;
    }

    /// Runs a query for one request alone.
    async fn read<T, F>(
        &self,
        deadline: Instant,
        query: impl Fn(Session) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        let _place = self.reads.try_acquire()?;
        let mut attempts = Attempts::until(deadline, &self.health);
        loop {
            let session = self.database.session(Purpose::OtherReads);
            // Boxed, so that the handlers' futures stay small for the requests that do not come
            // here.
            if let Some(result) = attempts.attempt(Box::pin(query(session))).await? {
                return Ok(result);
            }
        }
    }
}

/// Starts the task that serves an inbox. One is enough: a second one shares the database's work
/// instead of adding to it (docs/performance.md).
fn serve_by<Q: Send + 'static, A: Send + 'static>(
    tasks: &TaskTracker,
    limit: usize,
    server: impl Serve<Q, A> + 'static,
) -> Calls<Q, A> {
    let (calls, inbox) = inbox(limit);
    tasks.spawn(inbox.serve(server));
    calls
}
