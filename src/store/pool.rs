//! The connections to MySQL: opened when there is none to use, and kept for the next use.
//!
//! There are never more than the setting allows, nor more than the database gives. After it has
//! refused one, calls wait for those that there are: one is enough to serve everything, slowly. So
//! a password that was changed in the database before it was in the settings stops nothing.
//!
//! A connection is lent without a sign of life from the database, which would cost a round trip. If
//! it is broken, its first statement fails, and the store tries again (`attempts.rs`).

use super::{
    database::{PoolUse, Purpose},
    distance::{Distance, within},
    lease::{Connection, Lease, Place, close},
    limits::{Limits, Refusal},
    login::Login,
    mysql_session::set_up,
};
use sqlx::MySqlConnection;
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How long connecting may take. It grows with the distance.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections are replaced after this time, so that a failover reaches them all.
const LIFETIME: Duration = Duration::from_mins(30);

/// A connection is closed after it was idle for so long: earlier than by what is on its way, and
/// much earlier than by the database (`mysql_session.rs`).
const IDLE_MAX: Duration = Duration::from_mins(1);

/// How long after the database has refused a connection it is asked for one again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The tasks that use a connection at a time: group commit, the two shared reads, and watching.
const LANES: usize = 4;

#[derive(Debug)]
pub struct Pool {
    pub login: Login,
    distance: Arc<Distance>,
    pub connections_max: usize,
    /// One for each connection that may be in use. They are given in the order of asking.
    places: Arc<Semaphore>,
    /// One for each read with a query of its own that may ask for a place. However many there are,
    /// a task finds few of them before it.
    reads: Arc<Semaphore>,
    reads_max: usize,
    /// Has a clone for each connection that is open or being opened.
    open: Arc<()>,
    /// How often all connections were found to be of no use.
    flushes: watch::Sender<u64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The last one was used most recently.
    idle: Vec<Connection>,
    /// The connection that was used for watching, which others take only when they could not open
    /// one. So a look at the database seldom has to wait for a new one.
    watching: Option<Connection>,
    /// How many places there are: fewer than the setting after the database has refused more.
    places: usize,
    refusal: Option<(Refusal, Instant)>,
    limits: Limits,
}

impl Pool {
    pub fn new(login: Login, connections_max: u32, distance: Arc<Distance>) -> Arc<Self> {
        let connections_max = connections_max as usize;
        let reads_max = connections_max.saturating_sub(LANES).max(1);
        let state = State {
            idle: Vec::new(),
            watching: None,
            places: connections_max,
            refusal: None,
            limits: Limits::default(),
        };
        Arc::new(Self {
            login,
            distance,
            connections_max,
            places: Arc::new(Semaphore::new(connections_max)),
            reads: Arc::new(Semaphore::new(reads_max)),
            reads_max,
            open: Arc::default(),
            flushes: watch::Sender::default(),
            state: Mutex::new(state),
        })
    }

    /// Waits for the right to use a connection, or until all are flushed.
    pub async fn place(&self, purpose: Purpose) -> sqlx::Result<Place> {
        let read = match purpose {
            Purpose::OtherReads => Some(self.wait(&self.reads).await?),
            Purpose::Posts | Purpose::SharedReads | Purpose::Watching => None,
        };
        Ok(Place::new(purpose, self.wait(&self.places).await?, read))
    }

    async fn wait(&self, places: &Arc<Semaphore>) -> sqlx::Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(places).try_acquire_owned() {
            return Ok(permit);
        }
        let mut flushes = self.flushes.subscribe();
        tokio::select! {
            permit = Arc::clone(places).acquire_owned() => {
                permit.map_err(|_| sqlx::Error::PoolClosed)
            }
            _ = flushes.changed() => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Takes an idle connection or opens one. When the database refuses it, waits for one in use.
    pub async fn take(self: &Arc<Self>, mut place: Place) -> sqlx::Result<Lease> {
        loop {
            self.check_target()?;
            if let Some(connection) = self.take_idle(place.purpose) {
                return Ok(Lease::new(self, connection, place));
            }
            let error = match self.open().await {
                Ok(connection) => return Ok(Lease::new(self, connection, place)),
                Err(error) => error,
            };
            let others = self.count();
            let Some(cause) = Refusal::cause(&error).filter(|_| others > 0) else {
                return Err(error);
            };
            let purpose = place.purpose;
            self.make_do(Refusal { cause, connections: others }, place);
            place = self.place(purpose).await?;
        }
    }

    /// Takes over a connection that is set up for requests.
    pub fn adopt(&self, raw: MySqlConnection, limits: Limits) {
        let connection = self.connection(raw, limits, Arc::clone(&self.open));
        self.state().idle.push(connection);
    }

    /// Closes what has been idle for long, and asks for more connections some time after the
    /// database has refused one.
    pub async fn look_after(&self) {
        close(self.take_old());
        let has_changed = self.login.refresh();
        if self.is_time_to_ask_again(has_changed)
            && let Ok(connection) = self.open().await
        {
            let mut state = self.state();
            state.idle.push(connection);
            self.places.add_permits(self.connections_max - state.places);
            state.places = self.connections_max;
            state.refusal = None;
        }
    }

    /// Takes back a connection that is of use.
    pub fn put(&self, mut connection: Connection, purpose: Purpose) {
        let mut state = self.state();
        if connection.flushes != *self.flushes.borrow() {
            return;
        }
        connection.used_at = Instant::now();
        if purpose == Purpose::Watching && state.watching.is_none() {
            state.watching = Some(connection);
        } else {
            state.idle.push(connection);
        }
    }

    /// Closes the idle connections, and those in use after their use. Ends all waits for one.
    pub fn flush(&self) {
        self.flushes.send_modify(|flushes| *flushes += 1);
        let mut state = self.state();
        state.idle.clear();
        state.watching = None;
    }

    pub async fn close(&self) {
        self.reads.close();
        self.places.close();
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

    /// What the database has refused.
    pub fn refusal(&self) -> Option<Refusal> {
        self.state().refusal.map(|(refusal, _)| refusal)
    }

    /// The use of connections by reads with a query of their own, which find the idle ones too, and
    /// by the tasks.
    pub fn uses(&self) -> [PoolUse; 2] {
        let state = self.state();
        let used = state.places.saturating_sub(self.places.available_permits());
        let watching = usize::from(state.watching.is_some());
        let reads = self.reads_max - self.reads.available_permits();
        let pool_use = |name, idle, used, max: usize| {
            let max = u32::try_from(max).unwrap_or(u32::MAX);
            PoolUse { name, idle, used, max }
        };
        [
            pool_use("lanes", watching, used.saturating_sub(reads), LANES),
            pool_use("reads", state.idle.len(), reads, self.reads_max),
        ]
    }

    fn take_idle(&self, purpose: Purpose) -> Option<Connection> {
        let connection = {
            let mut state = self.state();
            if purpose == Purpose::Watching {
                state.watching.take().or_else(|| state.idle.pop())
            } else if state.idle.is_empty() && self.count() >= state.places {
                state.watching.take()
            } else {
                state.idle.pop()
            }
        }?;
        if connection.opened_at.elapsed() < LIFETIME {
            return Some(connection);
        }
        // The next one may be younger, but opening one is simpler.
        close(vec![connection]);
        None
    }

    /// Fails when the settings lead to another database, which has to be prepared first.
    fn check_target(&self) -> sqlx::Result<()> {
        let moved = || io::Error::other("the settings lead to another database now");
        if self.login.has_moved() { Err(moved().into()) } else { Ok(()) }
    }

    /// How many connections are open or being opened.
    fn count(&self) -> usize {
        Arc::strong_count(&self.open) - 1
    }

    fn take_old(&self) -> Vec<Connection> {
        let is_old = |connection: &mut Connection| connection.used_at.elapsed() >= IDLE_MAX;
        self.state().idle.extract_if(.., is_old).collect()
    }

    fn is_time_to_ask_again(&self, has_changed: bool) -> bool {
        let mut state = self.state();
        let due = |(_, at): &&mut (Refusal, Instant)| has_changed || at.elapsed() > ASK_AGAIN_AFTER;
        state.refusal.as_mut().filter(due).map(|(_, at)| *at = Instant::now()).is_some()
    }

    async fn open(&self) -> sqlx::Result<Connection> {
        let counted = Arc::clone(&self.open);
        self.login.refresh();
        self.check_target()?;
        let opening = async {
            let mut raw = self.login.connect().await?;
            let limits = set_up(&mut raw).await?;
            Ok::<_, sqlx::Error>((raw, limits))
        };
        let limit = CONNECT_TIMEOUT + self.distance.allowance();
        // Boxed, because it is large and seldom there.
        let (raw, limits) = within(limit, Box::pin(opening)).await?;
        Ok(self.connection(raw, limits, counted))
    }

    fn connection(&self, raw: MySqlConnection, limits: Limits, counted: Arc<()>) -> Connection {
        self.state().limits = limits;
        Connection::new(raw, *self.flushes.borrow(), counted)
    }

    /// Makes do with the connections that there are: takes away the places beyond them.
    fn make_do(&self, refusal: Refusal, place: Place) {
        let mut state = self.state();
        state.refusal = Some((refusal, Instant::now()));
        if state.places > refusal.connections {
            place.permit.forget();
            let surplus = state.places - 1 - refusal.connections;
            state.places -= 1 + self.places.forget_permits(surplus);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
