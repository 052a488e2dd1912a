//! The connections to MySQL: opened when there is none to use, and kept for the next use.
//!
//! There are never more than the setting allows, except for one that replaces an old one, nor more
//! than the database allows. After it has refused one, calls wait for the open ones: one is enough
//! to serve everything, slowly. So a password that is changed in the database before it is changed
//! in the settings stops nothing.
//!
//! A connection is used without a ping, which would cost a round trip. If it is broken, its first
//! statement fails and is retried (`retry.rs`).

use super::{
    connection::{Connection, close},
    limits::{Limits, Refusal, RefusalCause},
    login::Login,
    permits::{Permit, Permits},
    setup::set_up,
};
use crate::store::{
    distance::{Distance, STATEMENT_TIMEOUT, within},
    pool_kind::{PoolKind, PoolUse},
};
use sqlx::MySqlConnection;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

/// The timeout of connecting. It grows with the distance.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections are replaced after this time, so that a failover reaches them all.
const LIFETIME: Duration = Duration::from_mins(30);

/// How long a connection may be idle before it is closed: shorter than the timeouts of the network
/// between, and much shorter than that of the database (`setup.rs`).
const IDLE_MAX: Duration = Duration::from_mins(1);

/// How long after a refusal the database is asked for a connection again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Pool {
    pub login: Arc<Login>,
    pub permits: Permits,
    distance: Arc<Distance>,
    /// Has a clone for each connection that is open.
    open: Arc<()>,
    /// Has a clone for each connection that is being opened.
    opening: Arc<()>,
    /// Held while the database is asked for more connections.
    asking: Arc<tokio::sync::Mutex<()>>,
    /// Whether a statement was refused since a probe has last prepared one.
    pub statement_refused: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The most recently used one is the last.
    idle: Vec<Connection>,
    /// The connection of the watchdog, which others take only when they could not open one. So a
    /// probe seldom waits for a new one.
    watching: Option<Connection>,
    /// How often all connections were found to be useless.
    flushes: u64,
    refusal: Option<(Refusal, Instant)>,
    limits: Limits,
}

impl Pool {
    pub fn new(login: Login, connections_max: u32, distance: Arc<Distance>) -> Arc<Self> {
        Arc::new(Self {
            login: Arc::new(login),
            permits: Permits::new(connections_max as usize),
            distance,
            open: Arc::default(),
            opening: Arc::default(),
            asking: Arc::default(),
            statement_refused: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    /// Takes an idle connection or opens one. When the database refuses it, waits for one in use.
    pub async fn take(&self, mut permit: Permit) -> sqlx::Result<(Connection, Permit)> {
        loop {
            self.login.check_location()?;
            let (kind, flushes) = (permit.kind, self.state().flushes);
            let mut idle = self.take_idle(kind);
            if let Some(young) = idle.take_if(|it| it.opened_at.elapsed() < LIFETIME) {
                return Ok((young, permit));
            }
            let error = match (self.open().await, idle) {
                (Ok(connection), old) => {
                    close(old.into_iter().collect());
                    self.note_opened();
                    return Ok((connection, permit));
                }
                (Err(_), Some(mut old)) => {
                    // The database may refuse any other. The next attempt is one lifetime later.
                    old.opened_at = Instant::now();
                    self.put(old, kind);
                    continue;
                }
                (Err(error), None) => error,
            };
            // A flush means that the database was down, and the open connections are useless.
            let goes_on = self.count() > 0 && self.state().flushes == flushes;
            let Some(cause) = Refusal::cause(&error).filter(|_| goes_on) else {
                return Err(error);
            };
            self.shrink_to_open(cause, permit);
            permit = self.permits.acquire(kind).await?;
        }
    }

    /// Adds a connection that is set up for requests, and was opened after this number of flushes.
    pub fn adopt(&self, raw: MySqlConnection, limits: Limits, flushes: u64) {
        let connection = self.connection(raw, limits, flushes);
        self.put(connection, PoolKind::Watchdog);
        self.note_opened();
    }

    /// Closes what has been idle for long. In the background, reads the settings again, and asks
    /// for more connections some time after the database has refused one.
    pub fn maintain(self: &Arc<Self>) {
        close(self.take_unused());
        if let Ok(only) = Arc::clone(&self.asking).try_lock_owned() {
            let pool = Arc::clone(self);
            tokio::spawn(async move {
                pool.ask_again().await;
                drop(only);
            });
        }
    }

    /// Takes back a connection that can be used again.
    pub fn put(&self, mut connection: Connection, kind: PoolKind) {
        let mut state = self.state();
        if connection.flushes != state.flushes {
            return;
        }
        connection.used_at = Instant::now();
        if kind == PoolKind::Watchdog && state.watching.is_none() {
            state.watching = Some(connection);
        } else {
            state.idle.push(connection);
        }
    }

    /// Closes the idle connections, and those in use after their use. Returns the number of
    /// flushes.
    pub fn flush(&self) -> u64 {
        let mut state = self.state();
        state.idle.clear();
        state.watching = None;
        state.flushes += 1;
        state.flushes
    }

    pub async fn close(&self) {
        self.permits.close();
        let idle = {
            let mut state = self.state();
            let watching = state.watching.take();
            state.idle.drain(..).chain(watching).collect()
        };
        for closing in close(idle) {
            let _ = closing.await;
        }
    }

    pub fn limits(&self) -> Limits {
        self.state().limits
    }

    /// Limits that are too small, and connections that the database refuses.
    pub fn warnings(&self) -> Vec<String> {
        let state = self.state();
        let refusal = state.refusal.map(|(refusal, _)| refusal);
        state.limits.warnings(self.permits.max, refusal)
    }

    pub fn uses(&self) -> [PoolUse; 2] {
        let state = self.state();
        self.permits.uses(usize::from(state.watching.is_some()), state.idle.len())
    }

    fn take_idle(&self, kind: PoolKind) -> Option<Connection> {
        let mut state = self.state();
        if kind == PoolKind::Watchdog {
            state.watching.take().or_else(|| state.idle.pop())
        } else if state.idle.is_empty() && self.count() >= self.permits.size() {
            state.watching.take()
        } else {
            state.idle.pop()
        }
    }

    /// How many connections are open, being opened or being closed.
    fn count(&self) -> usize {
        self.open_count() + Arc::strong_count(&self.opening) - 1
    }

    fn open_count(&self) -> usize {
        Arc::strong_count(&self.open) - 1
    }

    fn take_unused(&self) -> Vec<Connection> {
        let is_unused = |connection: &mut Connection| connection.used_at.elapsed() >= IDLE_MAX;
        self.state().idle.extract_if(.., is_unused).collect()
    }

    /// Asks also when the settings have changed, so that the log says at once whether the database
    /// refuses the new ones.
    async fn ask_again(&self) {
        let is_due = self.login.refresh().await || self.may_ask_again();
        if !is_due || self.login.check_location().is_err() {
            return;
        }
        let Ok(permit) = self.permits.acquire(PoolKind::OtherReads).await else { return };
        let is_full = self.count() >= self.permits.max;
        let old = if is_full { self.take_idle(PoolKind::OtherReads) } else { None };
        match self.open().await {
            Ok(connection) => {
                close(old.into_iter().collect());
                self.put(connection, PoolKind::OtherReads);
                self.restore();
            }
            Err(error) => {
                if let Some(old) = old {
                    self.put(old, PoolKind::OtherReads);
                }
                if let Some(cause) = Refusal::cause(&error) {
                    self.shrink_to_open(cause, permit);
                }
            }
        }
    }

    fn may_ask_again(&self) -> bool {
        let mut state = self.state();
        let is_due = |(_, at): &&mut (Refusal, Instant)| at.elapsed() > ASK_AGAIN_AFTER;
        state.refusal.as_mut().filter(is_due).map(|(_, at)| *at = Instant::now()).is_some()
    }

    async fn open(&self) -> sqlx::Result<Connection> {
        let opening = Arc::clone(&self.opening);
        let flushes = self.state().flushes;
        let allowance = self.distance.allowance();
        let connecting = async {
            let mut raw = self.login.connect().await?;
            let limits = set_up(&mut raw, STATEMENT_TIMEOUT + allowance).await?;
            Ok::<_, sqlx::Error>((raw, limits))
        };
        // Boxed, because it is large and rare.
        let (raw, limits) = within(CONNECT_TIMEOUT + allowance, Box::pin(connecting)).await?;
        self.login.check_location()?;
        let connection = self.connection(raw, limits, flushes);
        drop(opening);
        Ok(connection)
    }

    fn connection(&self, raw: MySqlConnection, limits: Limits, flushes: u64) -> Connection {
        self.state().limits = limits;
        Connection::new(raw, flushes, Arc::clone(&self.open))
    }

    /// Limits the permits to the connections that are open.
    fn shrink_to_open(&self, cause: RefusalCause, permit: Permit) {
        let connections = self.open_count().max(1);
        self.state().refusal = Some((Refusal { cause, connections }, Instant::now()));
        self.permits.shrink(connections, permit);
    }

    /// Ends the limit when a new connection shows that the database allows more.
    fn note_opened(&self) {
        let is_more = |refusal: Refusal| match refusal.cause {
            RefusalCause::Limit(_) => self.open_count() > refusal.connections,
            _ => true,
        };
        let refusal = self.state().refusal;
        if refusal.is_some_and(|(refusal, _)| is_more(refusal)) {
            self.restore();
        }
    }

    fn restore(&self) {
        self.permits.restore();
        self.state().refusal = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
