//! Metrics and traces of a database operation that serves many requests.

use super::instruments::instruments;
use opentelemetry::KeyValue;
use tracing::{Span, info_span};

/// Records the size of a batch and begins its span. `requests` are the spans of the requests, or
/// `None` if not sampled.
///
/// The span is a child of the first sampled request; the others link to it. If none is sampled,
/// there is no span. It has no links itself: with links in both directions, a viewer that treats
/// linked spans as parents finds a cycle (Jaeger draws a blank page).
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

/// Begins the span of the operation, as a child of `request`.
fn span_of(request: &Span, name: &'static str, queue: &'static str, size: usize) -> Span {
    info_span!(
        parent: request,
        "batch",
        otel.name = name,
        chat.queue.name = queue,
        chat.batch.size = size.cast_signed() as i64,
    )
}
