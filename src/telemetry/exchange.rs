//! One request and its answer, measured and traced.

use super::{backlog::Backlog, excerpt::excerpt, instruments::meter, series::Labels};
use opentelemetry::{
    Context, KeyValue,
    global::{self, BoxedTracer},
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanContext, SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use poem::{
    Request,
    http::{HeaderMap, HeaderName, header},
};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Instant,
};

/// The methods that the semantic conventions name, and what stands for all others, so that a client
/// cannot make labels.
const METHODS: [&str; 10] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "_OTHER"];

/// Requests under way, by method.
static ACTIVE: [AtomicI64; METHODS.len()] = [const { AtomicI64::new(0) }; METHODS.len()];

static TRACING: OnceLock<Tracing> = OnceLock::new();

struct Tracing {
    tracer: BoxedTracer,
    backlog: Arc<Backlog>,
    skipped: AtomicU64,
}

/// Requests have a span from now on, as long as there is room for it. Without this none costs
/// anything.
pub fn trace_requests(backlog: Arc<Backlog>) {
    let tracer = global::tracer(env!("CARGO_PKG_NAME"));
    let _ = TRACING.set(Tracing { tracer, backlog, skipped: AtomicU64::new(0) });
}

/// A span that others are linked to, where requests are traced.
pub type Linkable = Option<Arc<SpanContext>>;

/// The span of the request or operation that is under way.
pub fn current_span() -> Linkable {
    tracer()?;
    let current = Context::map_current(|context| context.span().span_context().clone());
    current.is_sampled().then(|| Arc::new(current))
}

/// `None` when requests are not traced.
pub fn tracer() -> Option<&'static BoxedTracer> {
    TRACING.get().map(|tracing| &tracing.tracer)
}

pub fn observe_active_requests() {
    meter()
        .i64_observable_up_down_counter("http.server.active_requests")
        .with_unit("{request}")
        .with_description("Requests under way")
        .with_callback(|observer| {
            for (method, active) in METHODS.into_iter().zip(&ACTIVE) {
                let active = active.load(Ordering::Relaxed);
                let labels = [
                    KeyValue::new("http.request.method", method),
                    KeyValue::new("url.scheme", "http"),
                ];
                observer.observe(active, &labels);
            }
        })
        .build();
}

pub fn observe_skipped_traces() {
    meter()
        .u64_observable_counter("chat.trace.skipped")
        .with_unit("{request}")
        .with_description("Requests not traced, because spans wait for the collector")
        .with_callback(|observer| {
            let skipped = |tracing: &Tracing| tracing.skipped.load(Ordering::Relaxed);
            observer.observe(TRACING.get().map_or(0, skipped), &[]);
        })
        .build();
}

/// Measures from when it is made until it is ended. Dropped before that, the request was cut off:
/// stopping took too long, or its connection failed.
#[derive(Debug)]
pub struct Exchange {
    begun: Instant,
    method: usize,
    route: Option<&'static str>,
    status: Option<u16>,
    code: Option<&'static str>,
    context: Option<Context>,
}

impl Exchange {
    /// `route` is the template of the path, if it has one.
    pub fn begin(request: &Request, route: Option<&'static str>) -> Self {
        let name = request.method().as_str();
        let method = METHODS.iter().position(|known| *known == name).unwrap_or(METHODS.len() - 1);
        ACTIVE[method].fetch_add(1, Ordering::Relaxed);
        let context = TRACING.get().and_then(|tracing| {
            if tracing.backlog.has_room() {
                return Some(start_span(&tracing.tracer, request, method, route));
            }
            tracing.skipped.fetch_add(1, Ordering::Relaxed);
            None
        });
        Self { begun: Instant::now(), method, route, status: None, code: None, context }
    }

    /// The span's context, when the request is traced.
    pub fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    /// `code` is that of an error.
    pub fn end(mut self, status: u16, code: Option<&'static str>) {
        (self.status, self.code) = (Some(status), code);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        ACTIVE[self.method].fetch_sub(1, Ordering::Relaxed);
        let error = if self.status.is_none() { Some("canceled") } else { self.code };
        let labels =
            Labels { method: METHODS[self.method], route: self.route, status: self.status, error };
        labels.record(self.begun.elapsed().as_secs_f64());
        if let Some(context) = &self.context {
            end_span(context, self.status, error);
        }
    }
}

fn start_span(
    tracer: &BoxedTracer,
    request: &Request,
    method: usize,
    route: Option<&'static str>,
) -> Context {
    let parent = global::get_text_map_propagator(|propagator| {
        propagator.extract(&Headers(request.headers()))
    });
    // As the conventions have it: a path of a client's making is no name.
    let known = if METHODS[method] == "_OTHER" { "HTTP" } else { METHODS[method] };
    let name = route.map_or_else(|| known.to_owned(), |route| format!("{known} {route}"));
    let mut attributes = vec![
        KeyValue::new("http.request.method", METHODS[method]),
        KeyValue::new("url.path", excerpt(request.uri().path()).into_owned()),
        KeyValue::new("url.scheme", "http"),
        KeyValue::new("network.protocol.version", version(request)),
    ];
    if METHODS[method] == "_OTHER" {
        let original = excerpt(request.method().as_str()).into_owned();
        attributes.push(KeyValue::new("http.request.method_original", original));
    }
    if let Some(query) = request.uri().query() {
        attributes.push(KeyValue::new("url.query", excerpt(query).into_owned()));
    }
    if let Some(route) = route {
        attributes.push(KeyValue::new("http.route", route));
    }
    if let Some(client) = request.remote_addr().as_socket_addr() {
        attributes.push(KeyValue::new("client.address", client.ip().to_string()));
    }
    if let Some(agent) = request.header(header::USER_AGENT) {
        attributes.push(KeyValue::new("user_agent.original", excerpt(agent).into_owned()));
    }
    let span = tracer
        .span_builder(name)
        .with_kind(SpanKind::Server)
        .with_attributes(attributes)
        .start_with_context(tracer, &parent);
    parent.with_span(span)
}

fn end_span(context: &Context, status: Option<u16>, error: Option<&'static str>) {
    let span = context.span();
    if let Some(status) = status {
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
    }
    // What the client did wrong is no error of this server.
    if status.is_none_or(|status| status >= 500) {
        span.set_status(Status::error(error.unwrap_or_default()));
    }
    if let Some(error) = error {
        span.set_attribute(KeyValue::new("error.type", error));
    }
    span.end();
}

fn version(request: &Request) -> &'static str {
    if request.version() == poem::http::Version::HTTP_10 { "1.0" } else { "1.1" }
}

/// The trace id of a `traceparent` header, if it is well formed:
/// <https://www.w3.org/TR/trace-context/#traceparent-header>.
pub fn trace_id_of_caller(headers: &HeaderMap) -> Option<String> {
    headers.get("traceparent")?;
    let context = TraceContextPropagator::new().extract(&Headers(headers));
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id().to_string())
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
