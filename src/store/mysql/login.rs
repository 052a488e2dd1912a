//! How to open a connection to MySQL, as the settings say it now: their files are read again when
//! they have changed, and when the database refuses what they said.

use super::{
    limits::{Refusal, RefusalCause},
    setup,
    target::{Stamp, Target},
    url::MySqlUrl,
};
use crate::{
    config::DatabaseUrl,
    readiness::DatabaseFault::{self, AccessDenied, TlsFailed},
    store::error::Moved,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Executor, MySqlConnection,
    mysql::{MySqlConnectOptions, MySqlSslMode},
    raw_sql,
};
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::timeout};
use tracing::{info, warn};

/// How long a new connection waits until the files are read.
const READ_TIMEOUT: Duration = Duration::from_millis(500);

/// How long to wait before another attempt with a password that the database has refused. It may
/// lock a user after some attempts.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Login {
    settings: DatabaseUrl,
    /// Held while the files are read.
    reading: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    target: Arc<Target>,
    /// The state of the files when they were read.
    stamps: Vec<Stamp>,
    /// Whether the settings lead to another database than when it was prepared.
    has_moved: bool,
    /// Why the files cannot be used, if that was logged.
    refused: Option<String>,
    /// When the database denied access to this target, and its error.
    denied: Option<(Instant, String)>,
    /// Whether the log says that connections go on without TLS.
    said_without_tls: bool,
}

impl Login {
    pub fn new(settings: &DatabaseUrl) -> anyhow::Result<Self> {
        let target = Arc::new(Target::read(settings)?);
        let state = State {
            target,
            stamps: Vec::new(),
            has_moved: false,
            refused: None,
            denied: None,
            said_without_tls: false,
        };
        Ok(Self { settings: settings.clone(), reading: Arc::default(), state: Mutex::new(state) })
    }

    pub fn options(&self) -> MySqlConnectOptions {
        self.target().url.options.clone()
    }

    /// The name of the database.
    pub fn database(&self) -> String {
        self.options().get_database().unwrap_or_default().to_owned()
    }

    /// Reads the files again if they have changed. Returns whether the settings have. A file that
    /// cannot be used, perhaps because it is being written, changes nothing.
    pub async fn refresh(self: &Arc<Self>) -> bool {
        self.read(false).await
    }

    /// Fails when the settings lead to another database than when it was prepared.
    pub fn check_location(&self) -> sqlx::Result<()> {
        let has_moved = self.state().has_moved;
        if has_moved { Err(sqlx::Error::Configuration(Moved.into())) } else { Ok(()) }
    }

    /// Begins to prepare the database that the settings lead to.
    pub async fn arrive(self: &Arc<Self>) {
        let _ = timeout(READ_TIMEOUT, self.refresh()).await;
        self.state().has_moved = false;
    }

    /// Opens a connection that is not set up yet.
    pub async fn connect(self: &Arc<Self>) -> sqlx::Result<MySqlConnection> {
        self.check_denied()?;
        let mut tried = self.target();
        let mut connected = self.connect_to(&tried).await;
        let fault = |result: &sqlx::Result<_>| result.as_ref().err().and_then(DatabaseFault::of);
        if matches!(fault(&connected), Some(AccessDenied | TlsFailed)) {
            let _ = timeout(READ_TIMEOUT, self.read(true)).await;
            let now = self.target();
            if !now.is_same(&tried) {
                connected = self.connect_to(&now).await;
                tried = now;
            }
        }
        let mut state = self.state();
        if let Err(error) = &connected
            && Refusal::cause(error) == Some(RefusalCause::Login(AccessDenied))
            && tried.is_same(&state.target)
        {
            state.denied = Some((Instant::now(), error.to_string()));
        }
        connected
    }

    /// Fails if the database has denied access a moment ago, with the same error.
    fn check_denied(&self) -> sqlx::Result<()> {
        let state = self.state();
        let denied = state.denied.as_ref().filter(|(at, _)| at.elapsed() < ASK_AGAIN_AFTER);
        denied.map_or(Ok(()), |(_, error)| {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, error.as_str()).into())
        })
    }

    async fn connect_to(&self, target: &Arc<Target>) -> sqlx::Result<MySqlConnection> {
        let options = &target.url.options;
        let error = match options.connect().await {
            Err(error) if prefers_tls(options) && is_handshake_failure(&error) => error,
            Ok(connection) => {
                self.state().said_without_tls &= !prefers_tls(options);
                return Ok(connection);
            }
            Err(error) => return Err(error),
        };
        match self.go_on_without_tls(target, &error) {
            Some(target) => target.url.options.connect().await,
            None => Err(error),
        }
    }

    /// Reads the files again, if they have changed or always. A thread does it, since a file system
    /// can hang; a thread of the runtime would delay the end of the process.
    async fn read(self: &Arc<Self>, always: bool) -> bool {
        let only = Arc::clone(&self.reading).lock_owned().await;
        let (sender, receiver) = oneshot::channel();
        let login = Arc::clone(self);
        thread::spawn(move || {
            let has_changed = login.read_now(always);
            drop(only);
            let _ = sender.send(has_changed);
        });
        receiver.await.unwrap_or_default()
    }

    fn read_now(&self, always: bool) -> bool {
        let target = self.target();
        let stamps = target.stamps(&self.settings);
        if !always && self.state().stamps == stamps {
            return false;
        }
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
        // If the URL names other files now, they are read once more.
        state.stamps = stamps;
        if target.is_same(&state.target) {
            return false;
        }
        let (old, new) = (state.target.location(), target.location());
        if old == new {
            info!("The user, password or certificates for the database have changed: {new}");
        } else {
            info!("The database has changed from {old} to {new}");
            state.has_moved = true;
            state.said_without_tls = false;
        }
        state.target = Arc::new(target);
        state.denied = None;
        true
    }

    /// Creates the database on a connection to its server, which then leads to the database. (The
    /// database may allow only one connection.)
    pub async fn create_database(&self) -> sqlx::Result<MySqlConnection> {
        let target = self.target();
        let MySqlUrl { options, server, .. } = &target.url;
        let mut connection = server.connect().await?;
        setup::set_up_for_migrations(&mut connection).await?;
        let name = options.get_database().unwrap_or_default().replace('`', "``");
        let create = format!(
            "create database if not exists `{name}` character set utf8mb4 collate utf8mb4_bin; \
             use `{name}`"
        );
        connection.execute(raw_sql(AssertSqlSafe(create))).await?;
        Ok(connection)
    }

    /// As MySQL's own clients do by default when they share no version or cipher of TLS with the
    /// server. Settings that have changed meanwhile stay.
    fn go_on_without_tls(&self, tried: &Arc<Target>, cause: &sqlx::Error) -> Option<Arc<Target>> {
        let mut state = self.state();
        if !Arc::ptr_eq(&state.target, tried) {
            // Another connection has found out the same, or the settings have changed.
            return state.target.is_same(tried).then(|| Arc::clone(&state.target));
        }
        if !std::mem::replace(&mut state.said_without_tls, true) {
            warn!(%cause, "Going on without TLS, as ssl-mode=PREFERRED allows; REQUIRED does not");
        }
        state.target = Arc::new(tried.without_tls());
        Some(Arc::clone(&state.target))
    }

    fn target(&self) -> Arc<Target> {
        Arc::clone(&self.state().target)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn prefers_tls(options: &MySqlConnectOptions) -> bool {
    matches!(options.get_ssl_mode(), MySqlSslMode::Preferred)
}

/// Without a certificate to verify, as with `ssl-mode=PREFERRED`, this kind of error only means
/// that the response was not understood.
fn is_handshake_failure(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use clap::Parser;
    use std::fs;

    #[test]
    fn connections_go_on_without_tls_together_unless_the_settings_ask_for_it_meanwhile() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |url: &str| fs::write(file.path(), url).unwrap();
        write("mysql://u@h/d");
        let path = file.path().to_str().unwrap();
        let config = Config::parse_from(["chat-server", "--database-url-file", path]);
        let login = Login::new(&config.database_url().unwrap()).unwrap();
        let tried = login.target();
        let error = io::Error::from(io::ErrorKind::InvalidData).into();
        for _ in 0..2 {
            assert!(login.go_on_without_tls(&tried, &error).is_some());
            assert!(matches!(login.options().get_ssl_mode(), MySqlSslMode::Disabled));
        }
        write("mysql://u@h/d?ssl-mode=REQUIRED");
        assert!(login.read_now(false));
        assert!(login.go_on_without_tls(&tried, &error).is_none());
        assert!(matches!(login.options().get_ssl_mode(), MySqlSslMode::Required));
    }
}
