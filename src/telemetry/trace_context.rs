//! The trace of the current work, and the one that a request's caller names.
//!
//! A layer converts all spans of this crate to OpenTelemetry's (`log.rs`). Without a collector
//! there is no such layer: all spans are disabled, and their fields are not even computed.

use opentelemetry::{
    Context, global,
    propagation::{Extractor, TextMapPropagator},
    trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use poem::http::{HeaderMap, HeaderName};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Returns the current span if its trace is sampled.
pub fn current_span() -> Option<Span> {
    is_sampled().then(Span::current)
}

/// Reads OpenTelemetry's context, which the layer keeps in sync with the current span: without
/// traces, there is no lookup.
pub fn is_sampled() -> bool {
    Context::map_current(|context| context.span().span_context().is_sampled())
}

/// Returns the trace id of a span.
pub fn trace_id(span: &Span) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let ids = span.span_context();
    ids.is_valid().then(|| ids.trace_id().to_string())
}

/// Returns the trace id of a well-formed `traceparent` header:
/// <https://www.w3.org/TR/trace-context/#traceparent-header>.
pub fn trace_id_of_caller(headers: &HeaderMap) -> Option<String> {
    headers.get(TRACEPARENT)?;
    let context = TraceContextPropagator::new().extract(&Headers(headers));
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// Makes a span part of the trace that the headers of a request name, if any. Must be called before
/// the span starts.
pub fn follow_caller(span: &Span, headers: &HeaderMap) {
    let headers = Headers(headers);
    let caller = global::get_text_map_propagator(|propagator| propagator.extract(&headers));
    // Cannot fail, because the span has not started yet.
    let _ = span.set_parent(caller);
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
