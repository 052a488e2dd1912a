//! Reads that requests share: one query answers all requests that arrived before it began.

use super::{
    batching::{BatchHandler, Pending, begin_batch},
    error::StoreError,
    retry::Retry,
};
use crate::readiness::Readiness;
use std::{collections::VecDeque, pin::pin, sync::Arc};
use tokio::time::Instant;
use tracing::Instrument;

/// A read that can be shared.
pub trait Source: Send {
    type Found: Send + Sync;

    /// The name of the read in traces, and of its queue in metrics.
    const NAMES: (&'static str, &'static str);

    fn read(&mut self) -> impl Future<Output = sqlx::Result<Arc<Self::Found>>> + Send;

    /// Lets go of what was kept from the last read.
    fn reset(&mut self);
}

type PendingRead<S> = Pending<(), Arc<<S as Source>::Found>>;

pub struct SharedRead<S> {
    source: S,
    readiness: Arc<Readiness>,
    /// The changes of the database's state before which the source learnt what it knows.
    changes: u64,
}

impl<S: Source> SharedRead<S> {
    pub const fn new(source: S, readiness: Arc<Readiness>) -> Self {
        Self { source, readiness, changes: 0 }
    }

    async fn read_with_retry(&mut self, deadline: Instant) -> Result<Arc<S::Found>, StoreError> {
        let mut retry = Retry::until(deadline, &self.readiness);
        loop {
            if let Some(found) = retry.attempt(pin!(self.source.read())).await? {
                return Ok(found);
            }
            self.source.reset();
        }
    }
}

impl<S: Source> BatchHandler<(), Arc<S::Found>> for SharedRead<S> {
    const ROUNDS: usize = 3;

    async fn handle(&mut self, waiting: &mut VecDeque<PendingRead<S>>) {
        let batch: Vec<_> = std::mem::take(waiting).into();
        if self.readiness.take_change(&mut self.changes) {
            self.reset();
        }
        let deadline = batch.iter().map(|read| read.deadline).max().unwrap_or_else(Instant::now);
        let (name, queue) = S::NAMES;
        let span = begin_batch(name, queue, &batch);
        let result = pin!(self.read_with_retry(deadline)).instrument(span).await;
        if result.is_err() {
            self.reset();
        }
        for read in batch {
            read.respond(result.clone());
        }
    }

    fn reset(&mut self) {
        self.source.reset();
    }
}
