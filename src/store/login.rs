//! How to open a connection to MySQL, as the settings say it now: their files are read again before
//! each connection, and from time to time.

use super::{
    location::Location,
    mysql_session,
    mysql_url::{self, MySqlUrl},
};
use crate::database_url::DatabaseUrl;
use anyhow::{Context, ensure};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Executor, MySqlConnection,
    mysql::{MySqlConnectOptions, MySqlSslMode},
    raw_sql,
};
use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tracing::{info, warn};

#[derive(Debug)]
pub struct Login {
    settings: DatabaseUrl,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    target: Target,
    /// Whether the settings lead to another database than when it was prepared.
    has_moved: bool,
    /// Why the files cannot be used, if that is so and was said.
    refused: Option<String>,
}

#[derive(Clone, Debug)]
struct Target {
    /// What was read.
    text: SecretString,
    url: MySqlUrl,
}

impl Target {
    fn read(settings: &DatabaseUrl) -> anyhow::Result<Self> {
        let text = settings.read()?;
        let is_mysql = ["mysql:", "mariadb:"].iter().any(|it| text.expose_secret().starts_with(it));
        ensure!(is_mysql, "{}: a server that runs with MySQL cannot leave it", settings.setting);
        let url = mysql_url::parse(text.expose_secret()).context(settings.setting)?;
        Ok(Self { text, url })
    }

    fn is_same(&self, other: &Self) -> bool {
        self.text.expose_secret() == other.text.expose_secret()
            && self.url.certificates == other.url.certificates
    }

    fn location(&self) -> String {
        Location::of_server(&self.url.options).to_string()
    }
}

impl Login {
    pub fn new(settings: &DatabaseUrl) -> anyhow::Result<Self> {
        let target = Target::read(settings)?;
        let state = State { target, has_moved: false, refused: None };
        Ok(Self { settings: settings.clone(), state: Mutex::new(state) })
    }

    pub fn options(&self) -> MySqlConnectOptions {
        self.state().target.url.options.clone()
    }

    /// The name of the database.
    pub fn database(&self) -> String {
        self.options().get_database().unwrap_or_default().to_owned()
    }

    /// Reads the files again. Returns whether something has changed. What cannot be used, such as a
    /// file that is just being written, leaves all as it was.
    pub fn refresh(&self) -> bool {
        let read = Target::read(&self.settings);
        let mut state = self.state();
        let target = match read {
            Ok(target) => target,
            Err(reason) => {
                let reason = format!("{reason:#}");
                if state.refused.as_ref() != Some(&reason) {
                    warn!("{reason}; the settings of before are used");
                    state.refused = Some(reason);
                }
                return false;
            }
        };
        state.refused = None;
        if target.is_same(&state.target) {
            return false;
        }
        let (old, new) = (state.target.location(), target.location());
        if old == new {
            info!("The user, password or certificates for the database have changed: {new}");
        } else {
            info!("The database has changed from {old} to {new}");
            state.has_moved = true;
        }
        state.target = target;
        true
    }

    /// Whether the settings lead to another database than when it was prepared.
    pub fn has_moved(&self) -> bool {
        self.state().has_moved
    }

    /// Begins to prepare the database that the settings lead to.
    pub fn arrive(&self) {
        self.refresh();
        self.state().has_moved = false;
    }

    /// Opens a connection that is not set up yet.
    pub async fn connect(&self) -> sqlx::Result<MySqlConnection> {
        let options = self.options();
        match options.connect().await {
            Err(error) if prefers_tls(&options) && is_handshake_failure(&error) => {
                self.go_on_without_tls(&error);
                self.options().connect().await
            }
            connected => connected,
        }
    }

    /// Creates the database on a connection to its server, which then leads to the database. (One
    /// connection may be all that the database gives.)
    pub async fn create_database(&self) -> sqlx::Result<MySqlConnection> {
        let MySqlUrl { options, server, .. } = self.state().target.url.clone();
        let mut connection = server.connect().await?;
        mysql_session::set_up_for_migrations(&mut connection).await?;
        let name = options.get_database().unwrap_or_default().replace('`', "``");
        let create = format!(
            "create database if not exists `{name}` character set utf8mb4 collate utf8mb4_bin; \
             use `{name}`"
        );
        connection.execute(raw_sql(AssertSqlSafe(create))).await?;
        Ok(connection)
    }

    /// What MySQL's own clients do by default with a server whose TLS they cannot speak, such as
    /// one that knows only ciphers of the past.
    fn go_on_without_tls(&self, cause: &sqlx::Error) {
        warn!(%cause, "Going on without TLS, as ssl-mode=PREFERRED allows; REQUIRED does not");
        let url = &mut self.state().target.url;
        for options in [&mut url.options, &mut url.server] {
            *options = options.clone().ssl_mode(MySqlSslMode::Disabled);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
