//! The endpoints with statistics of the last fifteen minutes.

use super::{
    declared_errors::{Failure, NoErrors},
    extract::AcceptJson,
    health::Build,
    respond::{Rendered, rfc3339_milliseconds},
    routes::Tag,
};
use crate::{
    readiness::Readiness,
    stats::{Point, STEP, Stats, Window},
    telemetry,
};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use time::OffsetDateTime;

/// The windows of `/stats`, in minutes.
const WINDOWS: [u64; 3] = [1, 5, 15];

/// The schemas whose numbers are null if there is no data to compute them from.
pub const NULLABLE: [&str; 4] = ["Cpu", "Point", "Window", "WindowCpu"];

pub struct StatsApi {
    pub stats: Arc<Stats>,
    pub readiness: Arc<Readiness>,
}

/// Statistics of this replica only.
#[derive(Object, Serialize)]
#[oai(rename = "Stats")]
struct Report {
    service: Service,
    /// Whether this replica is ready for requests.
    ready: bool,
    /// The Apdex threshold T: responses within T are satisfactory, those within 4 T tolerable.
    apdex_t_seconds: f64,
    connections: Connections,
    cpu: Cpu,
    /// The resident memory of this process.
    memory_bytes: u64,
    /// The last 1, 5 and 15 minutes.
    windows: Vec<WindowReport>,
}

#[derive(Object, Serialize)]
struct Service {
    #[oai(flatten)]
    #[serde(flatten)]
    build: Build,
    #[serde(serialize_with = "rfc3339_milliseconds")]
    started_at: OffsetDateTime,
    uptime_seconds: f64,
}

/// Client connections.
#[derive(Object, Serialize)]
struct Connections {
    now: usize,
    /// The maximum number at the same time since the start.
    peak: usize,
    limit: usize,
}

/// CPU utilization.
#[derive(Object, Serialize)]
struct Cpu {
    /// Of this process, as a share of its limit: 0 to 1.
    process: Option<f64>,
    /// Of the whole machine, 0 to 1. In a container, the machine is the node.
    system: Option<f64>,
    /// The number of CPUs that this process may use.
    limit_cpus: f64,
}

/// Statistics of a time window. Numbers without data are null.
#[derive(Object, Serialize)]
#[oai(rename = "Window")]
struct WindowReport {
    minutes: u64,
    /// The actual length of the window, which is shorter soon after the start.
    covered_seconds: f64,
    requests: u64,
    requests_per_second: Option<f64>,
    /// Average response time.
    mean_seconds: Option<f64>,
    p50_seconds: Option<f64>,
    p95_seconds: Option<f64>,
    p99_seconds: Option<f64>,
    errors: Errors,
    /// The share of requests that did not end with 5xx.
    availability: Option<f64>,
    /// User satisfaction, 0 to 1. A 5xx or a canceled request counts 0.
    apdex: Option<f64>,
    cpu: WindowCpu,
    /// The maximum number of connections at the same time.
    connections_peak: usize,
}

#[derive(Object, Serialize)]
struct Errors {
    /// 4xx.
    client: u64,
    /// 5xx.
    server: u64,
    /// Canceled before the response.
    canceled: u64,
    by_code: Vec<CodeCount>,
}

#[derive(Object, Serialize)]
struct CodeCount {
    code: String,
    count: u64,
}

/// Average CPU utilization over the window.
#[derive(Object, Serialize)]
struct WindowCpu {
    process: Option<f64>,
    system: Option<f64>,
}

/// The last fifteen minutes in steps, oldest first.
#[derive(Object, Serialize)]
struct History {
    /// The replica, as in `/stats`.
    instance_id: String,
    host_name: String,
    step_seconds: u64,
    points: Vec<PointReport>,
}

/// One step. Numbers without data are null.
#[derive(Object, Serialize)]
#[oai(rename = "Point")]
struct PointReport {
    /// The end of the step, in UTC.
    #[serde(serialize_with = "rfc3339_milliseconds")]
    at: OffsetDateTime,
    requests_per_second: Option<f64>,
    mean_seconds: Option<f64>,
    p50_seconds: Option<f64>,
    p95_seconds: Option<f64>,
    p99_seconds: Option<f64>,
    client_errors_per_second: Option<f64>,
    server_errors_per_second: Option<f64>,
    availability: Option<f64>,
    apdex: Option<f64>,
    connections: usize,
    cpu_process: Option<f64>,
    cpu_system: Option<f64>,
    memory_bytes: u64,
}

#[derive(ApiResponse)]
enum StatsResponse {
    /// The statistics
    #[oai(status = 200)]
    Ok(Rendered<Report>),
}

#[derive(ApiResponse)]
enum HistoryResponse {
    /// The steps
    #[oai(status = 200)]
    Ok(Rendered<History>),
}

#[OpenApi(tag = "Tag::Operations")]
impl StatsApi {
    /// Statistics of this replica
    ///
    /// Response times, errors, connections, request rate, CPU, availability and Apdex over the last
    /// 1, 5 and 15 minutes.
    #[oai(path = "/stats", method = "get")]
    async fn stats(&self, _accept: AcceptJson) -> Result<StatsResponse, Failure<NoErrors>> {
        let started_at = self.readiness.started_at();
        let load = self.stats.load();
        Ok(StatsResponse::Ok(Rendered::new(&Report {
            service: Service {
                build: Build::current(),
                started_at,
                uptime_seconds: (OffsetDateTime::now_utc() - started_at).as_seconds_f64(),
            },
            ready: self.readiness.is_ready(),
            apdex_t_seconds: self.stats.apdex_t().as_secs_f64(),
            connections: Connections {
                now: self.stats.connections().open(),
                peak: self.stats.connections_peak(),
                limit: self.stats.connections().max,
            },
            cpu: Cpu { process: load.process, system: load.system, limit_cpus: self.stats.cpus() },
            memory_bytes: load.memory,
            windows: WINDOWS
                .into_iter()
                .zip(self.stats.windows(WINDOWS.map(Duration::from_mins)))
                .map(|(minutes, of)| window(minutes, of))
                .collect(),
        })?))
    }

    /// History of this replica
    ///
    /// The statistics of the last fifteen minutes in steps of five seconds.
    #[oai(path = "/stats/history", method = "get")]
    async fn history(&self, _accept: AcceptJson) -> Result<HistoryResponse, Failure<NoErrors>> {
        let [instance_id, host_name] = telemetry::instance();
        Ok(HistoryResponse::Ok(Rendered::new(&History {
            instance_id,
            host_name,
            step_seconds: STEP.as_secs(),
            points: self.stats.history().into_iter().map(point).collect(),
        })?))
    }
}

fn window(minutes: u64, window: Window) -> WindowReport {
    let by_code = window.errors.by_code.into_iter();
    WindowReport {
        minutes,
        covered_seconds: window.covered,
        requests: window.requests,
        requests_per_second: per_second(window.requests, window.covered),
        mean_seconds: window.mean,
        p50_seconds: window.p50,
        p95_seconds: window.p95,
        p99_seconds: window.p99,
        errors: Errors {
            client: window.errors.client,
            server: window.errors.server,
            canceled: window.errors.canceled,
            by_code: by_code.map(|(code, count)| CodeCount { code, count }).collect(),
        },
        availability: window.availability,
        apdex: window.apdex,
        cpu: WindowCpu { process: window.cpu_process, system: window.cpu_system },
        connections_peak: window.connections_peak,
    }
}

fn point(Point { at, window, connections, memory }: Point) -> PointReport {
    PointReport {
        at,
        requests_per_second: per_second(window.requests, window.covered),
        mean_seconds: window.mean,
        p50_seconds: window.p50,
        p95_seconds: window.p95,
        p99_seconds: window.p99,
        client_errors_per_second: per_second(window.errors.client, window.covered),
        server_errors_per_second: per_second(window.errors.server, window.covered),
        availability: window.availability,
        apdex: window.apdex,
        connections,
        cpu_process: window.cpu_process,
        cpu_system: window.cpu_system,
        memory_bytes: memory,
    }
}

fn per_second(count: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| count as f64 / seconds)
}
