//! One interface over the two kinds of database.

use super::{distance::within, limits::Limits, mysql::MySql, session::Session, sqlite::Sqlite};
use crate::config::{DatabaseUrl, Migrate};
use anyhow::{Context, bail};
use secrecy::ExposeSecret;
use std::{sync::Arc, time::Duration};

/// How long a statement may take, with what the distance adds. A database that keeps silent for so
/// long on one connection may answer on another. Longer than a wait for a lock, which ends with an
/// error (`mysql_session.rs`): the same lock would be in the way on every other connection.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);

/// What a session is for, which decides on the connections that it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Group commit.
    Posts,
    /// Reads that many requests share.
    SharedReads,
    /// Requests that have a query of their own.
    OtherReads,
    /// Looking whether the database serves.
    Watching,
}

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
            Self::Sqlite(database) => within(limit, database.probe()).await,
        }
    }

    /// Does what is due from time to time, in statements that take up to a time.
    pub async fn look_after(&self, limit: Duration) -> sqlx::Result<()> {
        match self {
            Self::MySql(database) => database.look_after(limit).await,
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// How long a statement may take.
    pub fn statement_timeout(&self) -> Duration {
        STATEMENT_TIMEOUT + self.allowance()
    }

    /// What time limits have to be longer by, because of the distance.
    pub fn allowance(&self) -> Duration {
        match self {
            Self::MySql(database) => database.allowance(),
            Self::Sqlite(_) => Duration::ZERO,
        }
    }

    /// As the semantic conventions call it. MariaDB speaks MySQL, and nobody here asks which it is.
    pub const fn system(&self) -> &'static str {
        match self {
            Self::MySql(_) => "mysql",
            Self::Sqlite(_) => "sqlite",
        }
    }

    /// The connections, by pool.
    pub fn pools(&self) -> Vec<PoolUse> {
        match self {
            Self::MySql(database) => database.pools().into(),
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
        match self {
            Self::MySql(database) => database.warnings(),
            Self::Sqlite(_) => Vec::new(),
        }
    }

    /// A way to the database for one task.
    pub fn session(&self, purpose: Purpose) -> Session {
        Session::new(self.clone(), purpose)
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

fn pool_use(name: &'static str, pool: &sqlx::SqlitePool) -> PoolUse {
    let (size, idle) = (pool.size() as usize, pool.num_idle());
    let max = pool.options().get_max_connections();
    PoolUse { name, idle, used: size.saturating_sub(idle), max }
}
