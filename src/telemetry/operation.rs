//! One database operation that serves many requests.

use super::{
    exchange::{Linkable, tracer},
    instruments::instruments,
};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanContext, SpanKind, TraceContextExt, Tracer},
};
use std::sync::Arc;

/// Measures how many requests it serves, and shows it to each of their traces.
///
/// Its span is a child of the first request that is sampled; the others link to it. When none is
/// sampled there is no span. It has no links itself: with one in each direction, a viewer that
/// takes what a span links to for its parent meets a cycle (Jaeger draws a blank page).
#[derive(Debug)]
pub struct Operation(Context);

impl Operation {
    /// `requests` are the sampled spans of those who wait.
    pub fn begin<'a>(
        name: &'static str,
        inbox: &'static str,
        requests: impl ExactSizeIterator<Item = Option<&'a SpanContext>>,
    ) -> Self {
        let size = requests.len() as u64;
        let label = KeyValue::new("chat.inbox", inbox);
        instruments().batch_size.record(size, std::slice::from_ref(&label));
        let Some(tracer) = tracer() else { return Self(Context::new()) };
        let Some(first) = requests.flatten().next() else { return Self(Context::new()) };
        let parent = Context::new().with_remote_span_context(first.clone());
        let span = tracer
            .span_builder(name)
            .with_kind(SpanKind::Internal)
            .with_attributes([label, KeyValue::new("chat.batch.size", size.cast_signed())])
            .start_with_context(tracer, &parent);
        Self(parent.with_span(span))
    }

    /// What database calls of the operation are part of.
    pub fn context(&self) -> Context {
        self.0.clone()
    }

    /// For the links of the other requests.
    pub fn span_context(&self) -> Linkable {
        self.0.has_active_span().then(|| Arc::new(self.0.span().span_context().clone()))
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.0.span().end();
    }
}
