//! Group commit: the posts that wait are stored by one statement and one commit, and get their
//! responses after it.

use super::{
    batching::{BatchHandler, Pending, begin_batch},
    error::{InsertError, StoreError},
    fault::is_unique_violation,
    retry::Retry,
    session::Session,
};
use crate::{
    message::{Message, NewMessage},
    readiness::{DatabaseFault, Readiness},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

/// How often a batch may meet a duplicate that was not there when it looked.
const RACES_MAX: usize = 3;

/// The result of a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    Created(Message),
    /// It was stored before: by an earlier request with the same key, or by an earlier attempt of
    /// this one that seemed to have failed.
    Replayed(Message),
    /// An earlier request with the same key stored another text.
    KeyReused,
}

type PendingPost = Pending<NewMessage, Posted>;

#[derive(Debug)]
pub struct GroupCommit {
    session: Session,
    readiness: Arc<Readiness>,
    names: KnownNames,
    /// The changes of the database's state before which all this was learnt.
    changes: u64,
}

/// What an attempt to store a batch has led to.
enum Attempt {
    Stored(Vec<Posted>),
    /// Another session holds a lock on the name of a new user in the batch.
    NameLocked,
    /// Some of the messages have been stored since the attempt looked.
    Raced(sqlx::Error),
}

/// Why a batch was not stored.
enum NotStored {
    NameLocked,
    Failed(StoreError),
}

impl From<StoreError> for NotStored {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl GroupCommit {
    pub fn new(session: Session, readiness: Arc<Readiness>) -> Self {
        Self { session, readiness, names: KnownNames::default(), changes: 0 }
    }

    /// Stores a batch, in several attempts until its deadline if need be.
    async fn store_with_retry(&mut self, batch: &[PendingPost]) -> Result<Vec<Posted>, NotStored> {
        let messages: Vec<&NewMessage> = batch.iter().map(|post| &post.request).collect();
        let deadline = batch.iter().map(|post| post.deadline).max().unwrap_or_else(Instant::now);
        let readiness = Arc::clone(&self.readiness);
        let mut retry = Retry::until(deadline, &readiness);
        let (mut again, mut races) = (false, 0);
        loop {
            let attempt = retry.attempt(pin!(self.store_once(&messages, again))).await?;
            match attempt {
                Some(Attempt::Stored(posted)) => return Ok(posted),
                Some(Attempt::NameLocked) => return Err(NotStored::NameLocked),
                Some(Attempt::Raced(error)) if races == RACES_MAX => {
                    return Err(StoreError::internal(error).into());
                }
                Some(Attempt::Raced(_)) => races += 1,
                // The next attempt may meet a database that was recreated.
                None => self.reset(),
            }
            // An attempt that seems to have failed may have stored all the same.
            again = true;
        }
    }

    /// Stores what is not stored yet. Those that may be stored already are looked up: all if
    /// `again`, otherwise the ones with a key.
    async fn store_once(&mut self, batch: &[&NewMessage], again: bool) -> sqlx::Result<Attempt> {
        let doubtful = batch.iter().filter(|message| message.keyed || again);
        let doubtful: Vec<Uuid> = doubtful.map(|message| message.dedup).collect();
        let (mut new, mut stored) = (Cow::Borrowed(batch), HashMap::new());
        if !doubtful.is_empty() {
            stored = self.session.messages_by_dedup(&doubtful).await?;
            // Of several with one key the first is stored, and the others are repetitions of it.
            let mut seen = HashSet::new();
            let is_new = |message: &&NewMessage| {
                !stored.contains_key(&message.dedup) && seen.insert(message.dedup)
            };
            new.to_mut().retain(is_new);
        }
        let mut created = Vec::new();
        if !new.is_empty() {
            let names = self.names.unknown(&new);
            created = match self.session.insert(&new, &names).await {
                Ok(created) => created,
                Err(InsertError::NameLocked(_)) => return Ok(Attempt::NameLocked),
                Err(InsertError::Failed(error)) if is_unique_violation(&error) => {
                    return Ok(Attempt::Raced(error));
                }
                Err(InsertError::Failed(error)) => return Err(error),
            };
            self.names.add(&names);
        }
        if doubtful.is_empty() {
            return Ok(Attempt::Stored(created.into_iter().map(Posted::Created).collect()));
        }
        let dedups = new.iter().map(|message| message.dedup);
        let mut created: HashMap<Uuid, Message> = dedups.zip(created).collect();
        let outcome = |message: &&NewMessage| match created.remove(&message.dedup) {
            Some(new) => {
                stored.insert(message.dedup, new.clone());
                Posted::Created(new)
            }
            None => found(message, &stored[&message.dedup]),
        };
        Ok(Attempt::Stored(batch.iter().map(outcome).collect()))
    }
}

impl BatchHandler<NewMessage, Posted> for GroupCommit {
    const ROUNDS: usize = 1;

    /// Stores the posts that wait. A batch that the database refuses is halved until the message at
    /// fault fails alone. One that meets a lock on a user's name is split by user, and comes last.
    async fn handle(&mut self, waiting: &mut VecDeque<PendingPost>) {
        if self.readiness.take_change(&mut self.changes) {
            self.reset();
        }
        let fitting = self.session.fitting(waiting.iter().map(|post| &post.request));
        let batch: Vec<PendingPost> = waiting.drain(..fitting.max(1)).collect();
        if fitting == 0 {
            let bytes_max = self.session.text_bytes_max();
            return respond_all(batch, &StoreError::TextTooLong { bytes_max });
        }
        let mut batches = VecDeque::from([batch]);
        while let Some(mut batch) = batches.pop_front() {
            let span = begin_batch("post messages", "posts", &batch);
            let result = pin!(self.store_with_retry(&batch)).instrument(span).await;
            let error = match result {
                Ok(posted) => {
                    for (post, posted) in batch.into_iter().zip(posted) {
                        post.respond(Ok(posted));
                    }
                    continue;
                }
                Err(NotStored::Failed(StoreError::Internal(_))) if batch.len() > 1 => {
                    let second = batch.split_off(batch.len() / 2);
                    batches.extend([batch, second]);
                    continue;
                }
                Err(NotStored::NameLocked) => {
                    let mut by_user = by_user(batch);
                    if by_user.len() > 1 {
                        batches.extend(by_user);
                        continue;
                    }
                    batch = by_user.pop().unwrap_or_default();
                    StoreError::Unavailable(DatabaseFault::Locked)
                }
                Err(NotStored::Failed(error)) => error,
            };
            self.reset();
            respond_all(batch, &error);
        }
    }

    fn reset(&mut self) {
        self.session.reset();
        self.names = KnownNames::default();
    }
}

/// The result of a post whose message was stored by an earlier attempt or request.
fn found(message: &NewMessage, stored: &Message) -> Posted {
    if stored.text != message.text.as_str() {
        Posted::KeyReused
    } else if message.keyed {
        Posted::Replayed(stored.clone())
    } else {
        // Only this request knows its `dedup`: an attempt that seemed to have failed.
        Posted::Created(stored.clone())
    }
}

fn respond_all(batch: Vec<PendingPost>, error: &StoreError) {
    for post in batch {
        post.respond(Err(error.clone()));
    }
}

fn by_user(batch: Vec<PendingPost>) -> Vec<Vec<PendingPost>> {
    let mut batches: BTreeMap<String, Vec<PendingPost>> = BTreeMap::new();
    for post in batch {
        batches.entry(post.request.user.as_str().to_owned()).or_default().push(post);
    }
    batches.into_values().collect()
}

/// Names of users that are known to be stored, so that their next messages need not look for them.
#[derive(Debug)]
struct KnownNames {
    names: HashSet<String>,
    since: Instant,
}

impl KnownNames {
    /// With more names than this, all are forgotten and looked up again.
    const COUNT_MAX: usize = 16 * 1024;

    /// The same after this time. A name that was removed by hand comes back with the first message
    /// that its user posts after it.
    const AGE_MAX: Duration = Duration::from_secs(10);

    fn unknown<'a>(&mut self, batch: &[&'a NewMessage]) -> BTreeSet<&'a str> {
        if self.names.len() > Self::COUNT_MAX || self.since.elapsed() > Self::AGE_MAX {
            *self = Self::default();
        }
        let names = batch.iter().map(|message| message.user.as_str());
        // In one order everywhere, so that two batches with the same names cannot deadlock.
        names.filter(|name| !self.names.contains(*name)).collect()
    }

    fn add(&mut self, names: &BTreeSet<&str>) {
        self.names.extend(names.iter().map(|&name| name.to_owned()));
    }
}

impl Default for KnownNames {
    fn default() -> Self {
        Self { names: HashSet::new(), since: Instant::now() }
    }
}
