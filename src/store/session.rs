//! One task's operations on the database.

use super::{
    database::{Database, Purpose},
    distance::within,
    error::{DatabaseFault, InsertError},
    kept::Kept,
    limits::Limits,
    page::Page,
    queries, sqlite,
    transaction::{self, Competition},
};
use crate::{
    message::{Message, MessageId, NewMessage},
    telemetry::observed,
};
use std::{
    collections::{BTreeSet, HashMap},
    pin::pin,
};
use time::OffsetDateTime;
use uuid::Uuid;

/// What a batch of messages got from the database.
#[derive(Debug)]
pub struct Inserted {
    /// The first message's id; those of the others follow it without a gap.
    pub first_id: MessageId,
    pub created_at: OffsetDateTime,
}

/// What metrics and traces call an error.
fn kind_of(error: &sqlx::Error) -> &'static str {
    DatabaseFault::of(error).map_or("_OTHER", DatabaseFault::as_str)
}

fn count<'a, T>(rows: &'a T) -> usize
where
    &'a T: IntoIterator<IntoIter: ExactSizeIterator>,
{
    rows.into_iter().len()
}

/// Runs one of the shared queries on the session's connection.
macro_rules! run {
    ($self:ident, $query:ident ( $($argument:expr),* )) => {
        match &$self.database {
            Database::MySql(database) => {
                let mut lease = database.take($self.purpose).await?;
                let query = queries::mysql::$query(&mut lease, $($argument),*);
                let result = within($self.database.statement_timeout(), query).await;
                lease.end(result.as_ref().err());
                result
            }
            Database::Sqlite(database) => {
                let mut lease = $self.sqlite.take(&database.pool($self.purpose)).await?;
                let query = queries::sqlite::$query(&mut lease, $($argument),*);
                let result = within($self.database.statement_timeout(), query).await;
                $self.sqlite.put(lease, result)
            }
        }
    };
}

/// The same, measured and traced, with how many rows were found.
macro_rules! observe {
    ($self:ident, $statement:ident, $size:expr, $query:ident ( $($argument:expr),* )) => {{
        let system = $self.database.system();
        let call = pin!(async { run!($self, $query($($argument),*)) });
        let rows = |found: &_| Some(count(found));
        observed(&queries::$statement, system, $size, call, rows, kind_of).await
    }};
}

/// One task's operations on the database, with the connection that it keeps if that is SQLite.
#[derive(Debug)]
pub struct Session {
    database: Database,
    purpose: Purpose,
    sqlite: Kept,
    competition: Competition,
}

impl Session {
    pub fn new(database: Database, purpose: Purpose) -> Self {
        Self { database, purpose, sqlite: Kept::default(), competition: Competition::default() }
    }

    /// Stores messages, and of these names the ones that are not stored: all of it or nothing.
    pub async fn insert(
        &mut self,
        batch: &[&NewMessage],
        names: &BTreeSet<&str>,
    ) -> Result<Vec<Message>, InsertError> {
        let new_names = run!(self, missing_names(names))?;
        let (system, size) = (self.database.system(), Some(batch.len()));
        let call = pin!(async {
            match &self.database {
                Database::MySql(database) => {
                    let mut lease = database.take(self.purpose).await?;
                    let (competition, floor) = (&mut self.competition, database.floor());
                    let insert =
                        transaction::insert(&mut lease, competition, floor, batch, &new_names);
                    let result = within(self.database.statement_timeout(), insert).await;
                    lease.end(result.as_ref().err().map(InsertError::cause));
                    result
                }
                Database::Sqlite(database) => {
                    let mut lease = self.sqlite.take(&database.pool(self.purpose)).await?;
                    let insert = sqlite::insert(&mut lease, batch, &new_names);
                    let result = within(self.database.statement_timeout(), insert).await;
                    self.sqlite.put(lease, result)
                }
            }
        });
        let kind_of = |error: &InsertError| kind_of(error.cause());
        let Inserted { first_id, created_at } =
            observed(&transaction::INSERT, system, size, call, |_| None, kind_of).await?;
        let ids = first_id..;
        Ok(batch.iter().zip(ids).map(|(message, id)| message.stored_as(id, created_at)).collect())
    }

    pub fn limits(&self) -> Limits {
        self.database.limits()
    }

    /// How many of these messages one insert can store.
    pub fn fitting<'a>(&self, messages: impl Iterator<Item = &'a NewMessage>) -> usize {
        transaction::fitting(messages, self.limits().packet_bytes_max)
    }

    pub async fn messages_by_dedup(
        &mut self,
        dedups: &[Uuid],
    ) -> sqlx::Result<HashMap<Uuid, Message>> {
        observe!(self, MESSAGES_BY_DEDUP, Some(dedups.len()), messages_by_dedup(dedups))
    }

    /// A page of messages that has every message between its ends.
    ///
    /// Transactions commit in the order of their ids, but a snapshot that MariaDB takes while they
    /// do can have a later one without the earlier one (MDEV-15104). Then ids are missing, and what
    /// was committed before that snapshot ended is in the next one. What is missing there too was
    /// deleted.
    pub async fn messages(&mut self, page: Page) -> sqlx::Result<Vec<Message>> {
        let messages = self.messages_at_once(page).await?;
        let Some(newest) = messages.first().map(|newest| newest.id) else { return Ok(messages) };
        if page.is_without_gaps(&messages) {
            return Ok(messages);
        }
        let mut messages = self.messages_at_once(page.up_to(newest)).await?;
        messages.retain(|message| message.id <= newest);
        Ok(messages)
    }

    async fn messages_at_once(&mut self, page: Page) -> sqlx::Result<Vec<Message>> {
        match page {
            Page::Newest { after, before, limit } => {
                observe!(self, NEWEST_MESSAGES, None, newest_messages(after, before, limit))
            }
            Page::Following { after, limit } => {
                let mut messages =
                    observe!(self, OLDEST_MESSAGES, None, oldest_messages(after, limit))?;
                messages.reverse();
                Ok(messages)
            }
        }
    }

    pub async fn message(&mut self, id: MessageId) -> sqlx::Result<Option<Message>> {
        observe!(self, MESSAGE_BY_ID, None, message_by_id(id))
    }

    /// The names after a name, in byte order.
    pub async fn users(&mut self, after: &str, limit: u32) -> sqlx::Result<Vec<String>> {
        observe!(self, USERS_AFTER, None, users_after(after, limit))
    }

    /// Gives the connection back.
    pub fn rest(&mut self) {
        self.sqlite.rest();
    }
}
