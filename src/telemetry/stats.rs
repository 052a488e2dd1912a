//! The last fifteen minutes, made from the same instruments that `/metrics` shows: every few
//! seconds a snapshot of their totals is kept, and a window is the difference of two of them.

use super::{
    host::{Host, Load},
    instruments::APDEX_TOLERANCE,
    totals::{Requests, ratio},
};
use crate::server::Connections;
use prometheus::Registry;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval};

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
    connections_peak: usize,
}

struct Snapshot {
    taken: Instant,
    at: OffsetDateTime,
    requests: Requests,
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
            requests: Requests::of(&registry),
            load: host.look(),
            connections: 0,
            connections_peak: 0,
        };
        let snapshots = VecDeque::from([first]);
        let state = Mutex::new(State { host, snapshots, connections_peak: 0 });
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
        let now = Requests::of(&self.registry);
        let state = self.state();
        lengths.map(|length| {
            let enough = |snapshot: &Snapshot| snapshot.taken.elapsed() >= length;
            let first = state.snapshots.iter().rposition(enough).unwrap_or(0);
            let within: Vec<&Snapshot> = state.snapshots.iter().skip(first + 1).collect();
            let first = &state.snapshots[first];
            self.between(&first.requests, &now, &within, first.taken.elapsed())
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
                    &[after],
                    after.taken - before.taken,
                ),
                connections: after.connections,
                memory: after.load.memory,
            })
            .collect()
    }

    fn take_snapshot(&self) {
        let requests = Requests::of(&self.registry);
        let connections_peak = self.connections.take_peak();
        let mut state = self.state();
        let snapshot = Snapshot {
            taken: Instant::now(),
            at: OffsetDateTime::now_utc(),
            requests,
            load: state.host.look(),
            connections: self.connections.open(),
            connections_peak,
        };
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
        within: &[&Snapshot],
        covered: Duration,
    ) -> Window {
        let all = after.all.since(&before.all);
        let good = after.good.since(&before.good);
        let mean_of = |value: fn(&Load) -> Option<f64>| {
            let values: Vec<f64> =
                within.iter().filter_map(|snapshot| value(&snapshot.load)).collect();
            ratio(values.iter().sum(), values.len() as f64)
        };
        let server = after.server_errors - before.server_errors;
        let count = all.count as f64;
        let satisfied = good.up_to(self.apdex_t.as_secs_f64());
        let tolerated = good.up_to((self.apdex_t * APDEX_TOLERANCE).as_secs_f64());
        Window {
            covered: covered.as_secs_f64(),
            requests: all.count,
            mean: ratio(all.sum, count),
            p50: all.quantile(0.5),
            p95: all.quantile(0.95),
            p99: all.quantile(0.99),
            availability: ratio((all.count - server) as f64, count),
            apdex: ratio((satisfied + tolerated) as f64 / 2.0, count),
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
