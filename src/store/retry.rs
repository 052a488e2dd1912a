//! Retries: what is worth another attempt, how many there are, and when to give up.

use super::error::StoreError::{self, Unavailable};
use crate::readiness::{DatabaseFault, Readiness};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

/// First pause between two attempts of one call; it doubles each time, up to [`PAUSE_MAX`]. Long
/// enough for a deadlock's other side to finish, short against any deadline.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// The attempts of one call.
pub struct Retry<'a> {
    readiness: &'a Readiness,
    deadline: Instant,
    pause: Duration,
    last_fault: Option<DatabaseFault>,
}

impl<'a> Retry<'a> {
    pub const fn until(deadline: Instant, readiness: &'a Readiness) -> Self {
        Self { readiness, deadline, pause: PAUSE_MIN, last_fault: None }
    }

    /// Makes an attempt. `None` asks for another one; an error says that none would help.
    /// Operations are large futures, so callers pin them instead of moving them.
    pub async fn attempt<T>(
        &mut self,
        operation: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<Option<T>, StoreError> {
        // Asking a database that is known to be down would only make its clients wait.
        if let Some(fault) = self.readiness.database().fault {
            return Err(StoreError::Unavailable(fault));
        }
        // A query that is begun and given up at once costs its connection.
        if Instant::now() >= self.deadline {
            return Err(self.out_of_time());
        }
        match timeout_at(self.deadline, operation).await {
            Ok(Ok(value)) => return Ok(Some(value)),
            Ok(Err(error)) => self.note(error)?,
            Err(_) => return Err(self.out_of_time()),
        }
        // A random part keeps the two sides of a deadlock from meeting again.
        let wake = Instant::now() + self.pause.mul_f64(0.5 + fastrand::f64());
        if wake >= self.deadline {
            return Err(self.out_of_time());
        }
        sleep_until(wake).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(None)
    }

    fn out_of_time(&self) -> StoreError {
        self.last_fault.map_or(StoreError::DeadlineExceeded, Unavailable)
    }

    /// Fails unless the error is worth another attempt.
    fn note(&mut self, error: sqlx::Error) -> Result<(), StoreError> {
        let Some(fault) = DatabaseFault::of(&error) else {
            return Err(StoreError::internal(error));
        };
        debug!(db.fault = fault.as_str(), cause = %error, "Store call failed");
        // A user who may not write gets one more attempt on a new connection, since a failover may
        // have moved the right elsewhere. So does a lock: one that is met twice is held for long.
        let refused = matches!(
            fault,
            DatabaseFault::ReadOnly
                | DatabaseFault::AccessDenied
                | DatabaseFault::Full
                | DatabaseFault::Locked
        );
        if refused && self.last_fault == Some(fault) {
            return Err(Unavailable(fault));
        }
        self.last_fault = Some(fault);
        Ok(())
    }
}
