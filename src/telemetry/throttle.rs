//! Limits the log lines that clients or a failing dependency can cause: a few lines of each kind
//! are written and the others counted.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::sleep;
use tracing::{Level, debug, error, warn};

/// The number of lines of one kind that can be written at once. Each later second allows one more,
/// so that an outage of hours stays far below the 10 MiB at which Kubernetes rotates.
const LINES_AT_ONCE: u64 = 10;

/// How often another line is allowed, and the lines that were left out are reported.
const INTERVAL: Duration = Duration::from_secs(1);

static THROTTLE: LazyLock<Throttle> = LazyLock::new(Throttle::default);

/// Lines with the same message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    pub level: Level,
    /// The message of each line.
    pub message: &'static str,
    /// The code of the error, if it is one of a request.
    pub code: Option<&'static str>,
    /// The template of the path, if it has one.
    pub route: Option<&'static str>,
}

#[derive(Debug, Default)]
struct Throttle(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    by_kind: HashMap<Kind, Count>,
    left_out_ever: u64,
}

/// Lines of one kind.
#[derive(Debug, Default)]
struct Count {
    /// The number of written lines, minus one for each interval since.
    recent: u64,
    /// The number of lines left out in this interval.
    left_out: u64,
}

/// Returns whether to write another line of this kind. Counts the line if not.
pub fn admits(kind: Kind) -> bool {
    THROTTLE.admits(kind)
}

/// Reports once a second how many lines were left out.
pub async fn keep_reporting() {
    loop {
        sleep(INTERVAL).await;
        report();
    }
}

/// Writes one line for each kind with lines that were left out.
pub fn report() {
    for (Kind { level, message, code, route }, lines) in THROTTLE.next_interval() {
        macro_rules! line {
            ($level:ident) => {
                $level!(code, http.route = route, lines, "{message}: lines left out")
            };
        }
        match level {
            Level::ERROR => line!(error),
            Level::WARN => line!(warn),
            _ => line!(debug),
        }
    }
}

/// The total number of lines that were left out.
pub fn left_out_lines() -> u64 {
    THROTTLE.left_out_ever()
}

impl Throttle {
    fn admits(&self, kind: Kind) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.by_kind.entry(kind).or_default();
        if count.recent < LINES_AT_ONCE {
            count.recent += 1;
            return true;
        }
        count.left_out += 1;
        counts.left_out_ever += 1;
        false
    }

    /// Begins the next interval; returns the number of lines of each kind left out in the last one.
    fn next_interval(&self) -> Vec<(Kind, u64)> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left_out = Vec::new();
        for (kind, count) in &mut counts.by_kind {
            count.recent = count.recent.saturating_sub(1);
            if count.left_out > 0 {
                left_out.push((*kind, std::mem::take(&mut count.left_out)));
            }
        }
        left_out
    }

    fn left_out_ever(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).left_out_ever
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind {
        level: Level::WARN,
        message: "Request not served",
        code: Some("database_unavailable"),
        route: Some("/messages"),
    };

    #[test]
    fn every_line_is_written_or_reported() {
        let throttle = Throttle::default();
        let other = Kind { route: None, ..KIND };
        for (interval, admitted) in [(0, LINES_AT_ONCE), (1, 1), (2, 1)] {
            let lines = (0..1_000).filter(|_| throttle.admits(KIND)).count();
            assert_eq!(lines as u64, admitted, "{interval}");
            assert!(throttle.admits(other), "each kind has lines of its own");
            assert_eq!(throttle.next_interval(), [(KIND, 1_000 - admitted)]);
        }
        assert_eq!(throttle.left_out_ever(), 3_000 - LINES_AT_ONCE - 2);
        for _ in 0..LINES_AT_ONCE {
            assert_eq!(throttle.next_interval(), []);
        }
        assert!((0..LINES_AT_ONCE).all(|_| throttle.admits(KIND)), "it is quiet again");
    }
}
