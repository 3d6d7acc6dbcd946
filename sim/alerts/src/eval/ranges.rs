//! Functions of a stretch of samples: what a counter or gauge did over time.

use super::aggregate::quantile;
use crate::store::Sample;

/// The stretch of time that a function looks at.
pub struct Window {
    /// The moment of the evaluation.
    pub at_ms: i64,
    /// How long the stretch is.
    pub range_ms: i64,
    /// How far before the moment it ends.
    pub offset_ms: i64,
}

impl Window {
    /// Its first moment.
    pub fn begin_ms(&self) -> i64 {
        self.end_ms() - self.range_ms
    }

    /// Its last moment.
    pub fn end_ms(&self) -> i64 {
        self.at_ms - self.offset_ms
    }
}

/// A function of the samples of one series, never empty, and of the call's other argument. `None`: no element.
pub type RangeFunction = fn(&Window, &[Sample], f64) -> Option<f64>;

/// The function of this name.
pub fn function(name: &str) -> Option<RangeFunction> {
    Some(match name {
        "rate" => |window, samples, _| extrapolated(window, samples, true, true),
        "increase" => |window, samples, _| extrapolated(window, samples, true, false),
        "delta" => |window, samples, _| extrapolated(window, samples, false, false),
        "irate" => |_, samples, _| last_two(samples, true),
        "idelta" => |_, samples, _| last_two(samples, false),
        "deriv" => |_, samples, _| Some(regression(samples, samples.first()?.at_ms)?.0),
        "predict_linear" => |window, samples, ahead| {
            let (slope, now) = regression(samples, window.at_ms)?;
            Some(slope * ahead + now)
        },
        "changes" => |_, samples, _| {
            let changed = |pair: &&[Sample]| {
                pair[1].value != pair[0].value && !(pair[0].value.is_nan() && pair[1].value.is_nan())
            };
            Some(samples.windows(2).filter(changed).count() as f64)
        },
        "resets" => |_, samples, _| {
            Some(samples.windows(2).filter(|pair| pair[1].value < pair[0].value).count() as f64)
        },
        "avg_over_time" => |_, samples, _| Some(average(samples)),
        "sum_over_time" => |_, samples, _| Some(Sum::of(samples.iter().map(|sample| sample.value))),
        "count_over_time" => |_, samples, _| Some(samples.len() as f64),
        "present_over_time" => |_, _, _| Some(1.0),
        "last_over_time" => |_, samples, _| samples.last().map(|sample| sample.value),
        "max_over_time" => |_, samples, _| {
            samples.iter().map(|s| s.value).reduce(|max, v| if v > max || max.is_nan() { v } else { max })
        },
        "min_over_time" => |_, samples, _| {
            samples.iter().map(|s| s.value).reduce(|min, v| if v < min || min.is_nan() { v } else { min })
        },
        "quantile_over_time" => |_, samples, q| Some(quantile(q, samples.iter().map(|s| s.value).collect())),
        "stdvar_over_time" => |_, samples, _| Some(variance(samples)),
        "stddev_over_time" => |_, samples, _| Some(variance(samples).sqrt()),
        _ => return None,
    })
}

/// The value of the function of this name over two or more samples with one finite value, if it is always the same.
pub fn of_constant(name: &str) -> Option<f64> {
    matches!(name, "rate" | "increase" | "delta" | "irate" | "idelta" | "changes" | "resets").then_some(0.0)
}

/// The difference of the last and the first sample, with a counter's resets added, extrapolated to the ends of the
/// stretch where a sample lies near enough to them to believe that the series went on.
fn extrapolated(window: &Window, samples: &[Sample], counter: bool, per_second: bool) -> Option<f64> {
    let [first, .., last] = samples else { return None };
    let mut result = last.value - first.value;
    if counter {
        // What a reset took away.
        for pair in samples.windows(2) {
            if pair[1].value < pair[0].value {
                result += pair[0].value;
            }
        }
    }
    let (begin_ms, end_ms) = (window.begin_ms(), window.end_ms());
    let mut to_begin = (first.at_ms - begin_ms) as f64 / 1000.0;
    let to_end = (end_ms - last.at_ms) as f64 / 1000.0;
    let sampled = (last.at_ms - first.at_ms) as f64 / 1000.0;
    let between = sampled / (samples.len() - 1) as f64;
    if counter && result > 0.0 && first.value >= 0.0 {
        // A counter began at zero at the earliest: no extrapolation to below it.
        let to_zero = sampled * (first.value / result);
        if to_zero < to_begin {
            to_begin = to_zero;
        }
    }
    let near = between * 1.1;
    let mut covered = sampled;
    covered += if to_begin < near { to_begin } else { between / 2.0 };
    covered += if to_end < near { to_end } else { between / 2.0 };
    let mut factor = covered / sampled;
    if per_second {
        factor /= window.range_ms as f64 / 1000.0;
    }
    Some(result * factor)
}

fn last_two(samples: &[Sample], rate: bool) -> Option<f64> {
    let [.., before, last] = samples else { return None };
    let reset = rate && last.value < before.value;
    let difference = if reset { last.value } else { last.value - before.value };
    let ms = last.at_ms - before.at_ms;
    match ms {
        0 => None,
        _ if rate => Some(difference / (ms as f64 / 1000.0)),
        _ => Some(difference),
    }
}

/// A sum that keeps what rounding would lose (Kahan, in Neumaier's variant).
#[derive(Clone, Copy, Default)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        if self.sum.abs() >= value.abs() {
            self.lost += (self.sum - sum) + value;
        } else {
            self.lost += (value - sum) + self.sum;
        }
        self.sum = sum;
    }

    fn total(self) -> f64 {
        self.sum + self.lost
    }

    fn of(values: impl Iterator<Item = f64>) -> f64 {
        let mut sum = Self::default();
        values.for_each(|value| sum.add(value));
        if sum.sum.is_infinite() { sum.sum } else { sum.total() }
    }
}

fn average(samples: &[Sample]) -> f64 {
    let (mut mean, mut count) = (Sum::default(), 0.0);
    for Sample { value, .. } in samples {
        count += 1.0;
        // An infinite mean stays, whatever finite value or infinity of its sign follows.
        let same_sign = value.is_infinite() && (mean.sum > 0.0) == (*value > 0.0);
        if mean.sum.is_infinite() && (same_sign || value.is_finite()) {
            continue;
        }
        mean.add(value / count - mean.sum / count);
    }
    if mean.sum.is_infinite() { mean.sum } else { mean.total() }
}

fn variance(samples: &[Sample]) -> f64 {
    let (mut mean, mut squares, mut count) = (Sum::default(), Sum::default(), 0.0);
    for Sample { value, .. } in samples {
        count += 1.0;
        let delta = value - mean.total();
        mean.add(delta / count);
        squares.add(delta * (value - mean.total()));
    }
    squares.total() / count
}

/// The slope of the straight line nearest to the samples, by least squares, and its height at a moment.
fn regression(samples: &[Sample], at_ms: i64) -> Option<(f64, f64)> {
    let [first, _, ..] = samples else { return None };
    if samples.iter().all(|sample| sample.value == first.value) {
        let infinite = first.value.is_infinite();
        return Some(if infinite { (f64::NAN, f64::NAN) } else { (0.0, first.value) });
    }
    let n = samples.len() as f64;
    let [mut x_sum, mut y_sum, mut xy_sum, mut xx_sum] = [Sum::default(); 4];
    for Sample { at_ms: sampled_ms, value: y } in samples {
        let x = (sampled_ms - at_ms) as f64 / 1000.0;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let [x, y, xy, xx] = [x_sum, y_sum, xy_sum, xx_sum].map(Sum::total);
    let slope = (xy - x * y / n) / (xx - x * x / n);
    Some((slope, y / n - slope * x / n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_moves_has_the_value_that_the_function_computes() {
        let window = Window { at_ms: 60_000, range_ms: 60_000, offset_ms: 0 };
        for value in [0.0, 7.5, -3.0, 1e300] {
            let samples: Vec<Sample> = (1..4).map(|at| Sample { at_ms: at * 15_000, value }).collect();
            for name in ["rate", "increase", "delta", "irate", "idelta", "changes", "resets"] {
                let computed = function(name).unwrap()(&window, &samples, 0.0).unwrap();
                assert_eq!(of_constant(name).unwrap().to_bits(), computed.to_bits(), "{name} of {value}");
            }
        }
        assert_eq!(of_constant("max_over_time"), None);
    }
}
