//! One interface over the two kinds of database.

use super::{
    location::Location,
    mysql::{self, MySql},
    pool_kind::PoolUse,
    sqlite::{self, Sqlite},
};
use crate::config::{DatabaseUrl, Migrate};
use anyhow::{Context, bail};
use secrecy::ExposeSecret;
use std::{sync::Arc, time::Duration};

#[derive(Clone, Debug)]
pub enum Database {
    MySql(Arc<MySql>),
    Sqlite(Arc<Sqlite>),
}

impl Database {
    pub fn new(settings: &DatabaseUrl, connections_max: u32) -> anyhow::Result<Self> {
        let url = settings.read()?;
        let url = url.expose_secret();
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("mysql" | "mariadb") => {
                Ok(Self::MySql(Arc::new(MySql::new(settings, connections_max)?)))
            }
            Some("sqlite") => {
                let database = Sqlite::new(url, connections_max).context(settings.setting)?;
                Ok(Self::Sqlite(Arc::new(database)))
            }
            // The message must not repeat the URL, which may hold a password.
            _ => bail!(
                "{}: it must be sqlite://FILE, such as sqlite://chat.db, or \
                 mysql://USER:PASSWORD@HOST:PORT/NAME; it is not shown, as it may hold a password",
                settings.setting
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

    /// Fails when the database cannot serve within a time.
    pub async fn probe(&self, limit: Duration) -> sqlx::Result<()> {
        match self {
            Self::MySql(database) => database.probe(limit).await,
            Self::Sqlite(database) => database.probe(limit).await,
        }
    }

    /// Does what is due from time to time, in statements that take up to a time.
    pub async fn maintain(&self, limit: Duration) -> sqlx::Result<()> {
        match self {
            Self::MySql(database) => database.maintain(limit).await,
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// Why no retry can open the database, if that is so. A database server can be repaired where
    /// it is, except for a part of the URL that it refuses.
    pub fn beyond_repair(&self, error: &sqlx::Error) -> Option<String> {
        match self {
            Self::MySql(_) => mysql::url_refusal(error),
            Self::Sqlite(database) => sqlite::beyond_repair(&database.path(), error),
        }
    }

    /// What time limits have to be longer by, because of the distance.
    pub fn allowance(&self) -> Duration {
        match self {
            Self::MySql(database) => database.allowance(),
            Self::Sqlite(_) => Duration::ZERO,
        }
    }

    pub fn location(&self) -> Location {
        match self {
            Self::MySql(database) => database.location(),
            Self::Sqlite(database) => Location::of_file(&database.path()),
        }
    }

    /// The connections, by pool.
    pub fn pools(&self) -> Vec<PoolUse> {
        match self {
            Self::MySql(database) => database.pools().into(),
            Self::Sqlite(database) => database.pool_uses().into(),
        }
    }

    /// Limits that are too small, and what to do about them.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::MySql(database) => database.warnings(),
            Self::Sqlite(_) => Vec::new(),
        }
    }

    pub async fn close(&self) {
        match self {
            Self::MySql(database) => database.close().await,
            Self::Sqlite(database) => database.close().await,
        }
    }
}
