//! Proves what batching promises for every order in which its steps can happen.
//!
//! The channels below it are atomic steps (tokio checks them with loom). So a step is one poll of a
//! task that was woken, or an event from outside: the database finishes an operation, a client
//! disconnects, the store is closed. Each scenario runs once for each possible sequence of steps.
//!
//! The clock is not part of it: no handler is reset and no request expires meanwhile.

use super::{BatchHandler, Pending, queue};
use crate::store::error::StoreError;
use futures_util::{FutureExt, future::join_all};
use std::{
    cell::RefCell,
    collections::VecDeque,
    panic::resume_unwind,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tokio::{join, sync::oneshot, task::yield_now, time::Instant};

/// The choices of one run; the runs go through all of them in order.
#[derive(Default)]
struct Choices {
    /// What was chosen, and of how many.
    made: Vec<(usize, usize)>,
    next: usize,
}

impl Choices {
    fn choose(&mut self, count: usize) -> usize {
        if self.next == self.made.len() {
            self.made.push((0, count));
        }
        self.next += 1;
        self.made[self.next - 1].0
    }
}

/// Runs a scenario for every sequence of choices, and returns how many there are.
fn explore(scenario: impl Fn(&mut Choices)) -> usize {
    let mut choices = Choices::default();
    for runs in 1.. {
        choices.next = 0;
        scenario(&mut choices);
        while choices.made.pop_if(|(made, count)| *made + 1 == *count).is_some() {}
        match choices.made.last_mut() {
            Some((made, _)) => *made += 1,
            None => return runs,
        }
    }
    unreachable!("the loop has no end of its own")
}

/// A future, and whether it was woken.
struct Task<'a> {
    future: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<'a> Task<'a> {
    fn new(future: impl Future<Output = ()> + 'a) -> Self {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        Self { future: Some(Box::pin(future)), woken }
    }

    fn is_ready(&self) -> bool {
        self.future.is_some() && self.woken.0.load(Ordering::SeqCst)
    }

    fn poll(&mut self) {
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.woken));
        let future = self.future.as_mut().expect("only what is ready is polled");
        if let Poll::Ready(()) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.future = None;
        }
    }
}

/// What the database does with an operation.
enum Outcome {
    Done,
    Failed,
    Panicked,
}

/// What happened so far, and the time, which is the number of steps.
#[derive(Default)]
struct Log {
    now: usize,
    /// The operation under way.
    running: Option<oneshot::Sender<Outcome>>,
    /// For each request that was handled: its number and when its operation began.
    served: Vec<(usize, usize)>,
}

type NumberedRequest = Pending<usize, (usize, usize)>;

/// An operation responds to each request with its own number and the time when the operation began.
struct Database(Arc<Mutex<Log>>);

impl BatchHandler<usize, (usize, usize)> for Database {
    const ROUNDS: usize = 1;

    async fn handle(&mut self, waiting: &mut VecDeque<NumberedRequest>) {
        let batch = std::mem::take(waiting);
        let (finish, finished) = oneshot::channel();
        let began = {
            let mut log = self.0.lock().unwrap();
            let began = log.now;
            log.running = Some(finish);
            log.served.extend(batch.iter().map(|pending| (pending.request, began)));
            began
        };
        let outcome = finished.await.unwrap();
        for pending in batch {
            let answer = (pending.request, began);
            match outcome {
                Outcome::Done => pending.respond(Ok(answer)),
                Outcome::Failed => pending.respond(Err(StoreError::DeadlineExceeded)),
                Outcome::Panicked => resume_unwind(Box::new("the handler panics")),
            }
        }
    }

    fn reset(&mut self) {}
}

/// Which events from outside happen beside the requests, each at any time.
#[derive(Clone, Copy)]
struct Events {
    clients: usize,
    /// How many operations end badly.
    faults: usize,
    /// How many clients go away.
    leavers: usize,
    closes: bool,
}

fn run(events: Events, choices: &mut Choices) {
    let Events { clients, mut faults, mut leavers, closes: mut may_close } = events;
    let log = Arc::new(Mutex::new(Log::default()));
    let answers = RefCell::new(vec![Vec::new(); clients]);
    let (queue, batcher) = queue(clients);
    let deadline = Instant::now() + Duration::from_hours(1);
    let ask = |number: usize| {
        let (queue, log, answers) = (&queue, &log, &answers);
        Task::new(async move {
            let asked = log.lock().unwrap().now;
            let result = queue.submit(number, deadline).await;
            answers.borrow_mut()[number].push((asked, result));
        })
    };
    let mut tasks: Vec<Task<'_>> = (0..clients).map(ask).collect();
    tasks.push(Task::new(batcher.run(Database(Arc::clone(&log)))));
    let mut left = vec![false; clients];

    loop {
        log.lock().unwrap().now += 1;
        let ready: Vec<usize> = (0..tasks.len()).filter(|task| tasks[*task].is_ready()).collect();
        let running = log.lock().unwrap().running.is_some();
        let waiting = |client: &usize| leavers > 0 && tasks[*client].future.is_some();
        let may_leave: Vec<usize> = (0..clients).filter(waiting).collect();
        let may_finish = usize::from(running) * if faults > 0 { 3 } else { 1 };
        let count = ready.len() + may_finish + may_leave.len() + usize::from(may_close);
        if count == 0 {
            break;
        }
        let mut choice = choices.choose(count);
        if choice < ready.len() {
            tasks[ready[choice]].poll();
            continue;
        }
        choice -= ready.len();
        if choice < may_finish {
            let outcome = [Outcome::Done, Outcome::Failed, Outcome::Panicked];
            let finish = log.lock().unwrap().running.take().unwrap();
            let _ = finish.send(outcome.into_iter().nth(choice).unwrap());
            faults -= usize::from(choice > 0);
            continue;
        }
        choice -= may_finish;
        if let Some(client) = may_leave.get(choice) {
            tasks[*client].future = None;
            left[*client] = true;
            leavers -= 1;
        } else {
            queue.close();
            may_close = false;
        }
    }

    let served = log.lock().unwrap().served.clone();
    for (client, (answers, left)) in answers.borrow().iter().zip(left).enumerate() {
        let times_served: Vec<_> = served.iter().filter(|(number, _)| *number == client).collect();
        assert!(times_served.len() <= 1, "served twice");
        assert_eq!(answers.len(), usize::from(!left), "exactly one response");
        for (asked, answer) in answers {
            match answer {
                Ok((number, began)) => {
                    assert_eq!(*number, client, "the response to another request");
                    assert!(began > asked, "older than the request");
                }
                Err(StoreError::Closed) => assert!(events.closes && times_served.is_empty()),
                Err(_) => assert!(events.faults > 0 && times_served.len() == 1),
            }
        }
    }
    let open = tasks[clients].future.is_some();
    assert_eq!(open, !events.closes, "the task ends when the queue is closed, and only then");
}

fn prove(events: Events) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _context = runtime.enter();
    let runs = explore(|choices| run(events, choices));
    assert!(runs > 1_000, "only {runs} orders were tried");
}

#[test]
fn every_request_gets_one_response_of_an_operation_that_began_after_it() {
    prove(Events { clients: 3, faults: 0, leavers: 0, closes: false });
}

#[test]
fn faults_reach_the_requests_that_they_met_and_no_others() {
    prove(Events { clients: 3, faults: 1, leavers: 0, closes: false });
}

#[test]
fn a_client_that_leaves_takes_nothing_from_the_others() {
    prove(Events { clients: 2, faults: 1, leavers: 1, closes: false });
}

#[test]
fn closing_serves_what_was_taken_and_refuses_the_rest() {
    prove(Events { clients: 2, faults: 1, leavers: 1, closes: true });
}

#[tokio::test]
async fn a_request_that_has_expired_is_not_handled() {
    let log = Arc::new(Mutex::new(Log::default()));
    let (queue, batcher) = queue::<usize, (usize, usize)>(4);
    let (over, in_time) = (Instant::now(), Instant::now() + Duration::from_hours(1));
    // Their deadlines are not in order.
    let asked = [over, in_time, over, over].into_iter().enumerate();
    let mut asked = join_all(asked.map(|(number, deadline)| queue.submit(number, deadline)));
    assert!((&mut asked).now_or_never().is_none());
    queue.close();
    let finish = async {
        while log.lock().unwrap().running.is_none() {
            yield_now().await;
        }
        let _ = log.lock().unwrap().running.take().unwrap().send(Outcome::Done);
    };
    let (answers, (), ()) = join!(asked, batcher.run(Database(Arc::clone(&log))), finish);
    assert_eq!(log.lock().unwrap().served, [(1, 0)]);
    for (number, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(answer) => assert_eq!((number, answer), (1, (1, 0))),
            Err(error) => assert!(matches!(error, StoreError::DeadlineExceeded), "{error}"),
        }
    }
}
