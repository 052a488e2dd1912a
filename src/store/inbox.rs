//! Calls that wait to be served together: whoever asks while an operation runs is served by the
//! next one.
//!
//! Both fast paths are this. One task takes what is waiting, does one operation for all of it, and
//! answers each. The busier the server, the more each operation serves; on a quiet one it serves
//! one call, at once. And no answer is older than its question, because an operation serves only
//! calls that were there before it began.

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

/// How long nothing must happen before what is kept for the next operation is let go.
const REST_AFTER: Duration = Duration::from_secs(1);

/// Makes an inbox for as many calls as `limit`, the ones being served included.
pub fn inbox<Q, A>(limit: usize) -> (Calls<Q, A>, Inbox<Q, A>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let calls = Calls { sender, places: Arc::new(Semaphore::new(limit)), limit };
    (calls, Inbox { receiver, waiting: VecDeque::new() })
}

/// Where the calls come from.
#[derive(Debug)]
pub struct Calls<Q, A> {
    /// `None` is the last item.
    sender: mpsc::UnboundedSender<Option<Call<Q, A>>>,
    places: Arc<Semaphore>,
    pub limit: usize,
}

/// Somebody who waits for an answer.
#[derive(Debug)]
pub struct Call<Q, A> {
    pub question: Q,
    pub deadline: Instant,
    /// What the call is part of, if that is sampled.
    asked_by: Option<Span>,
    answer: oneshot::Sender<Result<A, StoreError>>,
    _place: OwnedSemaphorePermit,
}

impl<Q, A> Calls<Q, A> {
    /// Waits for the answer of an operation that begins after this. The question is served even
    /// when nobody waits any more, but not when an operation would begin after the deadline.
    pub async fn ask(&self, question: Q, deadline: Instant) -> Result<A, StoreError> {
        let place = Arc::clone(&self.places).try_acquire_owned()?;
        let (answer, answered) = oneshot::channel();
        let asked_by = telemetry::current_span();
        let call = Call { question, deadline, asked_by, answer, _place: place };
        self.sender.send(Some(call)).map_err(|_| StoreError::Closed)?;
        match timeout_at(deadline, answered).await {
            Ok(Ok(result)) => result,
            // It was dropped by a panic, or with the runtime.
            Ok(Err(_)) => Err(StoreError::internal(sqlx::Error::WorkerCrashed)),
            Err(_) => Err(StoreError::DeadlineExceeded),
        }
    }

    /// How many calls wait or are being served.
    pub fn waiting(&self) -> usize {
        self.limit - self.places.available_permits()
    }

    /// Takes no more calls. The ones that are waiting are still served.
    pub fn close(&self) {
        self.places.close();
        // The other side is gone when it has ended by itself, and then there is nothing to say.
        let _ = self.sender.send(None);
    }
}

impl<Q, A> Call<Q, A> {
    pub fn answer(self, result: Result<A, StoreError>) {
        // First, because a span ends when the last of its holders has dropped it.
        drop(self.asked_by);
        // Whoever has gone, or whose time was over, has no use for it.
        let _ = self.answer.send(result);
    }
}

/// Begins to measure an operation. What it does is part of the span.
pub fn operation<Q, A>(name: &'static str, inbox: &'static str, calls: &[Call<Q, A>]) -> Span {
    telemetry::batch(name, inbox, calls.iter().map(|call| call.asked_by.as_ref()))
}

/// Does the operations.
pub trait Serve<Q, A>: Send {
    /// For how many rounds of the event loop others may join before an operation begins. Where
    /// operations are cheap, more rounds make fewer of them.
    const ROUNDS: usize;

    /// Takes some or all of the calls that wait, at least one, and answers them.
    fn serve(&mut self, waiting: &mut VecDeque<Call<Q, A>>) -> impl Future<Output = ()> + Send;

    /// There is nothing to do for the moment, or the last operation broke off.
    fn rest(&mut self);
}

/// Where the calls wait.
#[derive(Debug)]
pub struct Inbox<Q, A> {
    receiver: mpsc::UnboundedReceiver<Option<Call<Q, A>>>,
    /// Taken from the channel and not served yet, the oldest first.
    waiting: VecDeque<Call<Q, A>>,
}

impl<Q, A> Inbox<Q, A> {
    /// Serves the calls until no more can come.
    pub async fn serve<S: Serve<Q, A>>(mut self, mut server: S) {
        loop {
            let open = if let Ok(open) = timeout(REST_AFTER, self.wait(S::ROUNDS)).await {
                open
            } else {
                server.rest();
                self.wait(S::ROUNDS).await
            };
            if !open {
                return;
            }
            // A fault of ours must not end this task, because others come after it. The calls that
            // it met are dropped, which answers them.
            let result = {
                let operation = pin!(server.serve(&mut self.waiting));
                AssertUnwindSafe(operation).catch_unwind().await
            };
            if result.is_err() {
                error!("A panic ended an operation of the store");
                server.rest();
            }
        }
    }

    /// Waits until a call waits, and collects all that do. `false` when none can come any more.
    async fn wait(&mut self, rounds: usize) -> bool {
        loop {
            while self.waiting.is_empty() {
                match self.receiver.recv().await {
                    Some(item) => self.take(item),
                    None => return false,
                }
            }
            // Requests that have arrived, but were not read yet, come along: this lets their
            // connections go first, and costs microseconds where there are none.
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

    /// An overloaded database must not be kept busy with what nobody waits for any more. Deadlines
    /// are not in order: they count from before a post's body was read.
    fn drop_expired(&mut self) {
        let now = Instant::now();
        let mut index = 0;
        while let Some(call) = self.waiting.get(index) {
            if call.deadline > now {
                index += 1;
            } else if let Some(call) = self.waiting.remove(index) {
                call.answer(Err(StoreError::DeadlineExceeded));
            }
        }
    }

    fn take(&mut self, item: Option<Call<Q, A>>) {
        match item {
            Some(call) => self.waiting.push_back(call),
            // What was sent before this is still received; what comes after it is refused.
            None => self.receiver.close(),
        }
    }
}
