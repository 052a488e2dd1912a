//! The instruments that the server records into. `gauges.rs` observes values that can be read at
//! any time (connections, queues, memory).

use opentelemetry::{
    global,
    metrics::{Histogram, Meter},
};
use std::{sync::OnceLock, time::Duration};

/// Responses within this multiple of T are tolerable: <https://en.wikipedia.org/wiki/Apdex>.
const APDEX_TOLERANCE: u32 = 4;

/// The bounds from 100 µs to 10 s: the preferred numbers R10 of ISO 3. Each is about a quarter
/// above the previous one, so that percentiles in Prometheus are accurate at any speed.
const PREFERRED: [f64; 10] = [100.0, 125.0, 160.0, 200.0, 250.0, 315.0, 400.0, 500.0, 630.0, 800.0];
const DIVISORS: [f64; 5] = [1e6, 1e5, 1e4, 1e3, 1e2];

/// The other bounds, in seconds: for responses from memory, and those that the semantic conventions
/// recommend.
const OTHERS: [f64; 7] = [0.000_01, 0.000_025, 0.000_05, 0.075, 0.75, 7.5, 10.0];

/// Batches of posts have at most 256 requests; more may share a read.
const BATCH_REQUESTS: [f64; 11] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1_024.0, 4_096.0];

static INSTRUMENTS: OnceLock<Instruments> = OnceLock::new();

#[derive(Debug)]
pub struct Instruments {
    pub request_duration: Histogram<f64>,
    pub batch_size: Histogram<u64>,
    pub query_duration: Histogram<f64>,
}

pub fn meter() -> Meter {
    global::meter(env!("CARGO_PKG_NAME"))
}

/// Creates the instruments, with T of Apdex as a bound. Must be called before the first recording.
/// A second server in one process shares the instruments of the first.
pub fn start(apdex_t: Duration) {
    INSTRUMENTS.get_or_init(|| Instruments::new(&apdex_seconds(apdex_t)));
}

pub fn instruments() -> &'static Instruments {
    INSTRUMENTS.get_or_init(|| Instruments::new(&[]))
}

impl Instruments {
    fn new(bounds: &[f64]) -> Self {
        let meter = meter();
        Self {
            request_duration: meter
                .f64_histogram("http.server.request.duration")
                .with_unit("s")
                .with_description("Time from a request's head to its response")
                .with_boundaries(seconds(bounds))
                .build(),
            batch_size: meter
                .u64_histogram("chat.batch.size")
                .with_unit("{request}")
                .with_description("Requests that one database operation served")
                .with_boundaries(BATCH_REQUESTS.to_vec())
                .build(),
            query_duration: meter
                .f64_histogram("db.client.operation.duration")
                .with_unit("s")
                .with_description("Duration of a database call")
                .with_boundaries(seconds(&[]))
                .build(),
        }
    }
}

/// Returns T and 4 T, the bounds of Apdex, in seconds.
pub fn apdex_seconds(t: Duration) -> [f64; 2] {
    [t, t * APDEX_TOLERANCE].map(|bound| bound.as_secs_f64())
}

fn seconds(more: &[f64]) -> Vec<f64> {
    let preferred = DIVISORS.into_iter().flat_map(|divisor| PREFERRED.map(|bound| bound / divisor));
    let mut bounds: Vec<f64> = preferred.chain(OTHERS).chain(more.iter().copied()).collect();
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prometheus's function of this name, for requests that all take equally long.
    fn histogram_quantile(quantile: f64, bounds: &[f64], took: f64) -> f64 {
        let above = bounds.iter().position(|bound| *bound >= took).unwrap();
        let below = above.checked_sub(1).map_or(0.0, |below| bounds[below]);
        below + (bounds[above] - below) * quantile
    }

    #[test]
    fn prometheus_sees_a_percentile_as_it_is_at_any_speed() {
        let bounds = seconds(&[]);
        for took in [0.000_3, 0.003, 0.03, 0.3] {
            for quantile in [0.5, 0.95, 0.99] {
                let error = histogram_quantile(quantile, &bounds, took) / took - 1.0;
                assert!(error.abs() < 0.1, "{quantile} of {took}: {error}");
            }
        }
        let mut steps = bounds.windows(2).skip_while(|step| step[0] < 0.000_1);
        assert!(steps.all(|step| step[1] / step[0] < 1.29), "{bounds:?}");
    }

    #[test]
    fn apdex_and_the_conventions_find_their_bounds() {
        let bounds = seconds(&apdex_seconds(Duration::from_millis(333)));
        let http =
            [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
        for bound in [0.333, 1.332, 0.5, 2.0, 0.001].into_iter().chain(http) {
            assert!(bounds.contains(&bound), "{bound}");
        }
        assert!(bounds.len() < 60, "each is a time series for each set of labels");
    }
}
