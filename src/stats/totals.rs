//! What `/metrics` has counted since the start, summed over all labels.

use crate::telemetry::apdex_seconds;
use prometheus::{
    Registry,
    proto::{Bucket, LabelPair, Metric, MetricFamily},
};
use std::{collections::BTreeMap, time::Duration};

const REQUESTS: &str = "http_server_request_duration_seconds";

/// Totals since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requests {
    pub count: u64,
    pub seconds: f64,
    /// Of those that the server did not fail: two for each that took up to T, one up to 4 T.
    pub apdex_halves: u64,
    pub client_errors: u64,
    pub server_errors: u64,
    pub canceled: u64,
    pub by_code: BTreeMap<String, u64>,
}

impl Requests {
    pub fn of(registry: &Registry, apdex_t: Duration) -> Self {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == REQUESTS);
        let mut requests = Self::default();
        for metric in family.into_iter().flat_map(MetricFamily::get_metric) {
            requests.add(metric, apdex_t);
        }
        requests
    }

    fn add(&mut self, metric: &Metric, apdex_t: Duration) {
        let label = |name| {
            let labels = metric.get_label().iter();
            labels.clone().find(|label| label.name() == name).map(LabelPair::value)
        };
        let histogram = metric.get_histogram();
        let count = histogram.get_sample_count();
        self.count += count;
        self.seconds += histogram.get_sample_sum();
        if let Some(code) = label("error_type") {
            *self.by_code.entry(code.to_owned()).or_default() += count;
        }
        match label("http_response_status_code").and_then(|status| status.bytes().next()) {
            Some(b'4') => self.client_errors += count,
            Some(b'5') => self.server_errors += count,
            None => self.canceled += count,
            Some(_) => {}
        }
        let failed = label("http_response_status_code").is_none_or(|status| status >= "500");
        if !failed {
            let up_to = |seconds| {
                let mut buckets = histogram.get_bucket().iter();
                let bucket = buckets.find(|bucket| bucket.upper_bound() >= seconds);
                bucket.map_or(count, Bucket::cumulative_count)
            };
            self.apdex_halves += apdex_seconds(apdex_t).map(up_to).iter().sum::<u64>();
        }
    }

    pub fn codes_since(&self, before: &Self) -> BTreeMap<String, u64> {
        let new = |(code, count): (&String, &u64)| {
            let new = count - before.by_code.get(code).copied().unwrap_or_default();
            (new > 0).then(|| (code.clone(), new))
        };
        self.by_code.iter().filter_map(new).collect()
    }
}

pub fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{HistogramOpts, HistogramVec};

    #[test]
    fn apdex_counts_up_to_its_bounds_what_the_server_did_not_fail() {
        let t = Duration::from_millis(300);
        let buckets = [&[0.1, 0.25][..], &apdex_seconds(t), &[2.5]].concat();
        let options = HistogramOpts::new(REQUESTS, "Requests").buckets(buckets);
        let requests = HistogramVec::new(options, &["http_response_status_code"]).unwrap();
        let registry = Registry::new();
        registry.register(Box::new(requests.clone())).unwrap();
        for (status, seconds) in [
            ("200", 0.01),
            ("404", 0.3),
            ("200", 0.301),
            ("200", 1.2),
            ("200", 1.201),
            ("503", 0.01),
        ] {
            requests.with_label_values(&[status]).observe(seconds);
        }
        let of = Requests::of(&registry, t);
        assert_eq!((of.count, of.server_errors, of.client_errors), (6, 1, 1));
        assert_eq!(of.apdex_halves, 2 + 2 + 1 + 1);
    }
}
