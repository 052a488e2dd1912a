//! Metrics and traces of a request and its response.

use super::{excerpt::excerpt, instruments::instruments, response_times::Recorder, trace_context};
use foldhash::fast::RandomState;
use opentelemetry::{KeyValue, metrics::BoundHistogram};
use poem::{
    Request,
    http::{Version, header},
};
use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};
use tracing::{
    Span,
    field::{self, Empty},
    info_span,
};

/// The methods that the semantic conventions name, and `_OTHER` for all others, so that clients
/// cannot create labels.
const METHODS: [&str; 10] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "_OTHER"];

/// The number of requests in progress, by method.
static ACTIVE: [AtomicI64; METHODS.len()] = [const { AtomicI64::new(0) }; METHODS.len()];

/// Returns the number of requests in progress, by method.
pub fn active_requests() -> impl Iterator<Item = (&'static str, i64)> {
    METHODS
        .into_iter()
        .zip(&ACTIVE)
        .map(|(method, active)| (method, active.load(Ordering::Relaxed)))
}

/// Measures a request from its creation to its end. A request that is dropped before was canceled:
/// the shutdown took too long, or its connection failed.
#[derive(Debug)]
pub struct ActiveRequest {
    begun: Instant,
    method: usize,
    route: Option<&'static str>,
    status: Option<u16>,
    code: Option<&'static str>,
    span: Span,
}

impl ActiveRequest {
    /// `route` is the template of the path, if it has one.
    pub fn begin(request: &Request, route: Option<&'static str>) -> Self {
        let name = request.method().as_str();
        let method = METHODS.iter().position(|known| *known == name).unwrap_or(METHODS.len() - 1);
        ACTIVE[method].fetch_add(1, Ordering::Relaxed);
        let span = span_of(request, METHODS[method], route);
        Self { begun: Instant::now(), method, route, status: None, code: None, span }
    }

    /// The span of the request; disabled if requests are not traced.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// `code` is that of an error.
    pub fn end(mut self, status: u16, code: Option<&'static str>) {
        (self.status, self.code) = (Some(status), code);
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        ACTIVE[self.method].fetch_sub(1, Ordering::Relaxed);
        let error = if self.status.is_none() { Some("canceled") } else { self.code };
        let labels =
            Labels { method: METHODS[self.method], route: self.route, status: self.status, error };
        labels.record(self.begun.elapsed().as_secs_f64());
        end(&self.span, self.status, error);
    }
}

/// The labels of a request's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Labels {
    method: &'static str,
    /// `None` for an unknown path.
    route: Option<&'static str>,
    /// `None` for a canceled request.
    status: Option<u16>,
    error: Option<&'static str>,
}

impl Hash for Labels {
    /// Hashes only what distinguishes most labels: comparing the rest is faster than hashing it.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let status = usize::from(self.status.unwrap_or_default());
        state.write_usize(1_000 * status + self.route.map_or(0, str::len));
    }
}

/// The recorders of one thread.
struct Recorders {
    series: HashMap<Labels, BoundHistogram<f64>, RandomState>,
    all: Arc<Recorder>,
}

thread_local! {
    static RECORDERS: RefCell<Recorders> =
        RefCell::new(Recorders { series: HashMap::default(), all: Recorder::register() });
}

impl Labels {
    /// Records a response time, in one series for each set of labels.
    ///
    /// The SDK would look the set up for every request, which costs more than all other metrics
    /// (docs/performance.md); so each thread binds each set to its series once, without a shared
    /// lock. Labels come from closed sets, so there are few series, and clients cannot provoke
    /// collisions: the hash can be a fast one instead of a collision-resistant one.
    fn record(self, seconds: f64) {
        RECORDERS.with_borrow_mut(|recorders| {
            recorders.all.record(seconds);
            recorders
                .series
                .entry(self)
                .or_insert_with(|| instruments().request_duration.bind(&self.attributes()))
                .record(seconds);
        });
    }

    fn attributes(self) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new("http.request.method", self.method),
            KeyValue::new("url.scheme", "http"),
        ];
        attributes.extend(self.route.map(|route| KeyValue::new("http.route", route)));
        attributes.extend(
            self.status.map(|status| KeyValue::new("http.response.status_code", i64::from(status))),
        );
        attributes.extend(self.error.map(|error| KeyValue::new("error.type", error)));
        attributes
    }
}

/// Begins the span of a request. `method` is one that the semantic conventions name, or `_OTHER`;
/// `route` is the template of the path, if it has one.
fn span_of(request: &Request, method: &'static str, route: Option<&'static str>) -> Span {
    let is_other = method == "_OTHER";
    // Per the conventions, the name must not contain a path that the client chose.
    let name = if is_other { "HTTP" } else { method };
    let (space, path) = route.map_or(("", ""), |route| (" ", route));
    let span = info_span!(
        parent: None,
        "request",
        otel.kind = "server",
        otel.name = format_args!("{name}{space}{path}"),
        otel.status_description = Empty,
        http.request.method = method,
        http.request.method_original =
            is_other.then(|| excerpt(request.method().as_str())).as_deref(),
        http.route = route,
        url.path = &*excerpt(request.uri().path()),
        url.query = request.uri().query().map(excerpt).as_deref(),
        url.scheme = "http",
        network.protocol.version =
            if request.version() == Version::HTTP_10 { "1.0" } else { "1.1" },
        client.address =
            request.remote_addr().as_socket_addr().map(|client| field::display(client.ip())),
        user_agent.original = request.header(header::USER_AGENT).map(excerpt).as_deref(),
        http.response.status_code = Empty,
        error.type = Empty,
    );
    if span.is_disabled() {
        // A disabled span would still look up its fields when they are recorded.
        return Span::none();
    }
    trace_context::follow_caller(&span, request.headers());
    span
}

/// Records the outcome of a request. A client's error is not an error of this server.
fn end(span: &Span, status: Option<u16>, error: Option<&'static str>) {
    span.record("http.response.status_code", status.map(i64::from));
    span.record("error.type", error);
    if status.is_none_or(|status| status >= 500) {
        span.record("otel.status_description", error.unwrap_or_default());
    }
}
