//! One interface over the two kinds of database: each method is one operation on one connection.

use super::{lease::Kept, mysql::MySql, queries, sqlite::Sqlite};
use crate::{
    config::Migrate,
    message::{Message, MessageId, NewMessage},
};
use anyhow::bail;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};
use uuid::Uuid;

/// Which messages a read is about. All are answered newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The newest ones between two ids, both excluded.
    Newest { after: MessageId, before: MessageId, limit: u32 },
    /// The ones that follow an id directly.
    Following { after: MessageId, limit: u32 },
}

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
    pub fn new(url: &str, connections_max: u32) -> anyhow::Result<Self> {
        // The message must not repeat the URL, which may hold a password.
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("mysql" | "mariadb") => {
                Ok(Self::MySql(Arc::new(MySql::new(url, connections_max)?)))
            }
            Some("sqlite") => Ok(Self::Sqlite(Arc::new(Sqlite::new(url, connections_max)?))),
            _ => bail!("DATABASE_URL must begin with mysql://, mariadb:// or sqlite://"),
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

    /// A way to the database for one task.
    pub fn session(&self, purpose: Purpose) -> Session {
        let database = self.clone();
        Session { database, purpose, mysql: Kept::default(), sqlite: Kept::default() }
    }

    pub async fn close(&self) {
        match self {
            Self::MySql(database) => database.close().await,
            Self::Sqlite(database) => database.close().await,
        }
    }
}

/// Runs one of the shared queries on the session's connection.
macro_rules! run {
    ($self:ident, $query:ident ( $($argument:expr),* )) => {
        match &$self.database {
            Database::MySql(database) => {
                let mut lease = $self.mysql.take(database.pool($self.purpose)).await?;
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
}

impl Session {
    /// Stores messages, and of these names the ones that are not stored: all of it or nothing. The
    /// ids are in the order of the messages.
    pub async fn insert(
        &mut self,
        batch: &[&NewMessage],
        names: &BTreeSet<&str>,
    ) -> sqlx::Result<Vec<MessageId>> {
        let rows = batch.len().cast_signed() as i64;
        let first = match &self.database {
            Database::MySql(database) => {
                let mut lease = self.mysql.take(database.pool(self.purpose)).await?;
                let result = queries::mysql::insert(&mut lease, batch, names).await;
                let inserted = self.mysql.put(lease, result)?;
                if batch.len() > 1 && !database.ids_are_consecutive() {
                    return self.ids_of(batch).await;
                }
                inserted.last_insert_id().cast_signed()
            }
            Database::Sqlite(database) => {
                let mut lease = self.sqlite.take(&database.pool(self.purpose)).await?;
                let result = queries::sqlite::insert(&mut lease, batch, names).await;
                // The only writer of a file gives the rows of one statement consecutive ids.
                self.sqlite.put(lease, result)?.last_insert_rowid() + 1 - rows
            }
        };
        Ok((first..first + rows).collect())
    }

    /// The ids of messages that were just stored.
    async fn ids_of(&mut self, batch: &[&NewMessage]) -> sqlx::Result<Vec<MessageId>> {
        let dedups: Vec<Uuid> = batch.iter().map(|message| message.dedup).collect();
        let stored = self.messages_by_dedup(&dedups).await?;
        let id = |dedup| stored.get(dedup).map(|message| message.id);
        dedups.iter().map(id).collect::<Option<_>>().ok_or(sqlx::Error::RowNotFound)
    }

    pub async fn messages_by_dedup(
        &mut self,
        dedups: &[Uuid],
    ) -> sqlx::Result<HashMap<Uuid, Message>> {
        run!(self, messages_by_dedup(dedups))
    }

    pub async fn messages(&mut self, page: Page) -> sqlx::Result<Vec<Message>> {
        match page {
            Page::Newest { after, before, limit } => {
                run!(self, newest_messages(after, before, limit))
            }
            Page::Following { after, limit } => {
                let mut messages: Vec<Message> = run!(self, oldest_messages(after, limit))?;
                messages.reverse();
                Ok(messages)
            }
        }
    }

    pub async fn message(&mut self, id: MessageId) -> sqlx::Result<Option<Message>> {
        run!(self, message_by_id(id))
    }

    /// The names after a name, in byte order.
    pub async fn users(&mut self, after: &str, limit: u32) -> sqlx::Result<Vec<String>> {
        run!(self, users_after(after, limit))
    }

    /// Gives the connection back.
    pub fn rest(&mut self) {
        self.mysql.rest();
        self.sqlite.rest();
    }
}
