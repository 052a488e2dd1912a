//! Response times for the percentiles of `/stats`, finer than the exported histogram, where each
//! bound is a time series in Prometheus.
//!
//! A bucket keeps the sum of its samples, so that percentiles come from measured times: a single
//! sample is its own percentile, and no percentile is above the maximum. (A sample that is recorded
//! during a read can shift the mean of its bucket until the next read.)

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

static RECORDERS: Mutex<Vec<Arc<Recorder>>> = Mutex::new(Vec::new());

/// Times outside this range share the first and the last bucket.
const SHORTEST: u16 = bucket_of(1e-6);
const LONGEST: u16 = bucket_of(64.0);

/// The sign, the exponent and four bits of the mantissa: the longest time in a bucket is at most
/// 1/16 above the shortest.
const fn bucket_of(seconds: f64) -> u16 {
    (seconds.to_bits() >> 48) as u16
}

/// The response times that one thread records. Only that thread writes, so it needs no lock.
#[derive(Debug)]
pub struct Recorder(Vec<Slot>);

#[derive(Debug, Default)]
struct Slot {
    count: AtomicU64,
    /// The bits of an `f64`.
    seconds: AtomicU64,
}

/// The number of samples in a bucket, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bucket {
    count: u64,
    seconds: f64,
}

/// The buckets that are not empty, from the shortest time to the longest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResponseTimes(BTreeMap<u16, Bucket>);

impl Recorder {
    /// Creates the recorder of a thread, which [`ResponseTimes::since_start`] reads.
    pub fn register() -> Arc<Self> {
        let recorder = Arc::new(Self::new());
        RECORDERS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&recorder));
        recorder
    }

    fn new() -> Self {
        Self((SHORTEST..=LONGEST).map(|_| Slot::default()).collect())
    }

    pub fn record(&self, seconds: f64) {
        let bucket = bucket_of(seconds).clamp(SHORTEST, LONGEST) - SHORTEST;
        let slot = &self.0[usize::from(bucket)];
        let sum = f64::from_bits(slot.seconds.load(Relaxed)) + seconds;
        slot.seconds.store(sum.to_bits(), Relaxed);
        slot.count.store(slot.count.load(Relaxed) + 1, Relaxed);
    }

    fn times(&self) -> ResponseTimes {
        let buckets = (SHORTEST..).zip(&self.0).map(|(bucket, slot)| {
            let (count, seconds) = (slot.count.load(Relaxed), slot.seconds.load(Relaxed));
            (bucket, Bucket { count, seconds: f64::from_bits(seconds) })
        });
        ResponseTimes(buckets.filter(|(_, bucket)| bucket.count > 0).collect())
    }
}

impl ResponseTimes {
    /// Returns the sum of all threads' recorders.
    pub fn since_start() -> Self {
        let recorders = RECORDERS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Self::default();
        for recorder in recorders.iter() {
            all.add(&recorder.times());
        }
        all
    }

    pub fn add(&mut self, other: &Self) {
        for (bucket, more) in &other.0 {
            let sum = self.0.entry(*bucket).or_default();
            sum.count += more.count;
            sum.seconds += more.seconds;
        }
    }

    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let new = |(bucket, now): (&u16, &Bucket)| {
            let before = before.0.get(bucket).copied().unwrap_or_default();
            let seconds = now.seconds - before.seconds;
            (*bucket, Bucket { count: now.count - before.count, seconds })
        };
        Self(self.0.iter().map(new).filter(|(_, bucket)| bucket.count > 0).collect())
    }

    /// Interpolates between the two samples that are nearest to its rank, like k6.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let count: u64 = self.0.values().map(|bucket| bucket.count).sum();
        let rank = quantile * count.saturating_sub(1) as f64;
        let (below, above) = (self.sample(rank.floor())?, self.sample(rank.ceil())?);
        Some(below + (above - below) * rank.fract())
    }

    /// Returns the approximate time of the sample of this rank; 0 is the shortest.
    fn sample(&self, rank: f64) -> Option<f64> {
        let mut shorter = 0;
        let bucket = self.0.values().find(|bucket| {
            shorter += bucket.count;
            shorter as f64 > rank
        })?;
        Some(bucket.seconds / bucket.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(samples: &[f64]) -> ResponseTimes {
        let recorder = Recorder::new();
        for seconds in samples {
            recorder.record(*seconds);
        }
        recorder.times()
    }

    /// The rank of k6 among the samples themselves.
    fn exact(samples: &[f64], quantile: f64) -> f64 {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let rank = quantile * (sorted.len() - 1) as f64;
        let nth =
            |rank: f64| *sorted.iter().zip(0..).find(|(_, n)| f64::from(*n) >= rank).unwrap().0;
        let (below, above) = (nth(rank.floor()), nth(rank.ceil()));
        below + (above - below) * rank.fract()
    }

    /// Times around a median, with a tail of up to 30 times as long.
    fn around(median: f64) -> Vec<f64> {
        let spread = |i: i32| f64::from(i) / 500.0 - 1.0;
        (0..=1000)
            .map(|i| median * (spread(i).powi(3) * 0.7 + spread(i).powi(99) * 3.0).exp())
            .collect()
    }

    #[test]
    fn a_percentile_is_near_the_one_of_the_samples_however_fast_they_are() {
        for median in [15e-6, 0.3e-3, 3e-3, 30e-3, 300e-3, 3.0] {
            let samples = around(median);
            let times = recorded(&samples);
            for quantile in [0.5, 0.95, 0.99] {
                let (shown, exact) = (times.quantile(quantile).unwrap(), exact(&samples, quantile));
                let error = (shown / exact - 1.0).abs();
                assert!(error < 1.0 / 16.0, "{quantile} of {median}: {shown}, not {exact}");
            }
        }
    }

    #[test]
    fn of_few_samples_each_is_known() {
        for samples in [&[0.000_412][..], &[0.000_3, 0.000_4, 0.012], &[0.000_4; 3]] {
            let times = recorded(samples);
            for quantile in [0.0, 0.5, 0.95, 0.99, 1.0] {
                let (shown, exact) = (times.quantile(quantile).unwrap(), exact(samples, quantile));
                assert!((shown - exact).abs() < 1e-12, "{quantile}: {shown}, not {exact}");
            }
        }
    }

    #[test]
    fn no_percentile_is_outside_what_was_seen() {
        for samples in [&[0.0, 1e-9][..], &[90.0, 3600.0], &[0.101, 0.102, 0.103]] {
            let times = recorded(samples);
            let (least, most) = (exact(samples, 0.0), exact(samples, 1.0));
            for quantile in [0.0, 0.5, 0.99, 1.0] {
                let shown = times.quantile(quantile).unwrap();
                assert!((least..=most).contains(&shown), "{quantile} of {samples:?}: {shown}");
            }
        }
        assert_eq!(recorded(&[]).quantile(0.5), None);
    }

    #[test]
    fn parts_make_the_whole() {
        let (first, second) = (around(0.001), around(0.002));
        let whole = recorded(&[first.clone(), second.clone()].concat());
        let since = whole.since(&recorded(&first));
        let mut sum = recorded(&first);
        sum.add(&recorded(&second));
        for quantile in [0.5, 0.95, 0.99] {
            let near = |a: &ResponseTimes, b: &ResponseTimes| {
                (a.quantile(quantile).unwrap() - b.quantile(quantile).unwrap()).abs() < 1e-9
            };
            assert!(near(&since, &recorded(&second)) && near(&sum, &whole), "{quantile}");
        }
    }
}
