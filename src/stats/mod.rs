//! The last fifteen minutes, made from the same instruments that `/metrics` shows: every few
//! seconds a snapshot of their totals is kept, and a window is the difference of two of them. For
//! percentiles, each snapshot has the response times since the one before it.

mod totals;

mod host;

use crate::{http::Connections, telemetry::ResponseTimes};
use host::{Host, Load};
use prometheus::Registry;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval};
use totals::{Requests, ratio};

/// How often a snapshot is taken.
pub const STEP: Duration = Duration::from_secs(STEP_SECONDS as u64);
const STEP_SECONDS: usize = 5;

/// How many are kept: those of fifteen minutes, and the one before them.
const SNAPSHOTS_MAX: usize = 15 * 60 / STEP_SECONDS + 1;

pub struct Stats {
    registry: Registry,
    connections: Arc<Connections>,
    apdex_t: Duration,
    state: Mutex<State>,
}

struct State {
    host: Host,
    /// The oldest first; at least the one of the start.
    snapshots: VecDeque<Snapshot>,
    /// All of them until the latest snapshot.
    times: ResponseTimes,
    connections_peak: usize,
}

struct Snapshot {
    taken: Instant,
    at: OffsetDateTime,
    requests: Requests,
    /// Since the snapshot before.
    times: ResponseTimes,
    load: Load,
    connections: usize,
    connections_peak: usize,
}

/// What a window shows. Times are in seconds; `None` where there is nothing to divide by.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub covered: f64,
    pub requests: u64,
    pub mean: Option<f64>,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub errors: WindowErrors,
    pub availability: Option<f64>,
    pub apdex: Option<f64>,
    pub cpu_process: Option<f64>,
    pub cpu_system: Option<f64>,
    pub connections_peak: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowErrors {
    pub client: u64,
    pub server: u64,
    pub canceled: u64,
    pub by_code: BTreeMap<String, u64>,
}

/// One step of the history.
pub struct Point {
    pub at: OffsetDateTime,
    pub window: Window,
    pub connections: usize,
    pub memory: u64,
}

impl Stats {
    /// Up to `apdex_t`, a request counts whole for Apdex.
    pub fn new(registry: Registry, apdex_t: Duration, connections: Arc<Connections>) -> Self {
        let mut host = Host::new();
        let first = Snapshot {
            taken: Instant::now(),
            at: OffsetDateTime::now_utc(),
            requests: Requests::of(&registry, apdex_t),
            times: ResponseTimes::default(),
            load: host.look(),
            connections: 0,
            connections_peak: 0,
        };
        let snapshots = VecDeque::from([first]);
        let times = ResponseTimes::since_start();
        let state = Mutex::new(State { host, snapshots, times, connections_peak: 0 });
        Self { registry, connections, apdex_t, state }
    }

    /// Takes snapshots, for ever.
    pub async fn keep(&self) {
        let mut steps = interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        steps.tick().await;
        loop {
            steps.tick().await;
            self.take_snapshot();
        }
    }

    pub const fn apdex_t(&self) -> Duration {
        self.apdex_t
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub fn cpus(&self) -> f64 {
        self.state().host.cpus()
    }

    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The most connections at a time since the start.
    pub fn connections_peak(&self) -> usize {
        self.state().connections_peak.max(self.connections.peak())
    }

    /// The latest look at processor and memory.
    pub fn load(&self) -> Load {
        self.state().snapshots.back().map(|snapshot| snapshot.load).unwrap_or_default()
    }

    /// From about these times ago until now.
    pub fn windows<const N: usize>(&self, lengths: [Duration; N]) -> [Window; N] {
        let now = self.requests();
        let state = self.state();
        let latest = ResponseTimes::since_start().since(&state.times);
        lengths.map(|length| {
            let enough = |snapshot: &Snapshot| snapshot.taken.elapsed() >= length;
            let first = state.snapshots.iter().rposition(enough).unwrap_or(0);
            let within: Vec<&Snapshot> = state.snapshots.iter().skip(first + 1).collect();
            let first = &state.snapshots[first];
            let mut times = latest.clone();
            for snapshot in &within {
                times.add(&snapshot.times);
            }
            self.between(&first.requests, &now, &times, &within, first.taken.elapsed())
        })
    }

    /// The steps that are kept, the oldest first.
    pub fn history(&self) -> Vec<Point> {
        let state = self.state();
        let pairs = state.snapshots.iter().zip(state.snapshots.iter().skip(1));
        pairs
            .map(|(before, after)| Point {
                at: after.at,
                window: self.between(
                    &before.requests,
                    &after.requests,
                    &after.times,
                    &[after],
                    after.taken - before.taken,
                ),
                connections: after.connections,
                memory: after.load.memory,
            })
            .collect()
    }

    fn take_snapshot(&self) {
        let requests = self.requests();
        let connections_peak = self.connections.take_peak();
        let mut state = self.state();
        let times = ResponseTimes::since_start();
        let snapshot = Snapshot {
            taken: Instant::now(),
            at: OffsetDateTime::now_utc(),
            requests,
            times: times.since(&state.times),
            load: state.host.look(),
            connections: self.connections.open(),
            connections_peak,
        };
        state.times = times;
        state.connections_peak = state.connections_peak.max(connections_peak);
        state.snapshots.push_back(snapshot);
        if state.snapshots.len() > SNAPSHOTS_MAX {
            state.snapshots.pop_front();
        }
    }

    fn between(
        &self,
        before: &Requests,
        after: &Requests,
        times: &ResponseTimes,
        within: &[&Snapshot],
        covered: Duration,
    ) -> Window {
        let mean_of = |value: fn(&Load) -> Option<f64>| {
            let values: Vec<f64> =
                within.iter().filter_map(|snapshot| value(&snapshot.load)).collect();
            ratio(values.iter().sum(), values.len() as f64)
        };
        let server = after.server_errors - before.server_errors;
        let requests = after.count - before.count;
        let count = requests as f64;
        Window {
            covered: covered.as_secs_f64(),
            requests,
            mean: ratio(after.seconds - before.seconds, count),
            p50: times.quantile(0.5),
            p95: times.quantile(0.95),
            p99: times.quantile(0.99),
            availability: ratio((requests - server) as f64, count),
            apdex: ratio((after.apdex_halves - before.apdex_halves) as f64 / 2.0, count),
            cpu_process: mean_of(|load| load.process),
            cpu_system: mean_of(|load| load.system),
            connections_peak: within
                .iter()
                .map(|snapshot| snapshot.connections_peak)
                .max()
                .unwrap_or_default()
                .max(self.connections.peak()),
            errors: WindowErrors {
                client: after.client_errors - before.client_errors,
                server,
                canceled: after.canceled - before.canceled,
                by_code: after.codes_since(before),
            },
        }
    }

    /// Never while the state is locked: `/metrics`, which this reads, has the latest load as well.
    fn requests(&self) -> Requests {
        Requests::of(&self.registry, self.apdex_t)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
