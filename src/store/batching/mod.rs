//! A queue whose requests are handled in batches: what arrives during one batch is in the next.
//!
//! Both fast paths are this. One task takes the requests that wait, does one operation for all of
//! them, and responds to each. The busier the server, the larger its batches; on a quiet one, a
//! request is a batch of its own, at once. No response is older than its request, because a batch
//! has only requests that were there before its operation began.

#[cfg(test)]
mod interleavings;

use super::error::StoreError;
use crate::telemetry;
use futures_util::FutureExt;
use std::{collections::VecDeque, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::yield_now,
    time::{Instant, timeout, timeout_at},
};
use tracing::{Span, error};

/// After how long without a request the handler lets go of what it keeps for the next batch.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Makes a queue for up to `limit` requests, those of the current batch included.
pub fn queue<Q, R>(limit: usize) -> (Queue<Q, R>, Batcher<Q, R>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let queue = Queue { sender, places: Arc::new(Semaphore::new(limit)), limit };
    (queue, Batcher { receiver, waiting: VecDeque::new() })
}

/// The end of the queue where requests come in.
#[derive(Debug)]
pub struct Queue<Q, R> {
    /// `None` is the last item.
    sender: mpsc::UnboundedSender<Option<Pending<Q, R>>>,
    places: Arc<Semaphore>,
    pub limit: usize,
}

/// A request whose caller waits for the response.
#[derive(Debug)]
pub struct Pending<Q, R> {
    pub request: Q,
    pub deadline: Instant,
    /// The span of the caller, if it is sampled.
    span: Option<Span>,
    response: oneshot::Sender<Result<R, StoreError>>,
    _place: OwnedSemaphorePermit,
}

impl<Q, R> Queue<Q, R> {
    /// Waits for the response of a batch that begins after this. The request is handled even when
    /// its caller has gone, but not when the batch would begin after the deadline.
    pub async fn submit(&self, request: Q, deadline: Instant) -> Result<R, StoreError> {
        let place = Arc::clone(&self.places).try_acquire_owned()?;
        let (response, received) = oneshot::channel();
        let span = telemetry::current_span();
        let pending = Pending { request, deadline, span, response, _place: place };
        self.sender.send(Some(pending)).map_err(|_| StoreError::Closed)?;
        match timeout_at(deadline, received).await {
            Ok(Ok(result)) => result,
            // It was dropped by a panic, or with the runtime.
            Ok(Err(_)) => Err(StoreError::internal(sqlx::Error::WorkerCrashed)),
            Err(_) => Err(StoreError::DeadlineExceeded),
        }
    }

    /// How many requests wait or are in the current batch.
    pub fn pending(&self) -> usize {
        self.limit - self.places.available_permits()
    }

    /// Accepts no more requests. Those that wait are still handled.
    pub fn close(&self) {
        self.places.close();
        // This fails when the batcher has ended already.
        let _ = self.sender.send(None);
    }
}

impl<Q, R> Pending<Q, R> {
    pub fn respond(self, result: Result<R, StoreError>) {
        // First, because a span ends when the last of its holders has dropped it.
        drop(self.span);
        // This fails when the caller has gone, or its deadline has passed.
        let _ = self.response.send(result);
    }
}

/// Begins to measure a batch. What the handler does for it is part of the span.
pub fn begin_batch<Q, R>(name: &'static str, queue: &'static str, batch: &[Pending<Q, R>]) -> Span {
    telemetry::batch(name, queue, batch.iter().map(|pending| pending.span.as_ref()))
}

/// Does the operations.
pub trait BatchHandler<Q, R>: Send {
    /// For how many rounds of the event loop more requests may join a batch. Where operations are
    /// cheap, more rounds make fewer of them.
    const ROUNDS: usize;

    /// Takes some or all of the requests that wait, at least one, and responds to them.
    fn handle(&mut self, waiting: &mut VecDeque<Pending<Q, R>>) -> impl Future<Output = ()> + Send;

    /// Lets go of what was kept: nothing is to be done for the moment, or an operation panicked.
    fn reset(&mut self);
}

/// The end of the queue where batches are made.
#[derive(Debug)]
pub struct Batcher<Q, R> {
    receiver: mpsc::UnboundedReceiver<Option<Pending<Q, R>>>,
    /// Taken from the channel and not handled yet, the oldest first.
    waiting: VecDeque<Pending<Q, R>>,
}

impl<Q, R> Batcher<Q, R> {
    /// Handles batches until the queue is closed and empty.
    pub async fn run<H: BatchHandler<Q, R>>(mut self, mut handler: H) {
        loop {
            let is_open = if let Ok(is_open) = timeout(IDLE_MAX, self.collect(H::ROUNDS)).await {
                is_open
            } else {
                handler.reset();
                self.collect(H::ROUNDS).await
            };
            if !is_open {
                return;
            }
            // A panic must not end this task. The requests that it met are dropped, which ends
            // their callers' wait.
            let result = {
                let operation = pin!(handler.handle(&mut self.waiting));
                AssertUnwindSafe(operation).catch_unwind().await
            };
            if result.is_err() {
                error!("A panic ended an operation of the store");
                handler.reset();
            }
        }
    }

    /// Waits for a request, and collects all that are there. `false` when no more can come.
    async fn collect(&mut self, rounds: usize) -> bool {
        loop {
            while self.waiting.is_empty() {
                match self.receiver.recv().await {
                    Some(item) => self.take(item),
                    None => return false,
                }
            }
            // Requests that have arrived but were not read yet are part of the batch: this lets
            // their connections go first, and costs microseconds where there are none.
            for _ in 0..rounds {
                yield_now().await;
            }
            while let Ok(item) = self.receiver.try_recv() {
                self.take(item);
            }
            self.drop_expired();
            if !self.waiting.is_empty() {
                return true;
            }
        }
    }

    /// Keeps an overloaded database from work whose callers have given up. Deadlines are not in
    /// order: they count from before a post's body was read.
    fn drop_expired(&mut self) {
        let now = Instant::now();
        let mut index = 0;
        while let Some(pending) = self.waiting.get(index) {
            if pending.deadline > now {
                index += 1;
            } else if let Some(pending) = self.waiting.remove(index) {
                pending.respond(Err(StoreError::DeadlineExceeded));
            }
        }
    }

    fn take(&mut self, item: Option<Pending<Q, R>>) {
        match item {
            Some(pending) => self.waiting.push_back(pending),
            // What was sent before this is still received; what comes after it is refused.
            None => self.receiver.close(),
        }
    }
}
