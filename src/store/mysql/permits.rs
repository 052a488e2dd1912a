//! Permits to use a connection to MySQL. There are as many as the setting allows, or as many as the
//! database allows connections.

use crate::store::pool_kind::{PoolKind, PoolUse};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The tasks that use one connection each: group commit, the two shared reads, and the watchdog.
const LANES: usize = 4;

#[derive(Debug)]
pub struct Permits {
    /// What the setting allows.
    pub max: usize,
    /// Granted in the order of requests.
    all: Arc<Semaphore>,
    /// One for each read with a query of its own that may ask for a permit. However many reads
    /// there are, a task finds few of them before it.
    reads: Arc<Semaphore>,
    /// Has a clone for each such read that has a permit.
    reads_used: Arc<()>,
    end_of_waits: Notify,
    sizes: Mutex<Sizes>,
}

/// How many permits of each kind there are.
#[derive(Debug)]
struct Sizes {
    all: usize,
    reads: usize,
}

#[derive(Debug)]
pub struct Permit {
    pub kind: PoolKind,
    any: OwnedSemaphorePermit,
    _read: Option<(OwnedSemaphorePermit, Arc<()>)>,
}

impl Permits {
    pub fn new(max: usize) -> Self {
        let reads = reads_max(max);
        Self {
            max,
            all: Arc::new(Semaphore::new(max)),
            reads: Arc::new(Semaphore::new(reads)),
            reads_used: Arc::default(),
            end_of_waits: Notify::new(),
            sizes: Mutex::new(Sizes { all: max, reads }),
        }
    }

    /// Waits for a permit, or until [`Permits::end_waits`].
    pub async fn acquire(&self, kind: PoolKind) -> sqlx::Result<Permit> {
        let read = match kind {
            PoolKind::OtherReads => Some(self.acquire_read().await?),
            PoolKind::Posts | PoolKind::SharedReads | PoolKind::Watchdog => None,
        };
        let any = self.wait(&self.all).await?;
        let read = read.map(|read| (read, Arc::clone(&self.reads_used)));
        Ok(Permit { kind, any, _read: read })
    }

    /// Makes all waits for a permit fail.
    pub fn end_waits(&self) {
        self.end_of_waits.notify_waiters();
    }

    /// Takes away this permit and others, until `size` of them are left.
    pub fn shrink(&self, size: usize, permit: Permit) {
        let mut sizes = self.sizes();
        if sizes.all > size {
            permit.any.forget();
            sizes.all -= 1;
            sizes.all -= self.all.forget_permits(sizes.all - size);
        }
    }

    /// Gives back what was taken away.
    pub fn restore(&self) {
        let mut sizes = self.sizes();
        let whole = Sizes { all: self.max, reads: reads_max(self.max) };
        self.all.add_permits(whole.all - sizes.all);
        self.reads.add_permits(whole.reads - sizes.reads);
        *sizes = whole;
    }

    pub fn size(&self) -> usize {
        self.sizes().all
    }

    pub fn close(&self) {
        self.reads.close();
        self.all.close();
    }

    /// The use of connections by the tasks, and by reads with a query of their own, which find the
    /// idle ones too.
    pub fn uses(&self, watching: usize, idle: usize) -> [PoolUse; 2] {
        let size = self.size();
        let used = size.saturating_sub(self.all.available_permits());
        let reads = Arc::strong_count(&self.reads_used) - 1;
        let pool_use = |name, idle, used, max: usize| PoolUse {
            name,
            idle,
            used,
            max: u32::try_from(max).unwrap_or(u32::MAX),
        };
        [
            pool_use("lanes", watching, used.saturating_sub(reads), size.min(LANES)),
            pool_use("reads", idle, reads, reads_max(size)),
        ]
    }

    async fn acquire_read(&self) -> sqlx::Result<OwnedSemaphorePermit> {
        loop {
            let permit = self.wait(&self.reads).await?;
            let mut sizes = self.sizes();
            if sizes.reads <= reads_max(sizes.all) {
                return Ok(permit);
            }
            sizes.reads -= 1;
            permit.forget();
        }
    }

    async fn wait(&self, permits: &Arc<Semaphore>) -> sqlx::Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
            return Ok(permit);
        }
        tokio::select! {
            permit = Arc::clone(permits).acquire_owned() => {
                permit.map_err(|_| sqlx::Error::PoolClosed)
            }
            () = self.end_of_waits.notified() => Err(sqlx::Error::PoolTimedOut),
        }
    }

    fn sizes(&self) -> MutexGuard<'_, Sizes> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many reads may have or wait for a permit, so that they never take all.
fn reads_max(size: usize) -> usize {
    size.saturating_sub(LANES).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, future::join_all};

    #[tokio::test]
    async fn however_many_reads_wait_a_task_finds_one_before_it_when_there_are_few_connections() {
        let permits = Permits::new(10);
        let first = permits.acquire(PoolKind::Posts).await.unwrap();
        let second = permits.acquire(PoolKind::SharedReads).await.unwrap();
        permits.shrink(2, permits.acquire(PoolKind::Posts).await.unwrap());
        let mut reads = Box::pin(join_all((0..10).map(|_| permits.acquire(PoolKind::OtherReads))));
        assert!(reads.as_mut().now_or_never().is_none());
        let mut look = Box::pin(permits.acquire(PoolKind::Watchdog));
        assert!(look.as_mut().now_or_never().is_none());
        let uses = permits.uses(0, 0).map(|it| (it.name, it.used, it.max));
        assert_eq!(uses, [("lanes", 2, 2), ("reads", 0, 1)], "a read that waits uses none");
        drop(first);
        drop(second);
        assert!(look.now_or_never().is_some());
        permits.restore();
        assert_eq!(permits.uses(0, 0).map(|it| it.max), [4, 6]);
    }
}
