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
        self.series.push(Series { labels: labels.clone(), samples: Vec::new(), kept_ms });
        SeriesId(at)
    }

    /// Adds a sample to a series of this store.
    ///
    /// # Panics
    /// Where the series is another store's.
    pub fn append_to(&mut self, id: SeriesId, at_ms: i64, value: f64) -> Result<(), AppendError> {
        let Series { labels, samples, kept_ms } = &mut self.series[id.0];
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
            _ => {
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
        let later = self.samples.partition_point(|sample| sample.at_ms <= at_ms);
        let sample = *self.samples.get(later.checked_sub(1)?)?;
        (sample.at_ms >= at_ms - look_back_ms && !is_stale(sample.value)).then_some(sample)
    }

    /// The samples of a stretch of time, both ends included. Stale marks are among them.
    pub fn between(&self, from_ms: i64, to_ms: i64) -> &[Sample] {
        let begin = self.samples.partition_point(|sample| sample.at_ms < from_ms);
        let end = self.samples.partition_point(|sample| sample.at_ms <= to_ms);
        self.samples.get(begin..end).unwrap_or_default()
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
