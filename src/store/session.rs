//! The queries of one task, on connections of its kind.

use super::{
    database::Database,
    distance::{STATEMENT_TIMEOUT, within},
    error::InsertError,
    mysql::{self, Competition, MySql},
    page::Page,
    pool_kind::PoolKind,
    queries,
    sqlite::{self, KeptConnection, Sqlite},
};
use crate::{
    message::{Message, MessageId, NewMessage},
    readiness::DatabaseFault,
    telemetry::Observation,
};
use std::{
    collections::{BTreeSet, HashMap},
    pin::pin,
    sync::Arc,
};
use tracing::Instrument;
use uuid::Uuid;

/// One task's way to the database.
#[derive(Debug)]
pub enum Session {
    MySql { database: Arc<MySql>, kind: PoolKind, competition: Competition },
    Sqlite { database: Arc<Sqlite>, kind: PoolKind, kept: KeptConnection },
}

/// Runs a query of both databases on a connection of the session.
macro_rules! run {
    ($session:ident, $query:ident ( $($argument:expr),* )) => {
        match $session {
            Session::MySql { database, kind, .. } => {
                let mut lease = database.lease(*kind).await?;
                let query = queries::mysql::$query(lease.connection(), $($argument),*);
                let result = within(database.statement_timeout(), query).await;
                lease.end(result.as_ref().err());
                result
            }
            Session::Sqlite { database, kind, kept } => {
                let mut lease = kept.lease(&database.pool(*kind)).await?;
                let query = queries::sqlite::$query(lease.connection(), $($argument),*);
                let result = within(STATEMENT_TIMEOUT, query).await;
                lease.end(result.as_ref().err());
                result
            }
        }
    };
}

/// The same, measured and traced, with how many rows were found.
macro_rules! observe {
    ($session:ident, $statement:ident, $size:expr, $query:ident ( $($argument:expr),* )) => {{
        let observation = Observation::begin(&queries::$statement, $session.system(), $size);
        let span = observation.span();
        let result = pin!(async { run!($session, $query($($argument),*)) }).instrument(span).await;
        let rows = result.as_ref().map(|found| Some(found.iter().len()));
        observation.end(rows.map_err(error_type));
        result
    }};
}

/// The name of an error in metrics and traces.
fn error_type(error: &sqlx::Error) -> &'static str {
    DatabaseFault::of(error).map_or("_OTHER", DatabaseFault::as_str)
}

impl Session {
    pub fn new(database: &Database, kind: PoolKind) -> Self {
        match database.clone() {
            Database::MySql(database) => {
                Self::MySql { database, kind, competition: Competition::default() }
            }
            Database::Sqlite(database) => {
                Self::Sqlite { database, kind, kept: KeptConnection::default() }
            }
        }
    }

    /// Stores messages, and those of these names that are not stored: all of it or nothing.
    pub async fn insert(
        &mut self,
        batch: &[&NewMessage],
        names: &BTreeSet<&str>,
    ) -> Result<Vec<Message>, InsertError> {
        let new_names =
            if names.is_empty() { Vec::new() } else { run!(self, missing_names(names))? };
        let query = match self {
            Self::MySql { .. } => &mysql::INSERT,
            Self::Sqlite { .. } => &sqlite::INSERT,
        };
        let observation = Observation::begin(query, self.system(), Some(batch.len()));
        let insert = pin!(async {
            match self {
                Self::MySql { database, kind, competition } => {
                    let mut lease = database.lease(*kind).await?;
                    let floor = database.floor();
                    let insert =
                        mysql::insert(lease.connection(), competition, floor, batch, &new_names);
                    let result = within(database.statement_timeout(), insert).await;
                    lease.end(result.as_ref().err().map(InsertError::cause));
                    result
                }
                Self::Sqlite { database, kind, kept } => {
                    let mut lease = kept.lease(&database.pool(*kind)).await?;
                    let insert = sqlite::insert(lease.connection(), batch, &new_names);
                    let result = within(STATEMENT_TIMEOUT, insert).await;
                    lease.end(result.as_ref().err());
                    Ok(result?)
                }
            }
        });
        let result = insert.instrument(observation.span()).await;
        let outcome = result.as_ref().map(|_| None);
        observation.end(outcome.map_err(|error: &InsertError| error_type(error.cause())));
        let inserted = result?;
        let ids = inserted.first_id..;
        let stored = |(message, id): (&&NewMessage, _)| message.stored_as(id, inserted.created_at);
        Ok(batch.iter().zip(ids).map(stored).collect())
    }

    /// How many of these messages one insert can store.
    pub fn fitting<'a>(&self, messages: impl Iterator<Item = &'a NewMessage>) -> usize {
        mysql::fitting(messages, self.packet_bytes_max())
    }

    /// The most bytes of a text that surely can be stored.
    pub fn text_bytes_max(&self) -> usize {
        mysql::text_bytes_max(self.packet_bytes_max())
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
    pub fn reset(&mut self) {
        if let Self::Sqlite { kept, .. } = self {
            kept.reset();
        }
    }

    /// As the semantic conventions call it. MariaDB speaks MySQL, and is not told from it.
    const fn system(&self) -> &'static str {
        match self {
            Self::MySql { .. } => "mysql",
            Self::Sqlite { .. } => "sqlite",
        }
    }

    fn packet_bytes_max(&self) -> usize {
        match self {
            Self::MySql { database, .. } => database.limits().packet_bytes_max,
            Self::Sqlite { .. } => usize::MAX,
        }
    }
}
