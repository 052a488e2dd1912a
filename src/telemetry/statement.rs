//! One database call, measured and traced.

use super::{exchange::tracer, instruments::instruments};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanKind, Status, TraceContextExt, Tracer},
};
use std::{pin::Pin, time::Instant};

/// What a call asks, without its parameters.
#[derive(Debug)]
pub struct Statement {
    pub operation: &'static str,
    pub table: &'static str,
    /// For one row where there may be many.
    pub text: &'static str,
}

impl Statement {
    pub const fn select(table: &'static str, text: &'static str) -> Self {
        Self { operation: "SELECT", table, text }
    }
}

/// Runs a call. `batch` is how many rows it is about, `rows` says how many its answer has,
/// `kind_of` what kind of error it ended with. Calls are large, so they are pinned where they are
/// made.
pub async fn observed<T, E>(
    statement: &'static Statement,
    system: &'static str,
    batch: Option<usize>,
    call: Pin<&mut impl Future<Output = Result<T, E>>>,
    rows: impl FnOnce(&T) -> Option<usize>,
    kind_of: impl FnOnce(&E) -> &'static str,
) -> Result<T, E> {
    let observation = Observation::begin(statement, system, batch);
    let result = call.await;
    match &result {
        Ok(found) => observation.end(None, rows(found)),
        Err(error) => observation.end(Some(kind_of(error)), None),
    }
    result
}

struct Observation {
    statement: &'static Statement,
    system: &'static str,
    begun: Instant,
    context: Option<Context>,
    error: Option<&'static str>,
}

impl Observation {
    fn begin(statement: &'static Statement, system: &'static str, batch: Option<usize>) -> Self {
        let context = tracer().and_then(|tracer| {
            let parent = Context::current();
            if !parent.span().span_context().is_sampled() {
                return None;
            }
            let mut attributes = vec![
                KeyValue::new("db.system.name", system),
                KeyValue::new("db.operation.name", statement.operation),
                KeyValue::new("db.collection.name", statement.table),
                KeyValue::new("db.query.text", statement.text),
            ];
            // The conventions call only several a batch.
            if let Some(size @ 2..) = batch {
                attributes
                    .push(KeyValue::new("db.operation.batch.size", size.cast_signed() as i64));
            }
            let span = tracer
                .span_builder(format!("{} {}", statement.operation, statement.table))
                .with_kind(SpanKind::Client)
                .with_attributes(attributes)
                .start_with_context(tracer, &parent);
            Some(parent.with_span(span))
        });
        // Until it ends otherwise: a call that is dropped was given up.
        let error = Some("timeout");
        Self { statement, system, begun: Instant::now(), context, error }
    }

    fn end(mut self, error: Option<&'static str>, rows: Option<usize>) {
        self.error = error;
        if let (Some(context), Some(rows)) = (&self.context, rows) {
            let rows = KeyValue::new("db.response.returned_rows", rows.cast_signed() as i64);
            context.span().set_attribute(rows);
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let mut labels = vec![
            KeyValue::new("db.system.name", self.system),
            KeyValue::new("db.operation.name", self.statement.operation),
            KeyValue::new("db.collection.name", self.statement.table),
        ];
        labels.extend(self.error.map(|error| KeyValue::new("error.type", error)));
        let seconds = self.begun.elapsed().as_secs_f64();
        instruments().statement_duration.record(seconds, &labels);
        if let Some(context) = &self.context {
            if let Some(error) = self.error {
                context.span().set_attribute(KeyValue::new("error.type", error));
                context.span().set_status(Status::error(error));
            }
            context.span().end();
        }
    }
}
