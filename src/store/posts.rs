//! Group commit: the posts that wait are stored by one statement and one commit, and answered after
//! it.

use super::{
    Posted,
    attempts::Attempts,
    database::Session,
    error::{StoreError, Trouble, is_lock_wait, is_unique_violation},
    inbox::{Call, Serve, operation},
};
use crate::{
    health::Health,
    message::{Message, NewMessage},
};
use opentelemetry::context::FutureExt;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use uuid::Uuid;

/// Most messages in one statement. More do not make it faster: from about a hundred on, the rows
/// cost more than the commit that they share.
const ROWS_MAX: usize = 256;

/// Most bytes of user names and texts in one statement, unless it holds a single message. With what
/// surrounds them they stay below the smallest packet limit that servers still have, 1 MiB.
const BYTES_MAX: usize = 512 * 1024;

/// How often a batch may meet a duplicate that was not there when it looked.
const RACES_MAX: usize = 3;

/// How often a batch may meet another session's lock and go on; whoever meets one after that fails.
/// Each time takes a second or two, for which all who come later wait.
const LOCK_WAITS_MAX: usize = 1;

type PostCall = Call<NewMessage, Posted>;

#[derive(Debug)]
pub struct Posts {
    session: Session,
    health: Arc<Health>,
    names: KnownNames,
    /// The changes of the database's state before which all this was learnt.
    changes: u64,
}

impl Posts {
    pub fn new(session: Session, health: Arc<Health>) -> Self {
        Self { session, health, names: KnownNames::default(), changes: 0 }
    }

    /// Stores calls together, again and again until their time is over or a lock is in the way.
    async fn store(&mut self, calls: &[PostCall]) -> Result<Vec<Posted>, StoreError> {
        let batch: Vec<&NewMessage> = calls.iter().map(|call| &call.question).collect();
        let deadline = calls.iter().map(|call| call.deadline).max();
        let health = Arc::clone(&self.health);
        let mut attempts = Attempts::until(deadline.unwrap_or_else(Instant::now), &health);
        let mut again = false;
        loop {
            if let Some(posted) = attempts.attempt(pin!(self.attempt(&batch, again))).await? {
                return posted.ok_or(StoreError::Unavailable(Trouble::Busy));
            }
            // An attempt that seems to have failed may have stored all the same; and the next one
            // may find a database that was made anew.
            again = true;
            self.rest();
        }
    }

    /// `None` when another session's lock was in the way for too long.
    async fn attempt(
        &mut self,
        batch: &[&NewMessage],
        again: bool,
    ) -> sqlx::Result<Option<Vec<Posted>>> {
        let mut result = self.commit(batch, again).await;
        for _ in 0..RACES_MAX {
            if result.as_ref().err().is_some_and(is_unique_violation) {
                result = self.commit(batch, true).await;
            }
        }
        match result {
            Err(error) if is_lock_wait(&error) => Ok(None),
            result => result.map(Some),
        }
    }

    /// Stores a batch of which some may be stored already: if `again`, any of them, otherwise the
    /// ones with a key.
    async fn commit(&mut self, batch: &[&NewMessage], again: bool) -> sqlx::Result<Vec<Posted>> {
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
        let mut created: HashMap<Uuid, Message> = HashMap::new();
        for part in powers_of_two(&new) {
            let messages = self.insert(part).await?;
            created.extend(part.iter().map(|message| message.dedup).zip(messages));
        }
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
    async fn insert(&mut self, batch: &[&NewMessage]) -> sqlx::Result<Vec<Message>> {
        let names = self.names.unknown(batch);
        let ids = self.session.insert(batch, &names).await?;
        self.names.add(&names);
        Ok(batch.iter().zip(ids).map(|(message, id)| message.stored_as(id)).collect())
    }
}

impl Serve<NewMessage, Posted> for Posts {
    const ROUNDS: usize = 1;

    /// What fails for good is split until the message that is at fault fails alone. What meets a
    /// lock, most often one on a user's name, is split by user and comes last.
    async fn serve(&mut self, waiting: &mut VecDeque<PostCall>) {
        if self.health.has_changed_since(&mut self.changes) {
            self.rest();
        }
        let mut parts = VecDeque::from([one_statement(waiting)]);
        let mut lock_waits = 0;
        while let Some(mut calls) = parts.pop_front() {
            let operation = operation("post messages", "posts", &mut calls);
            let result = pin!(self.store(&calls)).with_context(operation.context()).await;
            match result {
                Ok(posted) => {
                    for (call, posted) in calls.into_iter().zip(posted) {
                        call.answer(Ok(posted));
                    }
                }
                Err(StoreError::Internal(_)) if calls.len() > 1 => {
                    let second = calls.split_off(calls.len() / 2);
                    parts.extend([calls, second]);
                }
                Err(StoreError::Unavailable(Trouble::Busy)) if lock_waits < LOCK_WAITS_MAX => {
                    lock_waits += 1;
                    parts.extend(by_user(calls));
                }
                Err(error) => {
                    self.rest();
                    for call in calls {
                        call.answer(Err(error.clone()));
                    }
                }
            }
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

/// Takes as many calls as one statement holds; the rest is first in the next one.
fn one_statement(waiting: &mut VecDeque<PostCall>) -> Vec<PostCall> {
    let bytes = waiting.iter().map(|PostCall { question, .. }| {
        question.user.as_str().len() + question.text.as_str().len()
    });
    let rows = rows_of_one_statement(bytes);
    waiting.drain(..rows.min(waiting.len())).collect()
}

/// How many messages of these sizes one statement holds. Always a power of two, so that the
/// databases keep a handful of prepared statements.
fn rows_of_one_statement(bytes: impl Iterator<Item = usize>) -> usize {
    let sums = bytes.take(ROWS_MAX).scan(0, |sum, bytes| {
        *sum += bytes;
        Some(*sum)
    });
    let fitting = sums.take_while(|sum| *sum <= BYTES_MAX).count();
    1 << fitting.max(1).ilog2()
}

fn by_user(calls: Vec<PostCall>) -> impl Iterator<Item = Vec<PostCall>> {
    let mut parts: BTreeMap<String, Vec<PostCall>> = BTreeMap::new();
    for call in calls {
        parts.entry(call.question.user.as_str().to_owned()).or_default().push(call);
    }
    parts.into_values()
}

/// Cuts a batch into parts whose sizes are powers of two.
fn powers_of_two<T>(mut batch: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let count = 1 << batch.len().checked_ilog2()?;
        let (part, rest) = batch.split_at(count);
        batch = rest;
        Some(part)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// How many rows each statement has when messages of these sizes wait.
    fn statements(mut bytes: &[usize]) -> Vec<usize> {
        let mut rows = Vec::new();
        while !bytes.is_empty() {
            rows.push(rows_of_one_statement(bytes.iter().copied()));
            bytes = &bytes[rows[rows.len() - 1]..];
        }
        rows
    }

    #[test]
    fn a_statement_has_a_power_of_two_of_messages() {
        assert_eq!(statements(&[10; 77]), [64, 8, 4, 1]);
        assert_eq!(statements(&[10; 600]), [256, 256, 64, 16, 8]);
    }

    #[test]
    fn a_statement_has_a_limited_number_of_bytes_or_one_message() {
        assert_eq!(statements(&[BYTES_MAX / 4; 9]), [4, 4, 1]);
        assert_eq!(statements(&[BYTES_MAX / 4 + 1; 9]), [2, 2, 2, 2, 1]);
        assert_eq!(statements(&[1, BYTES_MAX + 1, 1, 1]), [1, 1, 2]);
    }
}
