//! How far away the database is. Time limits grow with it: a limit that suits a database in the
//! same rack is too short for one on another continent.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::time::timeout;

/// Round trips until a new connection has its first result: one each for TCP and the greeting, two
/// for TLS, up to three for `caching_sha2_password`, one each for the settings of sqlx and of this
/// server, two for a prepared statement, and one to spare.
const ROUND_TRIPS: u32 = 12;

/// The maximum that is added to a time limit. A database that needs more is too far away.
const ALLOWANCE_MAX: Duration = Duration::from_secs(5);

/// The timeout of a statement, to which the distance adds. A database that does not respond for so
/// long on one connection may respond on another. Longer than a wait for a lock, which ends with an
/// error (`mysql/setup.rs`): the same lock would be in the way on every other connection.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);

/// What was measured, in microseconds.
#[derive(Debug, Default)]
pub struct Distance {
    connecting: AtomicU64,
    round_trip: AtomicU64,
}

impl Distance {
    /// Sets how long a new connection took, which is more than its round trips where processors are
    /// busy, and how long its first statement took.
    pub fn set(&self, connecting: Duration, round_trip: Duration) {
        self.connecting.store(micros(connecting), Ordering::Relaxed);
        self.round_trip.store(micros(round_trip), Ordering::Relaxed);
    }

    /// Notes how long a later statement took. One that was slow once changes little.
    pub fn note_round_trip(&self, time: Duration) {
        let known = self.round_trip.load(Ordering::Relaxed);
        self.round_trip.store(known - known / 4 + micros(time) / 4, Ordering::Relaxed);
        // Round trips stay as long as they are; other delays pass, so they are forgotten slowly.
        let connecting = self.connecting.load(Ordering::Relaxed);
        self.connecting.store(connecting - connecting / 16, Ordering::Relaxed);
    }

    /// What is added to a time limit, so that a new connection and its first statement fit in.
    pub fn allowance(&self) -> Duration {
        let round_trip = Duration::from_micros(self.round_trip.load(Ordering::Relaxed));
        let connecting = Duration::from_micros(self.connecting.load(Ordering::Relaxed));
        (round_trip * ROUND_TRIPS).max(connecting).min(ALLOWANCE_MAX)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.min(ALLOWANCE_MAX).as_micros()).unwrap_or_default()
}

/// Fails when the operation takes longer.
pub async fn within<T, E: From<sqlx::Error>>(
    limit: Duration,
    operation: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let too_slow = || {
        let message = format!("the database has not responded within {} ms", limit.as_millis());
        Err(E::from(io::Error::new(io::ErrorKind::TimedOut, message).into()))
    };
    timeout(limit, operation).await.unwrap_or_else(|_| too_slow())
}

/// Whether an error is that of [`within`]. The system's own have no text.
pub fn is_too_slow(error: &sqlx::Error) -> bool {
    let is_ours =
        |error: &io::Error| error.kind() == io::ErrorKind::TimedOut && error.get_ref().is_some();
    matches!(error, sqlx::Error::Io(error) if is_ours(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_limits_follow_the_distance_and_not_a_single_slow_statement() {
        let (distance, near, far) =
            (Distance::default(), Duration::from_millis(1), Duration::from_millis(300));
        (0..20).for_each(|_| distance.note_round_trip(near));
        distance.note_round_trip(far);
        assert!(distance.allowance() < Duration::from_secs(1), "{distance:?}");
        (0..20).for_each(|_| distance.note_round_trip(far));
        assert!(distance.allowance() > Duration::from_millis(3_500), "{distance:?}");
        (0..40).for_each(|_| distance.note_round_trip(near));
        assert!(distance.allowance() < Duration::from_millis(20), "{distance:?}");
    }

    #[test]
    fn a_connection_that_took_long_may_take_as_long_again() {
        let distance = Distance::default();
        distance.set(Duration::from_secs(2), Duration::from_millis(1));
        assert_eq!(distance.allowance(), Duration::from_secs(2));
        distance.set(Duration::from_secs(20), Duration::from_millis(1));
        assert_eq!(distance.allowance(), ALLOWANCE_MAX);
    }
}
