//! Counts the spans that wait for the collector, and limits them.
//!
//! The SDK creates spans and then drops those that the collector does not take. Under load this
//! slows requests by a tenth for nothing and leaves incomplete traces. Instead, no new request is
//! sampled while the queue is half full, so that whole traces are skipped; the other half is for
//! traces that have begun.

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceId},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        BatchSpanProcessor, ParentBasedSampler, Sampler, SamplingDecision, SamplingResult,
        ShouldSample, Span, SpanData, SpanProcessor,
    },
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

#[derive(Debug)]
pub struct Backlog {
    waiting: AtomicUsize,
    max: usize,
    skipped: AtomicU64,
}

impl Backlog {
    /// `max` is the maximum number of spans that wait.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { waiting: AtomicUsize::new(0), max, skipped: AtomicU64::new(0) })
    }

    /// Whether a new trace may begin.
    fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.max.div_ceil(2)
    }

    /// The number of requests not traced because too many spans wait for the collector.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    fn add(&self) -> bool {
        let added = self.waiting.fetch_add(1, Ordering::Relaxed) < self.max;
        if !added {
            self.remove(1);
        }
        added
    }

    /// Removes spans that were sent or failed to send.
    pub fn remove(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
    }
}

/// Samples requests with `next` while there is room. Spans inside a request follow their parent;
/// spans outside of requests are dropped.
pub fn sampler(backlog: &Arc<Backlog>, next: Box<dyn ShouldSample>) -> ParentBasedSampler {
    let entry = Entry { backlog: Arc::clone(backlog), next };
    Sampler::parent_based(entry.clone())
        .with_remote_parent_sampled(entry.clone())
        .with_remote_parent_not_sampled(entry)
}

#[derive(Clone, Debug)]
struct Entry {
    backlog: Arc<Backlog>,
    next: Box<dyn ShouldSample>,
}

impl ShouldSample for Entry {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result = self.next.should_sample(parent, trace, name, kind, attributes, links);
        if *kind != SpanKind::Server {
            result.decision = SamplingDecision::Drop;
        } else if result.decision != SamplingDecision::Drop && !self.backlog.has_room() {
            self.backlog.skipped.fetch_add(1, Ordering::Relaxed);
            result.decision = SamplingDecision::Drop;
        }
        result
    }
}

/// Accepts spans while there is room, so that the queue of `next` never overflows.
#[derive(Debug)]
pub struct Admission {
    pub backlog: Arc<Backlog>,
    pub next: BatchSpanProcessor,
}

impl SpanProcessor for Admission {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.backlog.add() {
            self.next.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceState};

    #[test]
    fn without_room_no_trace_begins_and_what_has_begun_goes_on() {
        let backlog = Backlog::new(2);
        let bounded = sampler(&backlog, Box::new(Sampler::AlwaysOn));
        let trace = TraceId::from(1);
        let below = |flags, is_remote| {
            let ids = SpanContext::new(trace, SpanId::from(1), flags, is_remote, TraceState::NONE);
            Context::new().with_remote_span_context(ids)
        };
        let takes = |parent: &Context, kind: SpanKind| {
            let result = bounded.should_sample(Some(parent), trace, "", &kind, &[], &[]);
            result.decision == SamplingDecision::RecordAndSample
        };
        let begins = |parent: &Context| takes(parent, SpanKind::Server);
        let (sampled, not) = (TraceFlags::SAMPLED, TraceFlags::NOT_SAMPLED);
        let entries = [Context::new(), below(sampled, true), below(not, true)];
        assert!(entries.iter().all(begins));
        assert!(backlog.add());
        assert!(!entries.iter().any(begins));
        assert!(takes(&below(sampled, false), SpanKind::Internal));
        assert!(!takes(&below(not, false), SpanKind::Internal));
        assert_eq!(backlog.skipped(), 3, "each trace is counted once");
        backlog.remove(1);
        assert!(entries.iter().all(begins));
        assert!(!takes(&Context::new(), SpanKind::Internal), "no trace without a request");
    }
}
