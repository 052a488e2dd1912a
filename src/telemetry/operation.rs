//! One database operation that serves many requests.

use super::{instruments::instruments, spans};
use opentelemetry::KeyValue;
use tracing::Span;

/// Measures how many requests an operation serves, and begins its span. `requests` are their spans,
/// as far as they are sampled.
///
/// The span is a child of the first request that is sampled; the others link to it. When none is
/// sampled there is no span. It has no links itself: with one in each direction, a viewer that
/// takes what a span links to for its parent meets a cycle (Jaeger draws a blank page).
pub fn operation<'a>(
    name: &'static str,
    inbox: &'static str,
    requests: impl ExactSizeIterator<Item = Option<&'a Span>>,
) -> Span {
    let size = requests.len();
    let label = KeyValue::new("chat.inbox", inbox);
    instruments().batch_size.record(size as u64, &[label]);
    let mut sampled = requests.flatten();
    let Some(first) = sampled.next() else { return Span::none() };
    let operation = spans::operation(first, name, inbox, size);
    for request in sampled {
        request.follows_from(&operation);
    }
    operation
}
