//! Listening: accepts connections up to a limit, tells the ones beyond it, and stops in an orderly
//! way.

use super::{connection, listener::Listener, socket::Timeouts};
use crate::{
    readiness::Readiness,
    telemetry::{Kind, admits},
};
use poem::endpoint::BoxEndpoint;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinSet, yield_now},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{Level, warn};

/// How long to pause when the system gives no connection, mostly for want of file descriptors.
/// Without it the loop would spin until some are free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const CANNOT_ACCEPT: Kind =
    Kind { level: Level::WARN, message: "Cannot accept a connection", code: None, route: None };

const UNANSWERED: Kind = Kind {
    message: "Closed a connection without a response: too many are being refused already",
    ..CANNOT_ACCEPT
};

/// How long a connection beyond the limit may take to ask and to read its answer.
const REFUSAL_TIMEOUTS: Timeouts =
    Timeouts { head: Duration::from_secs(2), idle: Duration::from_secs(2) };

/// The places for connections, and how many were ever taken at a time.
#[derive(Debug)]
pub struct Connections {
    places: Arc<Semaphore>,
    pub max: usize,
    peak: AtomicUsize,
    /// Those for which there was no place, not even one to be refused in.
    unanswered: AtomicU64,
}

impl Connections {
    pub fn new(max: usize) -> Self {
        let places = Arc::new(Semaphore::new(max));
        Self { places, max, peak: AtomicUsize::new(0), unanswered: AtomicU64::new(0) }
    }

    pub fn open(&self) -> usize {
        self.max - self.places.available_permits()
    }

    /// The most that were open at a time since [`Connections::take_peak`].
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// The same, and begins a new peak.
    pub fn take_peak(&self) -> usize {
        self.peak.swap(self.open(), Ordering::Relaxed)
    }

    /// How many were ever closed without a response.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Waits until none is open; not for long, because it keeps asking.
    pub async fn all_closed(&self) {
        while self.open() > 0 {
            yield_now().await;
        }
    }

    fn admit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.peak.fetch_max(self.open(), Ordering::Relaxed);
        Some(permit)
    }
}

/// What one listener serves, and to how many.
pub struct Service {
    /// Answers the requests.
    pub endpoint: BoxEndpoint<'static>,
    /// Answers those for whom there is no place.
    pub refusing: BoxEndpoint<'static>,
    pub connections: Arc<Connections>,
    /// The places for those. Clients without one of these too are closed without a response.
    pub refusals: Arc<Semaphore>,
    pub timeouts: Timeouts,
    pub readiness: Arc<Readiness>,
}

/// Serves a listener until `stop` is cancelled and the requests under way are answered. Dropped
/// before that, it cuts them off.
pub async fn serve(listener: Listener, service: Service, stop: CancellationToken) {
    let (endpoint, refusing) = (Arc::new(service.endpoint), Arc::new(service.refusing));
    let mut connections = JoinSet::new();
    let mut serve = |stream, client| {
        let (endpoint, permit, timeouts) = if let Some(permit) = service.connections.admit() {
            (&endpoint, permit, Some(service.timeouts))
        } else if let Ok(permit) = Arc::clone(&service.refusals).try_acquire_owned() {
            (&refusing, permit, None)
        } else {
            service.connections.unanswered.fetch_add(1, Ordering::Relaxed);
            if admits(UNANSWERED) {
                warn!("{}", UNANSWERED.message);
            }
            return;
        };
        let stop = stop.clone();
        let readiness = Arc::clone(&service.readiness);
        let task =
            serve_one(stream, client, Arc::clone(endpoint), readiness, timeouts, permit, stop);
        connections.spawn(task);
        // The set keeps what has ended until it is asked.
        while connections.try_join_next().is_some() {}
    };
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, client)) => serve(stream, client),
            Err(error) => {
                if admits(CANNOT_ACCEPT) {
                    warn!(cause = %error, "{}", CANNOT_ACCEPT.message);
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // New connections are refused by the system from here on.
    for (stream, client) in listener.close() {
        serve(stream, client);
    }
    while connections.join_next().await.is_some() {}
}

/// `timeouts` is `None` for a connection that is only told that there is no place.
async fn serve_one(
    stream: TcpStream,
    peer: SocketAddr,
    endpoint: Arc<BoxEndpoint<'static>>,
    readiness: Arc<Readiness>,
    timeouts: Option<Timeouts>,
    permit: OwnedSemaphorePermit,
    stop: CancellationToken,
) {
    let keep_alive = timeouts.is_some();
    let timeouts = timeouts.unwrap_or(REFUSAL_TIMEOUTS);
    let answer = |request| endpoint.call(request);
    let stop = stop.cancelled();
    let stream =
        connection::run(stream, peer, answer, &readiness, keep_alive, timeouts, stop).await;
    // Not part of stopping: every answer has been written.
    tokio::spawn(async move {
        if let Some(stream) = stream {
            connection::linger(stream).await;
        }
        drop(permit);
    });
}
