//! Accepts connections up to a limit, refuses those above it, and drains on shutdown.

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

/// How long to pause if accepting fails, usually for lack of file descriptors. Without it, the loop
/// would spin until some are free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const CANNOT_ACCEPT: Kind =
    Kind { level: Level::WARN, message: "Cannot accept a connection", code: None, route: None };

const UNANSWERED: Kind = Kind {
    message: "Closed a connection without a response: too many are being refused already",
    ..CANNOT_ACCEPT
};

/// How long a connection above the limit may take to send a request and to read the response.
const REFUSAL_TIMEOUTS: Timeouts =
    Timeouts { head: Duration::from_secs(2), idle: Duration::from_secs(2) };

/// The connections of one listener: their limit and their peak.
#[derive(Debug)]
pub struct Connections {
    places: Arc<Semaphore>,
    pub max: usize,
    peak: AtomicUsize,
    /// Connections that were closed without even an `overloaded` response.
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

    /// The maximum number open at the same time since [`Connections::take_peak`].
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Returns the peak and starts a new one.
    pub fn take_peak(&self) -> usize {
        self.peak.swap(self.open(), Ordering::Relaxed)
    }

    /// The total number of connections that were closed without a response.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Waits until none is open. It polls, so it must not wait for long.
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

/// The endpoints, limits and timeouts of one listener.
pub struct Service {
    /// Handles requests.
    pub endpoint: BoxEndpoint<'static>,
    /// Handles requests of connections above the limit.
    pub refusing: BoxEndpoint<'static>,
    pub connections: Arc<Connections>,
    /// Limits these connections. Further ones are closed without a response.
    pub refusals: Arc<Semaphore>,
    pub timeouts: Timeouts,
    pub readiness: Arc<Readiness>,
}

/// Serves a listener until `stop` is cancelled and the requests in progress are complete. Dropping
/// the future earlier cancels them.
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
        // The set keeps finished tasks until they are joined.
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
    // From here on, the system refuses new connections.
    for (stream, client) in listener.close() {
        serve(stream, client);
    }
    while connections.join_next().await.is_some() {}
}

/// `timeouts` is `None` for a connection above the limit.
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
    // The shutdown does not wait for this: every response has been written.
    tokio::spawn(async move {
        if let Some(stream) = stream {
            connection::linger(stream).await;
        }
        drop(permit);
    });
}
