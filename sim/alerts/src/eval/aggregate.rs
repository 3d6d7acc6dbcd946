//! Aggregations: groups of elements to one value, or to some of their elements.

use std::cmp::Ordering;

use super::{
    Element, EvalError, Value,
    memo::{self, Place},
};
use crate::{
    labels::Labels,
    numbers::go_f,
    query::{Aggregation, Grouping},
};

/// What has been seen of a group.
struct Group {
    labels: Labels,
    value: f64,
    mean: f64,
    count: usize,
    /// The elements of those aggregations that keep or need them.
    members: Vec<Element>,
}

/// The value of an aggregation; groups come in the order in which their first element does.
pub fn apply(
    aggregation: Aggregation,
    parameter: Option<Value>,
    grouping: &Grouping,
    mut elements: Vec<Element>,
    place: Place<'_>,
) -> Result<Vec<Element>, EvalError> {
    let number = if let Some(Value::Scalar(number)) = parameter { number } else { f64::NAN };
    let mut keep = 0;
    if matches!(aggregation, Aggregation::Topk | Aggregation::Bottomk) {
        if !(-9.223_372_036_854_775e18..=9.223_372_036_854_774e18).contains(&number) {
            return Err(EvalError(format!("Scalar value {number} overflows int64")));
        }
        if number < 1.0 {
            return Ok(Vec::new());
        }
        keep = number as usize;
    }
    let grouped = if aggregation == Aggregation::CountValues {
        // The value is one of the labels, so the groups are others each time.
        let counted = if let Some(Value::Text(label)) = &parameter { label.as_str() } else { "" };
        let mut grouping = grouping.clone();
        if !grouping.without {
            grouping.labels.push(counted.into());
        }
        for element in &mut elements {
            element.labels = element.labels.with(counted, &go_f(element.value));
        }
        memo::grouped(None, &grouping, &elements)
    } else {
        memo::grouped(place, grouping, &elements)
    };
    let mut groups: Vec<Group> = Vec::with_capacity(grouped.groups.len());
    for (element, at) in elements.into_iter().zip(&grouped.group_of) {
        match groups.get_mut(*at) {
            Some(group) => group.add(aggregation, keep, element),
            None => groups.push(Group::new(aggregation, grouped.groups[*at].clone(), element)),
        }
    }
    Ok(groups.into_iter().flat_map(|group| group.result(aggregation, number)).collect())
}

impl Group {
    fn new(aggregation: Aggregation, labels: Labels, element: Element) -> Self {
        let value = match aggregation {
            Aggregation::Stddev | Aggregation::Stdvar => 0.0,
            Aggregation::Group => 1.0,
            _ => element.value,
        };
        let keeps = matches!(aggregation, Aggregation::Topk | Aggregation::Bottomk | Aggregation::Quantile);
        let mean = element.value;
        Self { labels, value, mean, count: 1, members: if keeps { vec![element] } else { Vec::new() } }
    }

    fn add(&mut self, aggregation: Aggregation, keep: usize, element: Element) {
        let value = element.value;
        self.count += 1;
        match aggregation {
            Aggregation::Sum => self.value += value,
            Aggregation::Avg => {
                // An infinite mean stays, whatever finite value or infinity of its sign follows.
                let same_sign = value.is_infinite() && (self.mean > 0.0) == (value > 0.0);
                if !(self.mean.is_infinite() && (same_sign || value.is_finite())) {
                    let count = self.count as f64;
                    self.mean += value / count - self.mean / count;
                }
            }
            Aggregation::Max => {
                if self.value < value || self.value.is_nan() {
                    self.value = value;
                }
            }
            Aggregation::Min => {
                if self.value > value || self.value.is_nan() {
                    self.value = value;
                }
            }
            Aggregation::Stddev | Aggregation::Stdvar => {
                let delta = value - self.mean;
                self.mean += delta / self.count as f64;
                self.value += delta * (value - self.mean);
            }
            Aggregation::Quantile => self.members.push(element),
            Aggregation::Topk => self.keep(element, keep, nan_least),
            Aggregation::Bottomk => self.keep(element, keep, |a, b| nan_least(-a, -b)),
            Aggregation::Count | Aggregation::CountValues | Aggregation::Group => {}
        }
    }

    /// Keeps the element if there is room or the least of those kept is less; NaN is less than all, another NaN too.
    fn keep(&mut self, element: Element, keep: usize, order: impl Fn(f64, f64) -> Ordering) {
        if self.members.len() < keep {
            self.members.push(element);
            return;
        }
        let least =
            (0..self.members.len()).min_by(|a, b| order(self.members[*a].value, self.members[*b].value));
        if let Some(least) = least.map(|at| &mut self.members[at])
            && (least.value.is_nan() || order(least.value, element.value) == Ordering::Less)
        {
            *least = element;
        }
    }

    fn result(mut self, aggregation: Aggregation, parameter: f64) -> Vec<Element> {
        let value = match aggregation {
            Aggregation::Topk | Aggregation::Bottomk => {
                let sign = if aggregation == Aggregation::Topk { 1.0 } else { -1.0 };
                self.members.sort_by(|a, b| nan_least(sign * b.value, sign * a.value));
                return self.members;
            }
            Aggregation::Avg => self.mean,
            Aggregation::Count | Aggregation::CountValues => self.count as f64,
            Aggregation::Stdvar => self.value / self.count as f64,
            Aggregation::Stddev => (self.value / self.count as f64).sqrt(),
            Aggregation::Quantile => quantile(parameter, self.members.iter().map(|m| m.value).collect()),
            Aggregation::Sum | Aggregation::Min | Aggregation::Max | Aggregation::Group => self.value,
        };
        vec![Element { labels: self.labels, value }]
    }
}

/// By value, NaN before all.
fn nan_least(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// The quantile of some values: between two of them, their mean by the distance to each.
pub fn quantile(q: f64, mut values: Vec<f64>) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    values.sort_by(|a, b| nan_least(*a, *b));
    let rank = q * (values.len() - 1) as f64;
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}
