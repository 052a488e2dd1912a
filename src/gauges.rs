//! The metrics that are read when they are asked for: of requests, connections, queues, pools,
//! processor and memory, the runtime and the log.

use crate::{
    http::Connections,
    readiness::Readiness,
    stats::Stats,
    store::{PoolUse, Store},
    telemetry::{self, Telemetry, meter},
};
use opentelemetry::{KeyValue, metrics::AsyncInstrument};
use std::sync::Arc;
use time::OffsetDateTime;

type Observer<'a> = &'a dyn AsyncInstrument<i64>;

/// Makes everything visible that a server keeps anyway.
pub fn observe_server(
    connections: &Arc<Connections>,
    readiness: &Arc<Readiness>,
    store: &Arc<Store>,
    stats: &Arc<Stats>,
) {
    requests();
    server(connections, readiness);
    queues(store);
    pools(store);
    process(stats);
    runtime();
}

/// Makes visible what the log and the traces leave out.
pub fn observe_telemetry(telemetry: &Telemetry) {
    let reason = |reason| [KeyValue::new("chat.log.reason", reason)];
    let dropped_lines = telemetry.dropped_lines();
    let about = "Lines of the log that were not written";
    counter("chat.log.lines.dropped", "{line}", about, move |observer| {
        let [repeated, buffer_full] = dropped_lines();
        observer.observe(repeated, &reason("repeated"));
        observer.observe(buffer_full, &reason("buffer_full"));
    });
    let skipped_traces = telemetry.skipped_traces();
    let about = "Requests not traced, because spans wait for the collector";
    counter("chat.trace.skipped", "{request}", about, move |observer| {
        observer.observe(skipped_traces(), &[]);
    });
}

fn counter(
    name: &'static str,
    unit: &'static str,
    about: &'static str,
    observe: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
) {
    meter()
        .u64_observable_counter(name)
        .with_unit(unit)
        .with_description(about)
        .with_callback(observe)
        .build();
}

fn up_down(
    name: &'static str,
    unit: &'static str,
    about: &'static str,
    observe: impl Fn(Observer) + Send + Sync + 'static,
) {
    meter()
        .i64_observable_up_down_counter(name)
        .with_unit(unit)
        .with_description(about)
        .with_callback(observe)
        .build();
}

fn gauge(name: &'static str, about: &'static str, value: impl Fn() -> i64 + Send + Sync + 'static) {
    meter()
        .i64_observable_gauge(name)
        .with_description(about)
        .with_callback(move |observer| observer.observe(value(), &[]))
        .build();
}

fn requests() {
    let about = "Requests under way";
    up_down("http.server.active_requests", "{request}", about, |observer| {
        for (method, active) in telemetry::active_requests() {
            let labels =
                [KeyValue::new("http.request.method", method), KeyValue::new("url.scheme", "http")];
            observer.observe(active, &labels);
        }
    });
}

fn server(connections: &Arc<Connections>, readiness: &Arc<Readiness>) {
    let (open, max) = (Arc::clone(connections), connections.max);
    let unit = "{connection}";
    up_down("chat.server.connections", unit, "Open connections from clients", move |observer| {
        observer.observe(number(open.open()), &[]);
    });
    up_down("chat.server.connections.limit", unit, "Most of them", move |observer| {
        observer.observe(number(max), &[]);
    });
    let closed = Arc::clone(connections);
    let about = "Connections that were closed without a response, for want of a place";
    counter("chat.server.connections.unanswered", unit, about, move |observer| {
        observer.observe(closed.unanswered(), &[]);
    });
    let (ready, started) = (Arc::clone(readiness), readiness.started_at());
    let about = "1 when requests should be sent here, else 0";
    gauge("chat.server.ready", about, move || i64::from(ready.is_ready()));
    meter()
        .f64_observable_gauge("process.uptime")
        .with_unit("s")
        .with_description("Time since the start")
        .with_callback(move |observer| {
            observer.observe((OffsetDateTime::now_utc() - started).as_seconds_f64(), &[]);
        })
        .build();
}

fn queues(store: &Arc<Store>) {
    let label = |queue| [KeyValue::new("chat.queue.name", queue)];
    let waiting = Arc::clone(store);
    let about = "Requests that wait for an operation or are being served by one";
    up_down("chat.queue.pending", "{request}", about, move |observer| {
        for (queue, waiting, _) in waiting.queues() {
            observer.observe(number(waiting), &label(queue));
        }
    });
    let limits = Arc::clone(store);
    up_down("chat.queue.limit", "{request}", "Most of them", move |observer| {
        for (queue, _, limit) in limits.queues() {
            if let Some(limit) = limit {
                observer.observe(number(limit), &label(queue));
            }
        }
    });
}

fn pools(store: &Arc<Store>) {
    let pool = |name| KeyValue::new("db.client.connection.pool.name", name);
    let uses = Arc::clone(store);
    let unit = "{connection}";
    up_down("db.client.connection.count", unit, "Database connections", move |observer| {
        for PoolUse { name, idle, used, .. } in uses.pools() {
            for (state, count) in [("idle", idle), ("used", used)] {
                let state = KeyValue::new("db.client.connection.state", state);
                observer.observe(number(count), &[pool(name), state]);
            }
        }
    });
    let uses = Arc::clone(store);
    up_down("db.client.connection.max", unit, "Most of them", move |observer| {
        for PoolUse { name, max, .. } in uses.pools() {
            observer.observe(max.into(), &[pool(name)]);
        }
    });
}

fn process(stats: &Arc<Stats>) {
    let (process, system, limit) = (Arc::clone(stats), Arc::clone(stats), stats.cpus());
    let about = "Part of the processors this process may use";
    part("process.cpu.utilization", "1", about, move || process.load().process);
    let about = "Part of the machine's processors in use";
    part("system.cpu.utilization", "1", about, move || system.load().system);
    let about = "Processors this process may use";
    part("chat.process.cpu.limit", "{cpu}", about, move || Some(limit));
    let (time, memory) = (Arc::clone(stats), Arc::clone(stats));
    meter()
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_description("Processor time of this process")
        .with_callback(move |observer| observer.observe(time.load().process_seconds, &[]))
        .build();
    let about = "Bytes of this process in memory";
    up_down("process.memory.usage", "By", about, move |observer| {
        observer.observe(memory.load().memory.cast_signed(), &[]);
    });
}

fn part(
    name: &'static str,
    unit: &'static str,
    about: &'static str,
    value: impl Fn() -> Option<f64> + Send + Sync + 'static,
) {
    meter()
        .f64_observable_gauge(name)
        .with_unit(unit)
        .with_description(about)
        .with_callback(move |observer| {
            if let Some(value) = value() {
                observer.observe(value, &[]);
            }
        })
        .build();
}

fn runtime() {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let metrics = runtime.metrics();
    let (tasks, queue) = (metrics.clone(), metrics.clone());
    gauge("tokio.runtime.workers", "Threads that run tasks", move || number(metrics.num_workers()));
    gauge("tokio.runtime.alive_tasks", "Tasks that have not ended", move || {
        number(tasks.num_alive_tasks())
    });
    gauge("tokio.runtime.global_queue_depth", "Tasks that wait for a thread", move || {
        number(queue.global_queue_depth())
    });
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
