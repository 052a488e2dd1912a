//! The store: messages and users, kept in MySQL or SQLite.
//!
//! What it promises, each line with a test under `tests/it/`:
//!
//! - A message that was acknowledged is committed, and stays.
//! - A message is stored once, however often its request is repeated with the same key and however
//!   often its connection breaks.
//! - A read begins after its request, so it has every message acknowledged before that.
//! - Every call ends by its deadline. No result never means success: the write may have happened,
//!   and repeating it with the same key is safe.
//! - A post goes on when its client disconnects, so nothing is left half done.

mod watchdog;
mod first_users;
mod latest;
mod shared_read;
mod group_commit;
mod retry;
mod batching;
mod session;
mod database;
mod sqlite;
mod mysql;
mod migrate;
mod queries;
mod schema;
mod location;
mod pool_kind;
mod distance;
mod page;
mod fault;
mod error;

pub use error::StoreError;
pub use first_users::{FirstNames, NAMES_MAX};
pub use group_commit::Posted;
pub use latest::{LATEST_MAX, Latest};
pub use location::Location;
pub use page::Page;
pub use pool_kind::PoolUse;

use crate::{
    config::{DatabaseUrl, Migrate},
    message::{Message, MessageId, NewMessage},
    readiness::Readiness,
};
use batching::{BatchHandler, Queue, queue};
use database::Database;
use first_users::FirstUsers;
use group_commit::GroupCommit;
use latest::LatestMessages;
use pool_kind::PoolKind;
use retry::Retry;
use session::Session;
use shared_read::{SharedRead, Source};
use std::sync::Arc;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::task::TaskTracker;

/// The maximum number of reads with a query of their own that wait for a connection at once. With
/// more of them, a response would be late anyway.
const READS_MAX: usize = 1_024;

/// What the store needs to know of the settings.
#[derive(Debug)]
pub struct StoreOptions<'a> {
    pub url: &'a DatabaseUrl,
    pub connections_max: u32,
    /// The maximum number of posts that wait at once.
    pub write_queue: usize,
}

#[derive(Debug)]
pub struct Store {
    database: Database,
    readiness: Arc<Readiness>,
    posts: Queue<NewMessage, Posted>,
    latest: Queue<(), Arc<Latest>>,
    first_users: Queue<(), Arc<FirstNames>>,
    /// Reads with a query of their own.
    reads: Semaphore,
    tasks: TaskTracker,
}

impl Store {
    /// Opens nothing yet: [`Store::keep_ready`] does.
    ///
    /// # Errors
    /// When the URL is not that of a MySQL or an SQLite database.
    pub fn new(options: &StoreOptions<'_>, readiness: Arc<Readiness>) -> anyhow::Result<Self> {
        let database = Database::new(options.url, options.connections_max)?;
        let tasks = TaskTracker::new();
        let session = |kind| Session::new(&database, kind);
        let latest = LatestMessages::new(session(PoolKind::SharedReads));
        let latest = SharedRead::new(latest, Arc::clone(&readiness));
        let first_users = FirstUsers::new(session(PoolKind::SharedReads));
        let first_users = SharedRead::new(first_users, Arc::clone(&readiness));
        let posts = GroupCommit::new(session(PoolKind::Posts), Arc::clone(&readiness));
        Ok(Self {
            posts: spawn_batcher(&tasks, options.write_queue, posts),
            // A client has one request at a time on a connection, and the connections are limited.
            latest: spawn_batcher(&tasks, Semaphore::MAX_PERMITS, latest),
            first_users: spawn_batcher(&tasks, Semaphore::MAX_PERMITS, first_users),
            reads: Semaphore::new(READS_MAX),
            database,
            readiness,
            tasks,
        })
    }

    /// Creates and migrates the database, then watches it and repairs what can be repaired. Returns
    /// only when the database has never served and no retry can help, with the reason.
    pub async fn keep_ready(&self, migrate: Migrate) -> String {
        watchdog::keep_ready(&self.database, &self.readiness, migrate).await
    }

    /// Where the database is.
    pub fn location(&self) -> Location {
        self.database.location()
    }

    /// Stores a message, once. After an error it may be stored even so.
    pub async fn post(&self, message: NewMessage, deadline: Instant) -> Result<Posted, StoreError> {
        self.posts.submit(message, deadline).await
    }

    /// The newest messages, up to [`LATEST_MAX`], by a read that many requests share.
    pub async fn latest(&self, deadline: Instant) -> Result<Arc<Latest>, StoreError> {
        self.latest.submit((), deadline).await
    }

    /// The first user names in byte order, up to [`NAMES_MAX`], by a read that many requests share.
    pub async fn first_users(&self, deadline: Instant) -> Result<Arc<FirstNames>, StoreError> {
        self.first_users.submit((), deadline).await
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

    /// The queues: name, requests that wait or are being handled, and how many may.
    pub fn queues(&self) -> [(&'static str, usize, Option<usize>); 3] {
        [
            ("posts", self.posts.pending(), Some(self.posts.limit)),
            (LatestMessages::NAMES.1, self.latest.pending(), None),
            (FirstUsers::NAMES.1, self.first_users.pending(), None),
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

    /// Accepts no more calls, waits for those under way, and closes the connections.
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
        let mut retry = Retry::until(deadline, &self.readiness);
        loop {
            let session = Session::new(&self.database, PoolKind::OtherReads);
            // Boxed, so that the handlers' futures stay small for the requests that do not come
            // here.
            if let Some(result) = retry.attempt(Box::pin(query(session))).await? {
                return Ok(result);
            }
        }
    }
}

/// Starts the task of a queue. One is enough: a second one shares the database's work instead of
/// adding to it (docs/performance.md).
fn spawn_batcher<Q: Send + 'static, R: Send + 'static>(
    tasks: &TaskTracker,
    limit: usize,
    handler: impl BatchHandler<Q, R> + 'static,
) -> Queue<Q, R> {
    let (queue, batcher) = queue(limit);
    tasks.spawn(batcher.run(handler));
    queue
}
