//! How to open a connection to MySQL, as the URL says it.

use super::{mysql_session, mysql_url};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Executor, MySqlConnection,
    mysql::{MySqlConnectOptions, MySqlSslMode},
};
use std::{
    io,
    sync::{PoisonError, RwLock},
};
use tracing::warn;

#[derive(Debug)]
pub struct Login {
    target: RwLock<Target>,
}

#[derive(Clone, Debug)]
struct Target {
    options: MySqlConnectOptions,
    /// The same server without a database, for creating it.
    server: MySqlConnectOptions,
}

impl Login {
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let (options, server) = mysql_url::parse(url)?;
        Ok(Self { target: RwLock::new(Target { options, server }) })
    }

    pub fn options(&self) -> MySqlConnectOptions {
        self.target().options
    }

    /// The name of the database.
    pub fn database(&self) -> String {
        self.target().options.get_database().unwrap_or_default().to_owned()
    }

    /// Opens a connection that is not set up yet.
    pub async fn connect(&self) -> sqlx::Result<MySqlConnection> {
        let Target { options, .. } = self.target();
        match options.connect().await {
            Err(error) if prefers_tls(&options) && is_handshake_failure(&error) => {
                self.go_on_without_tls(&error);
                self.target().options.connect().await
            }
            connected => connected,
        }
    }

    /// Creates the database on a connection to its server, which then leads to the database. (One
    /// connection may be all that the database gives.)
    pub async fn create_database(&self) -> sqlx::Result<MySqlConnection> {
        let mut connection = self.target().server.connect().await?;
        mysql_session::set_up_for_migrations(&mut connection).await?;
        let name = self.database().replace('`', "``");
        let create = format!(
            "create database if not exists `{name}` character set utf8mb4 collate utf8mb4_bin; \
             use `{name}`"
        );
        connection.execute(sqlx::raw_sql(AssertSqlSafe(create))).await?;
        Ok(connection)
    }

    /// What MySQL's own clients do by default with a server whose TLS they cannot speak, such as
    /// one that knows only ciphers of the past.
    fn go_on_without_tls(&self, cause: &sqlx::Error) {
        warn!(%cause, "Going on without TLS, as ssl-mode=PREFERRED allows; REQUIRED does not");
        let Target { options, server } = self.target();
        let [options, server] =
            [options, server].map(|options| options.ssl_mode(MySqlSslMode::Disabled));
        *self.target.write().unwrap_or_else(PoisonError::into_inner) = Target { options, server };
    }

    fn target(&self) -> Target {
        self.target.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn prefers_tls(options: &MySqlConnectOptions) -> bool {
    matches!(options.get_ssl_mode(), MySqlSslMode::Preferred)
}

/// Without a certificate to verify, as with `ssl-mode=PREFERRED`, a server that answers what TLS
/// does not understand is the only reason for this kind of error.
fn is_handshake_failure(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData)
}
