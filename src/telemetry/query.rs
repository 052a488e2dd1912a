//! Metrics and traces of a database call.

use super::{instruments::instruments, trace_context};
use opentelemetry::KeyValue;
use std::time::Instant;
use tracing::{Span, field::Empty, info_span};

/// The query of a call, without its parameters.
#[derive(Debug)]
pub struct Query {
    pub operation: &'static str,
    pub table: &'static str,
    /// The statement for one row, even if the call has several.
    pub text: &'static str,
}

impl Query {
    pub const fn select(table: &'static str, text: &'static str) -> Self {
        Self { operation: "SELECT", table, text }
    }
}

/// A call in progress, measured when it is dropped. If it was not ended before, it timed out.
#[derive(Debug)]
pub struct Observation {
    query: &'static Query,
    system: &'static str,
    begun: Instant,
    span: Span,
    error: Option<&'static str>,
    rows: Option<usize>,
}

impl Observation {
    /// Begins to measure a call. `batch` is the number of rows in the call.
    pub fn begin(query: &'static Query, system: &'static str, batch: Option<usize>) -> Self {
        let span = span_of(query, system, batch);
        let error = Some("timeout");
        Self { query, system, begun: Instant::now(), span, error, rows: None }
    }

    /// Returns the span that the call runs in.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Ends the call, with the number of returned rows, if any, or with the type of its error.
    pub fn end(mut self, outcome: Result<Option<usize>, &'static str>) {
        self.error = outcome.err();
        self.rows = outcome.ok().flatten();
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let mut labels = vec![
            KeyValue::new("db.system.name", self.system),
            KeyValue::new("db.operation.name", self.query.operation),
            KeyValue::new("db.collection.name", self.query.table),
        ];
        labels.extend(self.error.map(|error| KeyValue::new("error.type", error)));
        let seconds = self.begun.elapsed().as_secs_f64();
        instruments().query_duration.record(seconds, &labels);
        end(&self.span, self.rows, self.error);
    }
}

/// Begins the span of a call if the trace is sampled. It has the number of rows only for several,
/// because the conventions do not call one row a batch.
fn span_of(query: &Query, system: &'static str, batch: Option<usize>) -> Span {
    if !trace_context::is_sampled() {
        return Span::none();
    }
    info_span!(
        "query",
        otel.kind = "client",
        otel.name = format_args!("{} {}", query.operation, query.table),
        otel.status_description = Empty,
        db.system.name = system,
        db.operation.name = query.operation,
        db.collection.name = query.table,
        db.query.text = query.text,
        db.operation.batch.size =
            batch.filter(|size| *size > 1).map(|size| size.cast_signed() as i64),
        db.response.returned_rows = Empty,
        error.type = Empty,
    )
}

/// Records the outcome of a database call.
fn end(span: &Span, rows: Option<usize>, error: Option<&'static str>) {
    span.record("db.response.returned_rows", rows.map(|rows| rows.cast_signed() as i64));
    span.record("error.type", error);
    span.record("otel.status_description", error);
}
