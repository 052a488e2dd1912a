//! Join the next read: one query answers everybody who asked before it began.

use super::{
    attempts::Attempts,
    error::StoreError,
    inbox::{Call, Serve, operation},
    page::Page,
    session::Session,
};
use crate::{
    message::{Message, MessageId},
    readiness::Readiness,
};
use std::{collections::VecDeque, pin::pin, sync::Arc, time::Duration};
use tokio::time::Instant;
use tracing::Instrument;

/// How many of the newest messages a shared read has.
pub const LATEST_MAX: u32 = 100;

/// How many of the first user names a shared read has: a page, and one more to tell that there is
/// more.
pub const NAMES_MAX: u32 = 1_001;

/// How often everything is read, however little seems to have changed. What somebody deletes or
/// changes by hand is gone within this time.
const READ_ALL_EVERY: Duration = Duration::from_secs(1);

/// The newest messages, the newest first.
pub type Latest = Vec<Arc<Message>>;

/// The first user names in byte order.
pub type FirstNames = Vec<String>;

/// Something that can be read.
pub trait Source: Send {
    type Found: Send + Sync;

    /// What traces call the reading, and metrics the inbox.
    const NAMES: (&'static str, &'static str);

    fn read(&mut self) -> impl Future<Output = sqlx::Result<Arc<Self::Found>>> + Send;

    fn rest(&mut self);
}

type ReadCall<S> = Call<(), Arc<<S as Source>::Found>>;

pub struct SharedRead<S> {
    source: S,
    health: Arc<Readiness>,
    /// The changes of the database's state before which the source learnt what it knows.
    changes: u64,
}

impl<S: Source> SharedRead<S> {
    pub const fn new(source: S, health: Arc<Readiness>) -> Self {
        Self { source, health, changes: 0 }
    }

    async fn read(&mut self, deadline: Instant) -> Result<Arc<S::Found>, StoreError> {
        let mut attempts = Attempts::until(deadline, &self.health);
        loop {
            if let Some(found) = attempts.attempt(pin!(self.source.read())).await? {
                return Ok(found);
            }
            self.source.rest();
        }
    }
}

impl<S: Source> Serve<(), Arc<S::Found>> for SharedRead<S> {
    const ROUNDS: usize = 3;

    async fn serve(&mut self, waiting: &mut VecDeque<ReadCall<S>>) {
        let calls: Vec<_> = std::mem::take(waiting).into();
        if self.health.take_change(&mut self.changes) {
            self.rest();
        }
        let deadline = calls.iter().map(|call| call.deadline).max().unwrap_or_else(Instant::now);
        let (name, inbox) = S::NAMES;
        let operation = operation(name, inbox, &calls);
        let result = pin!(self.read(deadline)).instrument(operation).await;
        if result.is_err() {
            self.rest();
        }
        for call in calls {
            call.answer(result.clone());
        }
    }

    fn rest(&mut self) {
        self.source.rest();
    }
}

/// Reads the newest messages, and of those only what is new: ids become visible in their order, so
/// nothing can appear below the newest known message.
#[derive(Debug)]
pub struct LatestMessages {
    session: Session,
    /// What the last read found, and when everything was read.
    last: Option<(Arc<Latest>, Instant)>,
}

impl LatestMessages {
    pub const fn new(session: Session) -> Self {
        Self { session, last: None }
    }

    /// Takes in a page that is complete.
    fn all_read(&mut self, page: Vec<Message>) -> Arc<Latest> {
        let latest = match self.last.take() {
            Some((last, _)) if is_same(&page, &last) => last,
            _ => Arc::new(page.into_iter().map(Arc::new).collect()),
        };
        self.last = Some((Arc::clone(&latest), Instant::now()));
        latest
    }
}

impl Source for LatestMessages {
    type Found = Latest;

    const NAMES: (&'static str, &'static str) = ("read latest messages", "latest_messages");

    async fn read(&mut self) -> sqlx::Result<Arc<Latest>> {
        if let Some((last, all_read_at)) = &mut self.last
            && let Some(newest_known) = last.first()
            && all_read_at.elapsed() < READ_ALL_EVERY
        {
            let mut page = self.session.messages(newest(newest_known.id - 1)).await?;
            if page.len() == LATEST_MAX as usize {
                return Ok(self.all_read(page));
            }
            // The newest known message must come back as it was. If it does not, this is another
            // database, and all that is known is void.
            if page.pop().as_ref() == Some(&**newest_known) {
                if !page.is_empty() {
                    let new = page.into_iter().map(Arc::new);
                    let old = last.iter().cloned();
                    *last = Arc::new(new.chain(old).take(LATEST_MAX as usize).collect());
                }
                return Ok(Arc::clone(last));
            }
        }
        let page = self.session.messages(newest(0)).await?;
        Ok(self.all_read(page))
    }

    fn rest(&mut self) {
        self.session.rest();
        self.last = None;
    }
}

fn is_same(page: &[Message], known: &[Arc<Message>]) -> bool {
    page.iter().eq(known.iter().map(|message| &**message))
}

const fn newest(after: MessageId) -> Page {
    Page::Newest { after, before: MessageId::MAX, limit: LATEST_MAX }
}

/// Reads the first user names.
#[derive(Debug)]
pub struct FirstUsers {
    session: Session,
    last: Option<Arc<FirstNames>>,
}

impl FirstUsers {
    pub const fn new(session: Session) -> Self {
        Self { session, last: None }
    }
}

impl Source for FirstUsers {
    type Found = FirstNames;

    const NAMES: (&'static str, &'static str) = ("read first users", "first_users");

    async fn read(&mut self) -> sqlx::Result<Arc<FirstNames>> {
        let names = self.session.users("", NAMES_MAX).await?;
        let names = match self.last.take() {
            Some(last) if *last == names => last,
            _ => Arc::new(names),
        };
        self.last = Some(Arc::clone(&names));
        Ok(names)
    }

    fn rest(&mut self) {
        self.session.rest();
        self.last = None;
    }
}
