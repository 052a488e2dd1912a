//! One interface over the two kinds of database: each method is one operation on one connection.

use super::{
    Posted, error::is_unique_violation, lease::Lease, mysql::MySql, queries, sqlite::Sqlite,
};
use crate::{
    config::Migrate,
    message::{Message, MessageId, NewMessage},
};
use anyhow::bail;
use std::sync::Arc;

/// Which messages a read is about. All are answered newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The newest ones between two ids, both excluded.
    Newest { after: MessageId, before: MessageId, limit: i64 },
    /// The ones that follow an id directly.
    Following { after: MessageId, limit: i64 },
}

#[derive(Clone, Debug)]
pub enum Database {
    MySql(Arc<MySql>),
    Sqlite(Arc<Sqlite>),
}

/// Runs one of the shared queries on a connection for reading.
macro_rules! read {
    ($self:ident, $query:ident ( $($argument:expr),* )) => {
        match $self {
            Self::MySql(database) => {
                let mut lease = Lease::take(database.pool()).await?;
                let result = queries::mysql::$query(&mut lease, $($argument),*).await;
                lease.give_back(result)
            }
            Self::Sqlite(database) => {
                let mut lease = Lease::take(&database.reader()).await?;
                let result = queries::sqlite::$query(&mut lease, $($argument),*).await;
                lease.give_back(result)
            }
        }
    };
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

    /// Stores a batch, of which an earlier attempt or request may have stored some already.
    pub async fn commit(&self, batch: &[NewMessage]) -> sqlx::Result<Vec<Posted>> {
        match self.insert(batch).await {
            Ok(ids) => {
                let stored = batch.iter().zip(ids);
                Ok(stored.map(|(message, id)| Posted::Created(message.stored_as(id))).collect())
            }
            Err(error) if is_unique_violation(&error) => {
                let mut outcomes = Vec::with_capacity(batch.len());
                for message in batch {
                    outcomes.push(self.commit_one(message).await?);
                }
                Ok(outcomes)
            }
            Err(error) => Err(error),
        }
    }

    /// Stores a message that may be stored already.
    async fn commit_one(&self, message: &NewMessage) -> sqlx::Result<Posted> {
        if let Some(stored) = self.message_by_dedup(message).await? {
            return Ok(if stored.text != message.text.as_str() {
                Posted::KeyReused
            } else if message.keyed {
                Posted::Replayed(stored)
            } else {
                // Nobody else knows its `dedup`: an attempt of ours that we took for failed.
                Posted::Created(stored)
            });
        }
        let ids = self.insert(std::slice::from_ref(message)).await?;
        Ok(Posted::Created(message.stored_as(ids[0])))
    }

    /// All of the batch or nothing; the ids in the batch's order.
    async fn insert(&self, batch: &[NewMessage]) -> sqlx::Result<Vec<MessageId>> {
        match self {
            Self::MySql(database) => database.insert(batch).await,
            Self::Sqlite(database) => database.insert(batch).await,
        }
    }

    async fn message_by_dedup(&self, message: &NewMessage) -> sqlx::Result<Option<Message>> {
        read!(self, message_by_dedup(message.dedup))
    }

    pub async fn messages(&self, page: Page) -> sqlx::Result<Vec<Message>> {
        match page {
            Page::Newest { after, before, limit } => {
                read!(self, newest_messages(after, before, limit))
            }
            Page::Following { after, limit } => {
                let mut messages: Vec<Message> = read!(self, oldest_messages(after, limit))?;
                messages.reverse();
                Ok(messages)
            }
        }
    }

    pub async fn message(&self, id: MessageId) -> sqlx::Result<Option<Message>> {
        read!(self, message_by_id(id))
    }

    pub async fn users(&self, after: String, limit: i64) -> sqlx::Result<Vec<String>> {
        read!(self, users_after(after, limit))
    }

    pub async fn close(&self) {
        match self {
            Self::MySql(database) => database.close().await,
            Self::Sqlite(database) => database.close().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{IdempotencyKey, Text, UserName};

    fn message(text: &str, key: Option<&str>) -> NewMessage {
        let key = key.map(|key| IdempotencyKey::parse(key.as_bytes()).unwrap());
        let text = Text::parse(text.to_owned()).unwrap();
        NewMessage::new(UserName::parse("bob").unwrap(), text, key.as_ref())
    }

    #[tokio::test]
    async fn a_batch_is_stored_in_order_and_finds_what_is_stored_already() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("chat.db").display());
        let database = Database::new(&url, 1).unwrap();
        database.prepare(Migrate::Auto).await.unwrap();

        let batch = [message("a", Some("k")), message("b", None), message("c", None)];
        let created = |(message, id): (&NewMessage, i64)| Posted::Created(message.stored_as(id));
        let expected: Vec<_> = batch.iter().zip(1..).map(created).collect();
        assert_eq!(database.commit(&batch).await.unwrap(), expected);

        // One is new, one is a replay, one reuses the key, and one was ours and taken for failed.
        let again = [message("d", None), message("a", Some("k")), message("x", Some("k"))];
        let posted = database.commit(&[&again[..], &batch[1..2]].concat()).await.unwrap();
        assert_eq!(posted[0], Posted::Created(again[0].stored_as(4)));
        assert_eq!(posted[1], Posted::Replayed(batch[0].stored_as(1)));
        assert_eq!(posted[2], Posted::KeyReused);
        assert_eq!(posted[3], expected[1]);
        database.close().await;
    }
}
