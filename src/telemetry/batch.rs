//! One database operation that serves many requests, measured and traced.

use super::instruments::instruments;
use opentelemetry::KeyValue;
use tracing::{Span, info_span};

/// Measures how many requests a batch has, and begins its span. `requests` are their spans,
/// as far as they are sampled.
///
/// The span is a child of the first request that is sampled; the others link to it. When none is
/// sampled there is no span. It has no links itself: with one in each direction, a viewer that
/// takes what a span links to for its parent meets a cycle (Jaeger draws a blank page).
pub fn batch<'a>(
    name: &'static str,
    queue: &'static str,
    requests: impl ExactSizeIterator<Item = Option<&'a Span>>,
) -> Span {
    let size = requests.len();
    let label = KeyValue::new("chat.queue.name", queue);
    instruments().batch_size.record(size as u64, &[label]);
    let mut sampled = requests.flatten();
    let Some(first) = sampled.next() else { return Span::none() };
    let batch = span_of(first, name, queue, size);
    for request in sampled {
        request.follows_from(&batch);
    }
    batch
}

/// An operation that serves many requests, the child of one of them.
fn span_of(request: &Span, name: &'static str, queue: &'static str, size: usize) -> Span {
    info_span!(
        parent: request,
        "batch",
        otel.name = name,
        chat.queue.name = queue,
        chat.batch.size = size.cast_signed() as i64,
    )
}
