//! One interface over the two kinds of database: each method is one operation on one connection.

use super::{
    distance::Distance,
    error::{InsertError, Trouble},
    lease::Kept,
    limits::Limits,
    mysql::MySql,
    page::Page,
    queries,
    sqlite::{self, Sqlite},
    transaction::{self, Competition},
};
use crate::{
    config::Migrate,
    message::{Message, MessageId, NewMessage},
    telemetry::observed,
};
use anyhow::bail;
use std::{
    collections::{BTreeSet, HashMap},
    pin::pin,
    sync::Arc,
};
use time::OffsetDateTime;
use uuid::Uuid;

/// What a session is for, which decides on the connections that it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Group commit.
    Posts,
    /// Reads that many requests share.
    SharedReads,
    /// Requests that have a query of their own.
    OtherReads,
}

#[derive(Clone, Debug)]
pub enum Database {
    MySql(Arc<MySql>),
    Sqlite(Arc<Sqlite>),
}

impl Database {
    pub fn new(url: &str, connections_max: u32, distance: Arc<Distance>) -> anyhow::Result<Self> {
        // The message must not repeat the URL, which may hold a password.
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("mysql" | "mariadb") => {
                Ok(Self::MySql(Arc::new(MySql::new(url, connections_max, distance)?)))
            }
            Some("sqlite") => Ok(Self::Sqlite(Arc::new(Sqlite::new(url, connections_max)?))),
            _ => bail!(
                "it must be sqlite://FILE, such as sqlite://chat.db, or \
                 mysql://USER:PASSWORD@HOST:PORT/NAME; it is not shown, as it may hold a password"
            ),
        }
    }

    /// Makes the database fit to serve: creates it, migrates it, or says what is missing.
    pub async fn prepare(&self, migrate: Migrate) -> sqlx::Result<()> {
        match self {
            Self::MySql(database) => database.prepare(migrate).await,
            Self::Sqlite(database) => database.prepare(migrate).await,
        }
    }

    /// Fails when the database cannot serve. Waits behind no other call.
    pub async fn probe(&self) -> sqlx::Result<()> {
        match self {
            Self::MySql(database) => database.probe().await,
            Self::Sqlite(database) => database.probe().await,
        }
    }

    /// Records how far the ids have come. Only MySQL needs to be told.
    pub async fn keep_sequence(&self) -> sqlx::Result<()> {
        match self {
            Self::MySql(database) => database.keep_sequence().await,
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// As the semantic conventions call it. MariaDB speaks MySQL, and nobody here asks which it is.
    const fn system(&self) -> &'static str {
        match self {
            Self::MySql(_) => "mysql",
            Self::Sqlite(_) => "sqlite",
        }
    }

    /// The connections, by pool.
    pub fn pools(&self) -> Vec<PoolUse> {
        match self {
            Self::MySql(database) => {
                database.pools().map(|(name, pool)| pool_use(name, pool)).into()
            }
            Self::Sqlite(database) => {
                database.named_pools().map(|(name, pool)| pool_use(name, &pool)).into()
            }
        }
    }

    pub fn limits(&self) -> Limits {
        match self {
            Self::MySql(database) => database.limits(),
            Self::Sqlite(_) => Limits::default(),
        }
    }

    /// Limits that are too small, and what to do about them.
    pub fn warnings(&self) -> Vec<String> {
        let connections_used = self.pools().iter().map(|pool| pool.max).sum();
        self.limits().warnings(connections_used)
    }

    /// A way to the database for one task.
    pub fn session(&self, purpose: Purpose) -> Session {
        let database = self.clone();
        Session {
            database,
            purpose,
            mysql: Kept::default(),
            sqlite: Kept::default(),
            competition: Competition::default(),
        }
    }

    pub async fn close(&self) {
        match self {
            Self::MySql(database) => database.close().await,
            Self::Sqlite(database) => database.close().await,
        }
    }
}

/// How much of a pool is in use.
#[derive(Clone, Copy, Debug)]
pub struct PoolUse {
    pub name: &'static str,
    pub idle: usize,
    pub used: usize,
    pub max: u32,
}

fn pool_use<DB: sqlx::Database>(name: &'static str, pool: &sqlx::Pool<DB>) -> PoolUse {
    let (size, idle) = (pool.size() as usize, pool.num_idle());
    let max = pool.options().get_max_connections();
    PoolUse { name, idle, used: size.saturating_sub(idle), max }
}

/// What a batch of messages got from the database.
#[derive(Debug)]
pub struct Inserted {
    /// The first message's id; those of the others follow it without a gap.
    pub first_id: MessageId,
    pub created_at: OffsetDateTime,
}

/// What metrics and traces call an error.
fn kind_of(error: &sqlx::Error) -> &'static str {
    Trouble::of(error).map_or("_OTHER", Trouble::as_str)
}

/// Runs one of the shared queries on the session's connection.
macro_rules! run {
    ($self:ident, $query:ident ( $($argument:expr),* )) => {
        match &$self.database {
            Database::MySql(database) => {
                let mut lease = database.take(&mut $self.mysql, $self.purpose).await?;
                let result = queries::mysql::$query(&mut lease, $($argument),*).await;
                $self.mysql.put(lease, result)
            }
            Database::Sqlite(database) => {
                let mut lease = $self.sqlite.take(&database.pool($self.purpose)).await?;
                let result = queries::sqlite::$query(&mut lease, $($argument),*).await;
                $self.sqlite.put(lease, result)
            }
        }
    };
}

/// One task's operations on the database, with the connection that it keeps between them.
#[derive(Debug)]
pub struct Session {
    database: Database,
    purpose: Purpose,
    /// One of the two stays empty for ever.
    mysql: Kept<sqlx::MySql>,
    sqlite: Kept<sqlx::Sqlite>,
    competition: Competition,
}

impl Session {
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
                    let mut lease = database.take(&mut self.mysql, self.purpose).await?;
                    let (competition, floor) = (&mut self.competition, database.floor());
                    let insert =
                        transaction::insert(&mut lease, competition, floor, batch, &new_names);
                    let result = insert.await;
                    self.mysql.put(lease, result)
                }
                Database::Sqlite(database) => {
                    let mut lease = self.sqlite.take(&database.pool(self.purpose)).await?;
                    let result = sqlite::insert(&mut lease, batch, &new_names).await;
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
        let (system, size) = (self.database.system(), Some(dedups.len()));
        let call = pin!(async { run!(self, messages_by_dedup(dedups)) });
        let rows = |found: &HashMap<_, _>| Some(found.len());
        observed(&queries::MESSAGES_BY_DEDUP, system, size, call, rows, kind_of).await
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
        let system = self.database.system();
        let rows = |messages: &Vec<Message>| Some(messages.len());
        match page {
            Page::Newest { after, before, limit } => {
                let call = pin!(async { run!(self, newest_messages(after, before, limit)) });
                observed(&queries::NEWEST_MESSAGES, system, None, call, rows, kind_of).await
            }
            Page::Following { after, limit } => {
                let call = pin!(async { run!(self, oldest_messages(after, limit)) });
                let statement = &queries::OLDEST_MESSAGES;
                let mut messages = observed(statement, system, None, call, rows, kind_of).await?;
                messages.reverse();
                Ok(messages)
            }
        }
    }

    pub async fn message(&mut self, id: MessageId) -> sqlx::Result<Option<Message>> {
        let system = self.database.system();
        let call = pin!(async { run!(self, message_by_id(id)) });
        let rows = |message: &Option<_>| Some(message.iter().len());
        observed(&queries::MESSAGE_BY_ID, system, None, call, rows, kind_of).await
    }

    /// The names after a name, in byte order.
    pub async fn users(&mut self, after: &str, limit: u32) -> sqlx::Result<Vec<String>> {
        let system = self.database.system();
        let call = pin!(async { run!(self, users_after(after, limit)) });
        let rows = |names: &Vec<String>| Some(names.len());
        observed(&queries::USERS_AFTER, system, None, call, rows, kind_of).await
    }

    /// Gives the connection back.
    pub fn rest(&mut self) {
        self.mysql.rest();
        self.sqlite.rest();
    }
}
