//! The series that were scraped or recorded: samples by label set over virtual milliseconds.
//!
//! A series that ends is marked stale, so that queries drop it at once and do not wait out the look-back. Samples come in
//! time's order; an older one is refused, and so is another value for a moment that has one, as Prometheus' storage does.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    labels::Labels,
    query::{Matcher, only_metric},
    rules::Horizons,
};

/// A value at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The moment, in virtual milliseconds.
    pub at_ms: i64,
    /// The value.
    pub value: f64,
}

/// The NaN that ends a series.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether a value is the mark that ends a series; no other NaN is.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// A series: its labels and its samples by time.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its labels, the name among them.
    pub labels: Labels,
    /// Its samples, each later than the one before.
    pub samples: Vec<Sample>,
    /// The moment since which every sample has had the value of the newest one.
    constant_since_ms: i64,
    /// How long a sample is kept at least, in milliseconds; `None`: for ever.
    kept_ms: Option<i64>,
}

/// A series' place in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesId(usize);

/// Why a sample is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The series has a later sample.
    #[error("{labels} at {at_ms} ms: the series has a sample at {last_ms} ms already")]
    OutOfOrder {
        /// The series.
        labels: String,
        /// When the sample was taken.
        at_ms: i64,
        /// When the series' last one was.
        last_ms: i64,
    },
    /// The series has another value at that moment.
    #[error("{labels} at {at_ms} ms: the series has another value at that moment")]
    Duplicate {
        /// The series.
        labels: String,
        /// When both were taken.
        at_ms: i64,
    },
}

/// All series.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// How long samples are kept; `None`: for ever.
    horizons: Option<Horizons>,
    series: Vec<Series>,
    by_labels: BTreeMap<Labels, usize>,
    by_name: BTreeMap<Arc<str>, Vec<usize>>,
}

impl Store {
    /// One that forgets the samples that no rule looks back at any more: a long run that exports nothing needs no others.
    pub fn forgetting(horizons: Horizons) -> Self {
        Self { horizons: Some(horizons), ..Self::default() }
    }

    /// Adds a sample.
    pub fn append(&mut self, labels: &Labels, at_ms: i64, value: f64) -> Result<(), AppendError> {
        let id = self.id(labels);
        self.append_to(id, at_ms, value)
    }

    /// The series of these labels, made where there is none: who scrapes thousands of series looks each up once.
    pub fn id(&mut self, labels: &Labels) -> SeriesId {
        if let Some(at) = self.by_labels.get(labels) {
            return SeriesId(*at);
        }
        let at = self.series.len();
        self.by_labels.insert(labels.clone(), at);
        self.by_name.entry(labels.metric().into()).or_default().push(at);
        let kept_ms = self.horizons.as_ref().map(|horizons| horizons.of_metric(labels.metric()));
        self.series.push(Series {
            labels: labels.clone(),
            samples: Vec::new(),
            constant_since_ms: i64::MIN,
            kept_ms,
        });
        SeriesId(at)
    }

    /// Adds a sample to a series of this store.
    ///
    /// # Panics
    /// Where the series is another store's.
    pub fn append_to(&mut self, id: SeriesId, at_ms: i64, value: f64) -> Result<(), AppendError> {
        let Series { labels, samples, constant_since_ms, kept_ms } = &mut self.series[id.0];
        match samples.last() {
            Some(last) if last.at_ms == at_ms => {
                if last.value.to_bits() == value.to_bits() {
                    Ok(())
                } else {
                    Err(AppendError::Duplicate { labels: labels.to_string(), at_ms })
                }
            }
            Some(last) if last.at_ms > at_ms => {
                Err(AppendError::OutOfOrder { labels: labels.to_string(), at_ms, last_ms: last.at_ms })
            }
            last => {
                if last.is_none_or(|last| last.value.to_bits() != value.to_bits()) {
                    *constant_since_ms = at_ms;
                }
                // Before more room is taken, what is too old gives its own.
                if let Some(kept_ms) = kept_ms
                    && samples.len() == samples.capacity()
                {
                    let old = samples.partition_point(|sample| sample.at_ms < at_ms - *kept_ms);
                    samples.drain(..old);
                }
                samples.push(Sample { at_ms, value });
                Ok(())
            }
        }
    }

    /// All series, in the order in which they appeared.
    pub fn all(&self) -> &[Series] {
        &self.series
    }

    /// The series that meet all conditions, in the order in which they appeared, each with its place in [`Store::all`].
    pub fn select<'a>(&'a self, matchers: &'a [Matcher]) -> impl Iterator<Item = (usize, &'a Series)> {
        let few = only_metric(matchers).map(|name| self.by_name.get(name).map_or(&[][..], Vec::as_slice));
        let all = if few.is_none() { 0..self.series.len() } else { 0..0 };
        few.unwrap_or_default()
            .iter()
            .copied()
            .chain(all)
            .map(|at| (at, &self.series[at]))
            .filter(move |(_, series)| matchers.iter().all(|matcher| matcher.accepts(&series.labels)))
    }
}

impl Series {
    /// The newest sample no later than a moment and no older than the look-back, unless the series has ended.
    pub fn newest(&self, at_ms: i64, look_back_ms: i64) -> Option<Sample> {
        let sample = *self.samples.get(self.end(at_ms).checked_sub(1)?)?;
        (sample.at_ms >= at_ms - look_back_ms && !is_stale(sample.value)).then_some(sample)
    }

    /// The samples of a stretch of time, both ends included. Stale marks are among them.
    pub fn between(&self, from_ms: i64, to_ms: i64) -> &[Sample] {
        let begin = self.samples.partition_point(|sample| sample.at_ms < from_ms);
        self.samples.get(begin..self.end(to_ms)).unwrap_or_default()
    }

    /// How many samples are not later than a moment. Mostly that is all of them.
    fn end(&self, at_ms: i64) -> usize {
        match self.samples.last() {
            Some(last) if last.at_ms > at_ms => self.samples.partition_point(|sample| sample.at_ms <= at_ms),
            _ => self.samples.len(),
        }
    }

    /// Whether a stretch of time, both ends included, has at least two samples, all with the same finite value, and
    /// reaches to the newest sample. It costs no search: most counters of a member never move. `false` may also mean
    /// that this is not known.
    pub fn is_constant(&self, from_ms: i64, to_ms: i64) -> bool {
        let [.., before, last] = &self.samples[..] else { return false };
        last.at_ms <= to_ms
            && before.at_ms >= from_ms
            && self.constant_since_ms <= from_ms
            && last.value.is_finite()
    }

    /// The values at the multiples of an interval, from moment 0 on; `None` where there is no sample.
    ///
    /// # Errors
    /// The moment of a sample that lies on no multiple.
    pub fn by_interval(&self, interval_ms: i64) -> Result<Vec<Option<f64>>, i64> {
        let mut values = Vec::new();
        for Sample { at_ms, value } in &self.samples {
            if *at_ms < 0 || at_ms % interval_ms != 0 {
                return Err(*at_ms);
            }
            values.resize(usize::try_from(at_ms / interval_ms).unwrap_or(usize::MAX), None);
            values.push(Some(*value));
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::NAME;

    #[test]
    fn time_goes_forward_and_a_moment_has_one_value() {
        let mut store = Store::default();
        let up = Labels::of([(NAME, "up")]);
        store.append(&up, 10, 1.0).unwrap();
        store.append(&up, 10, 1.0).unwrap();
        assert!(matches!(store.append(&up, 10, 2.0), Err(AppendError::Duplicate { .. })));
        assert!(matches!(store.append(&up, 9, 1.0), Err(AppendError::OutOfOrder { .. })));
        assert_eq!(store.all()[0].samples.len(), 1);
    }

    #[test]
    fn a_stretch_is_constant_if_nothing_moved_in_it() {
        let mut store = Store::default();
        let up = Labels::of([(NAME, "up")]);
        for (at_ms, value) in [(10, 1.0), (20, 2.0), (30, 2.0), (40, 2.0)] {
            store.append(&up, at_ms, value).unwrap();
        }
        let constant = |store: &Store, from, to| store.all()[0].is_constant(from, to);
        assert!(constant(&store, 20, 40) && constant(&store, 30, 50));
        assert!(!constant(&store, 19, 40), "the value before may be within");
        assert!(!constant(&store, 31, 50), "one sample");
        assert!(!constant(&store, 20, 39), "what is newer may differ");
        store.append(&up, 50, STALE).unwrap();
        store.append(&up, 60, STALE).unwrap();
        assert!(!constant(&store, 50, 60), "the end of a series is no value");
    }

    #[test]
    fn the_newest_sample_is_within_the_look_back_and_before_the_end() {
        let mut store = Store::default();
        let up = Labels::of([(NAME, "up")]);
        store.append(&up, 1000, 1.0).unwrap();
        let newest = |store: &Store, at| store.all()[0].newest(at, 5000).map(|sample| sample.value);
        assert_eq!(newest(&store, 999), None);
        assert_eq!(newest(&store, 6000), Some(1.0));
        assert_eq!(newest(&store, 6001), None);
        store.append(&up, 3000, STALE).unwrap();
        assert_eq!((newest(&store, 2999), newest(&store, 3000)), (Some(1.0), None));
    }
}
