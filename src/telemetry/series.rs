//! The response times, one series for each set of labels.
//!
//! The SDK would look the set up for every request, which costs more than all else that is measured
//! (docs/performance.md); so each is bound to its series once. There are few: labels are closed.

use super::instruments::instruments;
use opentelemetry::{KeyValue, metrics::BoundHistogram};
use std::{
    collections::HashMap,
    sync::{LazyLock, PoisonError, RwLock},
};

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

static SERIES: LazyLock<RwLock<HashMap<Labels, BoundHistogram<f64>>>> =
    LazyLock::new(RwLock::default);

impl Labels {
    pub fn record(self, seconds: f64) {
        if let Some(series) = SERIES.read().unwrap_or_else(PoisonError::into_inner).get(&self) {
            return series.record(seconds);
        }
        let series = instruments().request_duration.bind(&self.attributes());
        series.record(seconds);
        SERIES.write().unwrap_or_else(PoisonError::into_inner).insert(self, series);
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
