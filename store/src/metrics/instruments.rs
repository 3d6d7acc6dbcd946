//! A counter, a gauge and a histogram. They are atomics, so counting never waits.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::Value;

/// Only rises, until the process ends.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub(crate) fn inc(&self) {
        self.add(1);
    }

    /// Adds `more`.
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub(super) fn get(&self) -> f64 {
        self.0.load(Relaxed) as f64
    }
}

/// Rises and falls.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    /// Adds `more`, which may be negative.
    pub(crate) fn add(&self, more: i64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// Sets the value.
    pub(crate) fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    pub(super) fn get(&self) -> f64 {
        self.0.load(Relaxed) as f64
    }
}

/// The unit of a histogram's sum and bounds.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Seconds,
    Milliseconds,
}

/// Counts durations by length.
#[derive(Debug)]
pub(crate) struct Histogram {
    unit: Unit,
    /// Upper bounds, ascending. An observation above all bounds is counted only in `total`.
    bounds: Box<[f64]>,
    /// For each bound, the number of observations not above it and above the previous bound.
    counts: Box<[AtomicU64]>,
    total: AtomicU64,
    /// The sum in the histogram's unit, as a float's bits.
    sum: AtomicU64,
}

impl Histogram {
    /// A histogram in seconds with `count` bounds, each `factor` times the previous one (Go's `ExponentialBuckets`).
    pub(crate) fn seconds(start: f64, factor: f64, count: usize) -> Histogram {
        Histogram::new(Unit::Seconds, exponential(start, factor, count))
    }

    /// The same in milliseconds.
    pub(crate) fn milliseconds(start: f64, factor: f64, count: usize) -> Histogram {
        Histogram::new(Unit::Milliseconds, exponential(start, factor, count))
    }

    /// A histogram in seconds with the default bounds of Prometheus' Go library.
    pub(crate) fn with_default_bounds() -> Histogram {
        let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        Histogram::new(Unit::Seconds, bounds.to_vec())
    }

    fn new(unit: Unit, bounds: Vec<f64>) -> Histogram {
        Histogram {
            unit,
            counts: bounds.iter().map(|_| AtomicU64::new(0)).collect(),
            bounds: bounds.into(),
            total: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a duration.
    pub(crate) fn observe(&self, duration: Duration) {
        let value = self.in_unit(duration);
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Relaxed);
        }
        let more = |sum: u64| Some((f64::from_bits(sum) + value).to_bits());
        // The update never fails, since the closure always returns a value.
        _ = self.sum.fetch_update(Relaxed, Relaxed, more);
        self.total.fetch_add(1, Relaxed);
    }

    pub(super) fn value(&self) -> Value {
        // The total is read first: observations that come meanwhile must not make a bucket larger than the total.
        let total = self.total.load(Relaxed);
        let mut below = 0;
        let cumulative = self.bounds.iter().zip(&self.counts).map(|(bound, count)| {
            below += count.load(Relaxed);
            (*bound, below.min(total))
        });
        let cumulative = cumulative.collect();
        let sum = f64::from_bits(self.sum.load(Relaxed));
        Value::Histogram { cumulative, sum, count: total }
    }

    fn in_unit(&self, duration: Duration) -> f64 {
        match self.unit {
            Unit::Seconds => duration.as_secs_f64(),
            Unit::Milliseconds => duration.as_nanos() as f64 / 1e6,
        }
    }
}

fn exponential(start: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(start), |bound| Some(bound * factor)).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::seconds(0.001, 2.0, 3);
        for micros in [0, 999, 1_000, 1_001, 2_000, 4_000, 4_001, 60_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let Value::Histogram { cumulative, sum, count } = histogram.value() else { unreachable!() };
        assert_eq!(cumulative, [(0.001, 3), (0.002, 5), (0.004, 6)]);
        assert_eq!(count, 8);
        assert!((sum - 60.013_001).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn milliseconds_are_milliseconds() {
        let histogram = Histogram::milliseconds(1.0, 2.0, 2);
        histogram.observe(Duration::from_micros(1_500));
        let Value::Histogram { cumulative, sum, .. } = histogram.value() else { unreachable!() };
        assert_eq!((cumulative, sum), (vec![(1.0, 0), (2.0, 1)], 1.5));
    }
}
