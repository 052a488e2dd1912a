//! The spans that wait for the collector, and whether there is room for more.
//!
//! The SDK drops the spans that a collector does not take, after they were made. Under load that
//! costs requests a tenth of their speed for nothing, and leaves traces with holes. Here requests
//! are not traced at all while half of the room is taken, so that whole traces are left out, and
//! the other half is for what has begun.

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

#[derive(Debug)]
pub struct Backlog {
    waiting: AtomicUsize,
    max: usize,
}

impl Backlog {
    /// `max` spans may wait.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { waiting: AtomicUsize::new(0), max })
    }

    /// Whether another trace may begin.
    pub fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.max.div_ceil(2)
    }

    fn add(&self) -> bool {
        let added = self.waiting.fetch_add(1, Ordering::Relaxed) < self.max;
        if !added {
            self.remove(1);
        }
        added
    }

    fn remove(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
    }
}

/// Takes spans as long as there is room, so that the queue after it never overflows.
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

/// Makes room when spans have been sent, or cannot be.
#[derive(Debug)]
pub struct Departure<E> {
    pub backlog: Arc<Backlog>,
    pub next: E,
}

impl<E: SpanExporter> SpanExporter for Departure<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let result = self.next.export(batch).await;
        self.backlog.remove(count);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}
