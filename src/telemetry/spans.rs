//! The spans of traces, as docs/observability.md lists them. A layer makes OpenTelemetry's spans of
//! all spans of this crate (`log.rs`); without a collector there is no such layer, all of them are
//! disabled, and their fields are not even computed.
//!
//! Numbers are `i64`, the integers of OpenTelemetry: of others the layer makes texts.

use super::{excerpt::excerpt, statement::Statement};
use opentelemetry::{
    Context, global,
    propagation::{Extractor, TextMapPropagator},
    trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use poem::{
    Request,
    http::{HeaderMap, HeaderName, Version, header},
};
use tracing::{
    Span,
    field::{self, Empty},
    info_span,
};
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request. `method` is one that the semantic conventions name, or `_OTHER`; `route` is the
/// template of the path, if it has one.
pub fn request(request: &Request, method: &'static str, route: Option<&'static str>) -> Span {
    let is_other = method == "_OTHER";
    // As the conventions have it: a path of a client's making is no name.
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
        // One that is off still knows its fields, and would look them up when they are recorded.
        return Span::none();
    }
    let headers = Headers(request.headers());
    let caller = global::get_text_map_propagator(|propagator| propagator.extract(&headers));
    // It has not started yet, so that it takes a parent.
    let _ = span.set_parent(caller);
    span
}

/// The outcome of a request. What the client did wrong is no error of this server.
pub fn end_request(span: &Span, status: Option<u16>, error: Option<&'static str>) {
    span.record("http.response.status_code", status.map(i64::from));
    span.record("error.type", error);
    if status.is_none_or(|status| status >= 500) {
        span.record("otel.status_description", error.unwrap_or_default());
    }
}

/// An operation that serves many requests, the child of one of them.
pub fn operation(request: &Span, name: &'static str, inbox: &'static str, size: usize) -> Span {
    info_span!(
        parent: request,
        "operation",
        otel.name = name,
        chat.inbox = inbox,
        chat.batch.size = size.cast_signed() as i64,
    )
}

/// A database call for what is under way, with its number of rows where it is a batch: the
/// conventions call only several one. There is no span where the trace is not sampled.
pub fn statement(statement: &Statement, system: &'static str, batch: Option<usize>) -> Span {
    if !is_sampled() {
        return Span::none();
    }
    info_span!(
        "statement",
        otel.kind = "client",
        otel.name = format_args!("{} {}", statement.operation, statement.table),
        otel.status_description = Empty,
        db.system.name = system,
        db.operation.name = statement.operation,
        db.collection.name = statement.table,
        db.query.text = statement.text,
        db.operation.batch.size =
            batch.filter(|size| *size > 1).map(|size| size.cast_signed() as i64),
        db.response.returned_rows = Empty,
        error.type = Empty,
    )
}

/// The outcome of a database call.
pub fn end_statement(span: &Span, rows: Option<usize>, error: Option<&'static str>) {
    span.record("db.response.returned_rows", rows.map(|rows| rows.cast_signed() as i64));
    span.record("error.type", error);
    span.record("otel.status_description", error);
}

/// The span under way, if its trace is sampled.
pub fn current() -> Option<Span> {
    is_sampled().then(Span::current)
}

/// Asks OpenTelemetry's context, which the layer keeps that of the current span: without traces,
/// nothing is looked up.
fn is_sampled() -> bool {
    Context::map_current(|context| context.span().span_context().is_sampled())
}

/// The trace that a span is part of.
pub fn trace_id(span: &Span) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let ids = span.span_context();
    ids.is_valid().then(|| ids.trace_id().to_string())
}

/// The trace id of a `traceparent` header, if it is well formed:
/// <https://www.w3.org/TR/trace-context/#traceparent-header>.
pub fn trace_id_of_caller(headers: &HeaderMap) -> Option<String> {
    headers.get(TRACEPARENT)?;
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
