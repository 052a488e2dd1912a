//! The metrics that are recorded into. What can be read when somebody asks (connections, queues,
//! memory) is observed where it is kept, by callbacks on [`meter`].

use opentelemetry::{
    global,
    metrics::{Histogram, Meter},
};
use std::{
    sync::{LazyLock, OnceLock},
    time::Duration,
};

/// Requests up to this many times T are tolerated: <https://en.wikipedia.org/wiki/Apdex>.
pub const APDEX_TOLERANCE: u32 = 4;

/// What the semantic conventions for HTTP advise, in seconds, and 2: Apdex counts up to T and 4 T,
/// and rules that were made for a T of 0.5 must find theirs whatever `APDEX_T` is.
const REQUEST_SECONDS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 2.5, 5.0, 7.5, 10.0];

/// What the semantic conventions for databases advise, in seconds.
const DATABASE_SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// Batches of posts are powers of two up to 256; more may share a read.
const BATCH_REQUESTS: [f64; 11] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1_024.0, 4_096.0];

static APDEX_T: OnceLock<Duration> = OnceLock::new();

#[derive(Debug)]
pub struct Instruments {
    pub request_duration: Histogram<f64>,
    pub batch_size: Histogram<u64>,
    pub statement_duration: Histogram<f64>,
}

pub fn meter() -> Meter {
    global::meter(env!("CARGO_PKG_NAME"))
}

/// Must come before the first recording.
pub fn set_apdex_t(t: Duration) {
    // A second server in one process shares the instruments of the first.
    let _ = APDEX_T.set(t);
}

pub fn instruments() -> &'static Instruments {
    static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| {
        let meter = meter();
        Instruments {
            request_duration: meter
                .f64_histogram("http.server.request.duration")
                .with_unit("s")
                .with_description("Time from a request's head to its answer")
                .with_boundaries(request_seconds())
                .build(),
            batch_size: meter
                .u64_histogram("chat.batch.size")
                .with_unit("{request}")
                .with_description("Requests that one database operation served")
                .with_boundaries(BATCH_REQUESTS.to_vec())
                .build(),
            statement_duration: meter
                .f64_histogram("db.client.operation.duration")
                .with_unit("s")
                .with_description("Time of a database call")
                .with_boundaries(DATABASE_SECONDS.to_vec())
                .build(),
        }
    });
    &INSTRUMENTS
}

fn request_seconds() -> Vec<f64> {
    let mut bounds = REQUEST_SECONDS.to_vec();
    if let Some(t) = APDEX_T.get() {
        bounds.extend([t.as_secs_f64(), (*t * APDEX_TOLERANCE).as_secs_f64()]);
    }
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    bounds
}
