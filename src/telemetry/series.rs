//! The response times, one series for each set of labels.
//!
//! The SDK would look the set up for every request, which costs more than all else that is measured
//! (docs/performance.md); so each thread binds each to its series once, and shares no lock. There
//! are few, because labels are closed. For the same reason nobody can choose what collides, and the
//! hash is one that is quick instead of one that is hard to foresee.

use super::instruments::instruments;
use foldhash::fast::RandomState;
use opentelemetry::{KeyValue, metrics::BoundHistogram};
use std::{cell::RefCell, collections::HashMap};

/// What one request's answer was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Labels {
    pub method: &'static str,
    /// `None` for a path that there is not.
    pub route: Option<&'static str>,
    /// `None` for a request that was cut off.
    pub status: Option<u16>,
    pub error: Option<&'static str>,
}

thread_local! {
    static SERIES: RefCell<HashMap<Labels, BoundHistogram<f64>, RandomState>> =
        RefCell::default();
}

impl Labels {
    pub fn record(self, seconds: f64) {
        SERIES.with_borrow_mut(|series| {
            series
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
