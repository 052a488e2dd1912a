//! The response times, one series for each set of labels.
//!
//! The SDK would look the set up for every request, which costs more than all else that is measured
//! (docs/performance.md); so each thread binds each to its series once, and shares no lock. There
//! are few, because labels are closed. So no client can choose what collides, and the hash is one
//! that is quick instead of one that is hard to foresee.

use super::{instruments::instruments, response_times::Recorder};
use foldhash::fast::RandomState;
use opentelemetry::{KeyValue, metrics::BoundHistogram};
use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// What one request's answer was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels {
    pub method: &'static str,
    /// `None` for a path that there is not.
    pub route: Option<&'static str>,
    /// `None` for a request that was cut off.
    pub status: Option<u16>,
    pub error: Option<&'static str>,
}

impl Hash for Labels {
    /// Of what tells most of them apart: to compare the rest is quicker than to hash it.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let status = usize::from(self.status.unwrap_or_default());
        state.write_usize(1_000 * status + self.route.map_or(0, str::len));
    }
}

/// Where one thread records.
struct Recorders {
    series: HashMap<Labels, BoundHistogram<f64>, RandomState>,
    all: Arc<Recorder>,
}

thread_local! {
    static RECORDERS: RefCell<Recorders> =
        RefCell::new(Recorders { series: HashMap::default(), all: Recorder::register() });
}

impl Labels {
    pub fn record(self, seconds: f64) {
        RECORDERS.with_borrow_mut(|recorders| {
            recorders.all.record(seconds);
            recorders
                .series
                .entry(self)
                .or_insert_with(|| instruments().request_duration.bind(&self.attributes()))
                .record(seconds);
        });
    }

    fn attributes(self) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new("http.request.method", self.method),
            KeyValue::new("url.scheme", "http"),
        ];
        attributes.extend(self.route.map(|route| KeyValue::new("http.route", route)));
        attributes.extend(
            self.status.map(|status| KeyValue::new("http.response.status_code", i64::from(status))),
        );
        attributes.extend(self.error.map(|error| KeyValue::new("error.type", error)));
        attributes
    }
}
