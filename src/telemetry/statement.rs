//! One database call, measured and traced.

use super::{instruments::instruments, spans};
use opentelemetry::KeyValue;
use std::{pin::Pin, time::Instant};
use tracing::{Instrument, Span};

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
    let result = call.instrument(observation.span.clone()).await;
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
    span: Span,
    error: Option<&'static str>,
    rows: Option<usize>,
}

impl Observation {
    fn begin(statement: &'static Statement, system: &'static str, batch: Option<usize>) -> Self {
        let span = spans::statement(statement, system, batch);
        // Until it ends otherwise: a call that is dropped was given up.
        let error = Some("timeout");
        Self { statement, system, begun: Instant::now(), span, error, rows: None }
    }

    fn end(mut self, error: Option<&'static str>, rows: Option<usize>) {
        (self.error, self.rows) = (error, rows);
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
        spans::end_statement(&self.span, self.rows, self.error);
    }
}
