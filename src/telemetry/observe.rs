//! What is read when it is asked for: connections, queues, pools, the runtime.

use super::{backlog, exchange, instruments::meter};
use crate::{
    health::Health,
    server::Connections,
    store::{PoolUse, Store},
};
use opentelemetry::{KeyValue, metrics::AsyncInstrument};
use std::sync::Arc;
use time::OffsetDateTime;

type Observer<'a> = &'a dyn AsyncInstrument<i64>;

/// Makes everything visible that the server keeps anyway.
pub fn observe(connections: &Arc<Connections>, health: &Arc<Health>, store: &Arc<Store>) {
    exchange::observe_active_requests();
    backlog::observe_skipped_traces();
    server(connections, health);
    inboxes(store);
    pools(store);
    runtime();
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

fn server(connections: &Arc<Connections>, health: &Arc<Health>) {
    let (open, max) = (Arc::clone(connections), connections.max);
    let unit = "{connection}";
    up_down("chat.server.connections", unit, "Open connections from clients", move |observer| {
        observer.observe(number(open.open()), &[]);
    });
    up_down("chat.server.connections.limit", unit, "Most of them", move |observer| {
        observer.observe(number(max), &[]);
    });
    let closed = Arc::clone(connections);
    meter()
        .u64_observable_counter("chat.server.connections.unanswered")
        .with_unit(unit)
        .with_description("Connections that were closed without a response, for want of a place")
        .with_callback(move |observer| observer.observe(closed.unanswered(), &[]))
        .build();
    let (ready, started) = (Arc::clone(health), health.started_at());
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

fn inboxes(store: &Arc<Store>) {
    let label = |inbox| [KeyValue::new("chat.inbox", inbox)];
    let waiting = Arc::clone(store);
    let about = "Requests that wait for an operation or are being served by one";
    up_down("chat.inbox.waiting", "{request}", about, move |observer| {
        for (inbox, waiting, _) in waiting.inboxes() {
            observer.observe(number(waiting), &label(inbox));
        }
    });
    let limits = Arc::clone(store);
    up_down("chat.inbox.limit", "{request}", "Most of them", move |observer| {
        for (inbox, _, limit) in limits.inboxes() {
            if let Some(limit) = limit {
                observer.observe(number(limit), &label(inbox));
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
