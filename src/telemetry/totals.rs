//! What `/metrics` has counted since the start, summed over all labels.

use prometheus::{
    Registry,
    proto::{LabelPair, Metric, MetricFamily},
};
use std::collections::BTreeMap;

const REQUESTS: &str = "http_server_request_duration_seconds";

/// Totals since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requests {
    pub all: Durations,
    /// Of those that the server did not fail.
    pub good: Durations,
    pub client_errors: u64,
    pub server_errors: u64,
    pub canceled: u64,
    pub by_code: BTreeMap<String, u64>,
}

/// A histogram: how many took up to each bound, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    up_to: Vec<(f64, u64)>,
    pub sum: f64,
    pub count: u64,
}

impl Requests {
    pub fn of(registry: &Registry) -> Self {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == REQUESTS);
        let mut requests = Self::default();
        for metric in family.into_iter().flat_map(MetricFamily::get_metric) {
            requests.add(metric);
        }
        requests
    }

    fn add(&mut self, metric: &Metric) {
        let label = |name| {
            let labels = metric.get_label().iter();
            labels.clone().find(|label| label.name() == name).map(LabelPair::value)
        };
        let durations = Durations::of(metric);
        if let Some(code) = label("error_type") {
            *self.by_code.entry(code.to_owned()).or_default() += durations.count;
        }
        match label("http_response_status_code").and_then(|status| status.bytes().next()) {
            Some(b'4') => self.client_errors += durations.count,
            Some(b'5') => self.server_errors += durations.count,
            None => self.canceled += durations.count,
            Some(_) => {}
        }
        let failed = label("http_response_status_code").is_none_or(|status| status >= "500");
        if !failed {
            self.good.add(&durations);
        }
        self.all.add(&durations);
    }

    pub fn codes_since(&self, before: &Self) -> BTreeMap<String, u64> {
        let new = |(code, count): (&String, &u64)| {
            let new = count - before.by_code.get(code).copied().unwrap_or_default();
            (new > 0).then(|| (code.clone(), new))
        };
        self.by_code.iter().filter_map(new).collect()
    }
}

impl Durations {
    fn of(metric: &Metric) -> Self {
        let histogram = metric.get_histogram();
        let buckets = histogram.get_bucket().iter();
        Self {
            up_to: buckets
                .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
                .collect(),
            sum: histogram.get_sample_sum(),
            count: histogram.get_sample_count(),
        }
    }

    fn add(&mut self, other: &Self) {
        if self.up_to.is_empty() {
            self.up_to = other.up_to.iter().map(|(bound, _)| (*bound, 0)).collect();
        }
        for ((_, count), (_, more)) in self.up_to.iter_mut().zip(&other.up_to) {
            *count += more;
        }
        self.sum += other.sum;
        self.count += other.count;
    }

    pub fn since(&self, before: &Self) -> Self {
        // There may have been no requests at all before.
        let before_up_to = before.up_to.iter().map(|(_, count)| *count).chain(std::iter::repeat(0));
        let up_to = self.up_to.iter().zip(before_up_to);
        Self {
            up_to: up_to.map(|((bound, count), before)| (*bound, count - before)).collect(),
            sum: self.sum - before.sum,
            count: self.count - before.count,
        }
    }

    /// How many took up to this long, which must be one of the bounds.
    pub fn up_to(&self, seconds: f64) -> u64 {
        let bucket = self.up_to.iter().find(|(bound, _)| *bound >= seconds);
        bucket.map_or(self.count, |(_, count)| *count)
    }

    /// As Prometheus's `histogram_quantile` does it: evenly spread inside a bucket, and the last
    /// bound for whatever is beyond it.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let rank = quantile * self.count as f64;
        let finite = || self.up_to.iter().filter(|(bound, _)| bound.is_finite());
        let last = finite().next_back()?.0;
        if self.count == 0 {
            return None;
        }
        let (mut lower, mut below) = (0.0, 0);
        for (bound, count) in finite() {
            if *count as f64 >= rank {
                let inside = (count - below) as f64;
                let part = if inside > 0.0 { (rank - below as f64) / inside } else { 1.0 };
                return Some(lower + (bound - lower) * part);
            }
            (lower, below) = (*bound, *count);
        }
        Some(last)
    }
}

pub fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durations(counts: [u64; 3]) -> Durations {
        let bounds = [0.1, 0.5, f64::INFINITY];
        let up_to = bounds.into_iter().zip(counts).collect();
        Durations { up_to, sum: 0.0, count: counts[2] }
    }

    #[test]
    fn a_quantile_is_what_prometheus_makes_of_the_same_buckets() {
        let some = durations([50, 90, 100]);
        assert_eq!(some.quantile(0.5), Some(0.1));
        assert_eq!(some.quantile(0.25), Some(0.05));
        assert!((some.quantile(0.7).unwrap() - 0.3).abs() < 1e-9);
        assert_eq!(some.quantile(0.99), Some(0.5));
        assert_eq!(durations([0, 0, 0]).quantile(0.5), None);
        assert_eq!(Durations::default().quantile(0.5), None);
    }

    #[test]
    fn what_was_before_is_taken_off_every_bucket() {
        let since = durations([50, 90, 100]).since(&durations([50, 80, 80]));
        assert_eq!(since, durations([0, 10, 20]));
        assert_eq!(durations([1, 2, 3]).since(&Durations::default()), durations([1, 2, 3]));
    }

    #[test]
    fn the_count_up_to_a_bound_is_that_of_its_bucket() {
        assert_eq!(durations([50, 90, 100]).up_to(0.5), 90);
    }
}
