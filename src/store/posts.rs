//! Group commit: the posts that wait are stored by one statement and one commit, and answered after
//! it.

use super::{
    Posted,
    attempts::Attempts,
    error::{DatabaseFault, InsertError, StoreError, is_unique_violation},
    inbox::{Call, Serve, operation},
    session::Session,
    transaction,
};
use crate::{
    message::{Message, NewMessage},
    readiness::Readiness,
};
use std::{
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

type PostCall = Call<NewMessage, Posted>;

#[derive(Debug)]
pub struct Posts {
    session: Session,
    health: Arc<Readiness>,
    names: KnownNames,
    /// The changes of the database's state before which all this was learnt.
    changes: u64,
}

impl Posts {
    pub fn new(session: Session, health: Arc<Readiness>) -> Self {
        Self { session, health, names: KnownNames::default(), changes: 0 }
    }

    /// Stores calls together, again and again until their time is over or a lock is in the way.
    async fn store(&mut self, calls: &[PostCall]) -> Result<Vec<Posted>, NotStored> {
        let batch: Vec<&NewMessage> = calls.iter().map(|call| &call.question).collect();
        let deadline = calls.iter().map(|call| call.deadline).max();
        let health = Arc::clone(&self.health);
        let mut attempts = Attempts::until(deadline.unwrap_or_else(Instant::now), &health);
        let mut again = false;
        loop {
            if let Some(posted) = attempts.attempt(pin!(self.attempt(&batch, again))).await? {
                return posted.ok_or(NotStored::NameLocked);
            }
            // An attempt that seems to have failed may have stored all the same; and the next one
            // may find a database that was made anew.
            again = true;
            self.rest();
        }
    }

    /// `None` when another session holds a lock on the name of a new user.
    async fn attempt(
        &mut self,
        batch: &[&NewMessage],
        again: bool,
    ) -> sqlx::Result<Option<Vec<Posted>>> {
        let mut result = self.store_once(batch, again).await;
        for _ in 0..RACES_MAX {
            if matches!(&result, Err(InsertError::Failed(error)) if is_unique_violation(error)) {
                result = self.store_once(batch, true).await;
            }
        }
        match result {
            Ok(posted) => Ok(Some(posted)),
            Err(InsertError::NameLocked(_)) => Ok(None),
            Err(InsertError::Failed(error)) => Err(error),
        }
    }

    /// Stores a batch of which some may be stored already: if `again`, any of them, otherwise the
    /// ones with a key.
    async fn store_once(
        &mut self,
        batch: &[&NewMessage],
        again: bool,
    ) -> Result<Vec<Posted>, InsertError> {
        let doubtful: Vec<Uuid> = batch
            .iter()
            .filter(|message| message.keyed || again)
            .map(|message| message.dedup)
            .collect();
        if doubtful.is_empty() {
            let stored = self.insert(batch).await?;
            return Ok(stored.into_iter().map(Posted::Created).collect());
        }
        let mut stored = self.session.messages_by_dedup(&doubtful).await?;
        // Of several with one key the first is stored, and the others are repetitions of it.
        let mut seen = HashSet::new();
        let mut new = batch.to_vec();
        new.retain(|message| !stored.contains_key(&message.dedup) && seen.insert(message.dedup));
        let dedups = new.iter().map(|message| message.dedup);
        let mut created: HashMap<Uuid, Message> =
            dedups.clone().zip(self.insert(&new).await?).collect();
        let outcome = |message: &&NewMessage| match created.remove(&message.dedup) {
            Some(new) => {
                stored.insert(message.dedup, new.clone());
                Posted::Created(new)
            }
            None => found(message, &stored[&message.dedup]),
        };
        Ok(batch.iter().map(outcome).collect())
    }

    /// Stores messages that are not stored yet: all or none.
    async fn insert(&mut self, batch: &[&NewMessage]) -> Result<Vec<Message>, InsertError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let names = self.names.unknown(batch);
        let stored = self.session.insert(batch, &names).await?;
        self.names.add(&names);
        Ok(stored)
    }
}

/// Why calls were not stored.
enum NotStored {
    /// Another session holds a lock on the name of a new user among them.
    NameLocked,
    Failed(StoreError),
}

impl From<StoreError> for NotStored {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Serve<NewMessage, Posted> for Posts {
    const ROUNDS: usize = 1;

    /// What fails for good is split until the message that is at fault fails alone. What meets a
    /// lock on a user's name is split by user and comes last.
    async fn serve(&mut self, waiting: &mut VecDeque<PostCall>) {
        if self.health.take_change(&mut self.changes) {
            self.rest();
        }
        let fitting = self.session.fitting(waiting.iter().map(|call| &call.question));
        let calls: Vec<PostCall> = waiting.drain(..fitting.max(1)).collect();
        if fitting == 0 {
            let packet_bytes_max = self.session.limits().packet_bytes_max;
            let bytes_max = transaction::text_bytes_max(packet_bytes_max);
            return answer_all(calls, &StoreError::TextTooLong { bytes_max });
        }
        let mut parts = VecDeque::from([calls]);
        while let Some(mut calls) = parts.pop_front() {
            let operation = operation("post messages", "posts", &calls);
            let result = pin!(self.store(&calls)).instrument(operation).await;
            let error = match result {
                Ok(posted) => {
                    for (call, posted) in calls.into_iter().zip(posted) {
                        call.answer(Ok(posted));
                    }
                    continue;
                }
                Err(NotStored::Failed(StoreError::Internal(_))) if calls.len() > 1 => {
                    let second = calls.split_off(calls.len() / 2);
                    parts.extend([calls, second]);
                    continue;
                }
                Err(NotStored::NameLocked) => {
                    let mut by_user = by_user(calls);
                    if by_user.len() > 1 {
                        parts.extend(by_user);
                        continue;
                    }
                    calls = by_user.pop().unwrap_or_default();
                    StoreError::Unavailable(DatabaseFault::Locked)
                }
                Err(NotStored::Failed(error)) => error,
            };
            self.rest();
            answer_all(calls, &error);
        }
    }

    fn rest(&mut self) {
        self.session.rest();
        self.names = KnownNames::default();
    }
}

/// What became of a message that was stored by an earlier attempt or request.
fn found(message: &NewMessage, stored: &Message) -> Posted {
    if stored.text != message.text.as_str() {
        Posted::KeyReused
    } else if message.keyed {
        Posted::Replayed(stored.clone())
    } else {
        // Nobody else knows its `dedup`: an attempt of ours that we took for failed.
        Posted::Created(stored.clone())
    }
}

fn answer_all(calls: Vec<PostCall>, error: &StoreError) {
    for call in calls {
        call.answer(Err(error.clone()));
    }
}

fn by_user(calls: Vec<PostCall>) -> Vec<Vec<PostCall>> {
    let mut parts: BTreeMap<String, Vec<PostCall>> = BTreeMap::new();
    for call in calls {
        parts.entry(call.question.user.as_str().to_owned()).or_default().push(call);
    }
    parts.into_values().collect()
}

/// Users who are known to be stored, so that their next messages need not ask for them.
#[derive(Debug)]
struct KnownNames {
    names: HashSet<String>,
    since: Instant,
}

impl KnownNames {
    /// Beyond it all are forgotten, and looked up again.
    const COUNT_MAX: usize = 16 * 1024;

    /// The same after this time. A name that somebody removed by hand comes back with the first
    /// message that its user posts after it.
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
