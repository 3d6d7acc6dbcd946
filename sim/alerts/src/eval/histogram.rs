//! `histogram_quantile`: a quantile out of the counts of buckets, straight within each.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Element,
    memo::{self, Place},
};
use crate::{labels::Labels, numbers};

#[derive(Clone, Copy)]
struct Bucket {
    /// The largest value that counts, the label `le`.
    upper: f64,
    /// How many observations were no larger.
    count: f64,
}

/// Which elements are the buckets of which histogram. An element whose `le` is no number belongs to none.
#[derive(Debug)]
pub struct Layout {
    /// The elements that it was found for.
    pub elements: Vec<Labels>,
    histograms: Vec<Histogram>,
}

#[derive(Debug)]
struct Histogram {
    /// The labels of its quantile.
    labels: Labels,
    /// The places of its buckets among the elements, and their bounds.
    buckets: Vec<(usize, f64)>,
}

impl Layout {
    /// That of these elements.
    pub fn find(elements: &[Element]) -> Self {
        // By labels with the name: two histograms of different names are two, and collide only in the result.
        let mut histograms: BTreeMap<Labels, Vec<(usize, f64)>> = BTreeMap::new();
        for (at, Element { labels, .. }) in elements.iter().enumerate() {
            let Some(upper) = numbers::float(labels.get("le")) else { continue };
            histograms.entry(labels.retain(|name| name != "le")).or_default().push((at, upper));
        }
        let le: [Arc<str>; 1] = ["le".into()];
        let histograms = histograms
            .into_iter()
            .map(|(labels, buckets)| Histogram { labels: labels.without(&le), buckets });
        Self { elements: memo::labels_of(elements), histograms: histograms.collect() }
    }
}

/// The quantile of each histogram among the elements.
pub fn quantiles(q: f64, elements: &[Element], place: Place<'_>) -> Vec<Element> {
    let layout = memo::histograms(place, elements);
    let value = |Histogram { labels, buckets }: &Histogram| {
        let buckets = buckets.iter().map(|(at, upper)| Bucket { upper: *upper, count: elements[*at].value });
        Element { labels: labels.clone(), value: quantile(q, buckets.collect()) }
    };
    layout.histograms.iter().map(value).collect()
}

fn quantile(q: f64, mut buckets: Vec<Bucket>) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    buckets.sort_by(|a, b| a.upper.partial_cmp(&b.upper).unwrap_or(std::cmp::Ordering::Equal));
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return f64::NAN;
    }
    // Buckets of one bound written in two ways are one.
    let mut merged: Vec<Bucket> = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        match merged.last_mut() {
            Some(last) if last.upper == bucket.upper => last.count += bucket.count,
            _ => merged.push(bucket),
        }
    }
    // Counts grow with the bound. A rate that missed a sample may break that, and the search below needs it.
    let mut most = merged[0].count;
    for bucket in &mut merged[1..] {
        if bucket.count > most {
            most = bucket.count;
        } else if bucket.count < most {
            bucket.count = most;
        }
    }
    let [below @ .., last] = &merged[..] else { return f64::NAN };
    let Some(highest) = below.last() else { return f64::NAN };
    if last.count == 0.0 {
        return f64::NAN;
    }
    let mut rank = q * last.count;
    // A search by halves, as Go's: with NaN among the counts the result depends on it.
    let at = below.partition_point_go(|bucket| bucket.count >= rank);
    let Some(bucket) = below.get(at) else { return highest.upper };
    if at == 0 && bucket.upper <= 0.0 {
        return bucket.upper;
    }
    let (mut begin, mut count) = (0.0, bucket.count);
    if let Some(before) = at.checked_sub(1).map(|before| below[before]) {
        begin = before.upper;
        count -= before.count;
        rank -= before.count;
    }
    begin + (bucket.upper - begin) * (rank / count)
}

trait GoSearch<T> {
    /// Go's `sort.Search`: the first element for which the condition holds, if it holds for all after it.
    fn partition_point_go(&self, holds: impl Fn(&T) -> bool) -> usize;
}

impl<T> GoSearch<T> for [T] {
    fn partition_point_go(&self, holds: impl Fn(&T) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if holds(&self[middle]) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(q: f64, buckets: &[(f64, f64)]) -> f64 {
        quantile(q, buckets.iter().map(|(upper, count)| Bucket { upper: *upper, count: *count }).collect())
    }

    #[test]
    fn a_quantile_is_straight_within_its_bucket() {
        let buckets = [(0.1, 10.0), (0.2, 20.0), (f64::INFINITY, 20.0)];
        assert_eq!(of(0.5, &buckets), 0.1);
        assert!((of(0.75, &buckets) - 0.15).abs() < 1e-12);
        assert_eq!(of(2.0, &buckets), f64::INFINITY);
        assert_eq!(of(-1.0, &buckets), f64::NEG_INFINITY);
    }

    #[test]
    fn without_observations_or_a_last_bucket_there_is_no_quantile() {
        assert!(of(0.5, &[(0.1, 1.0)]).is_nan());
        assert!(of(0.5, &[(f64::INFINITY, 1.0)]).is_nan());
        assert!(of(0.5, &[(0.1, 0.0), (f64::INFINITY, 0.0)]).is_nan());
        assert_eq!(of(0.99, &[(0.1, 0.0), (f64::INFINITY, 5.0)]), 0.1);
    }
}
