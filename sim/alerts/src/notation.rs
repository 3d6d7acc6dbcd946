//! promtool's notation of a series' values: `1 2 _ stale 0+10x5 _x3 -1.5-0.5x2`.
//!
//! `a+bxn` is a, a+b, …, n+1 values; `axn` is n+1 times a; `_` is no sample, `_xn` n times none.
//! Source: `series_description` in promql/parser/generated_parser.y.

use crate::{numbers, store::STALE};

/// One test may not ask for more values than this: a typo must not fill the memory.
const MOST: usize = 10_000_000;

/// The values of a series, one an interval; `None` is no sample.
pub fn values(text: &str) -> Result<Vec<Option<f64>>, String> {
    let mut found = Vec::new();
    for item in text.split_whitespace() {
        let wrong = || format!("{item:?} is none of 1, 0+10x5, 1x5, _, _x5, stale");
        if item == "stale" {
            found.push(Some(STALE));
            continue;
        }
        // A number may hold an x only as this mark: hexadecimal is not allowed here.
        let (what, times) = match item.rsplit_once('x') {
            Some((what, times)) => (what, Some(times.parse::<usize>().map_err(|_| wrong())?)),
            None => (item, None),
        };
        if times.unwrap_or(0) + found.len() >= MOST {
            return Err(format!("{item:?}: more than {MOST} values"));
        }
        if what == "_" {
            found.extend((0..times.unwrap_or(1)).map(|_| None));
            continue;
        }
        let (mut value, step) = match (plain(what), times) {
            // `Infx5` is one word to promtool's reader, and none that it knows.
            (Some(value), Some(_)) if !value.is_finite() => return Err(wrong()),
            (Some(value), _) => (value, None),
            (None, Some(_)) => stepped(what).map(|(value, step)| (value, Some(step))).ok_or_else(wrong)?,
            (None, None) => return Err(wrong()),
        };
        for _ in 0..=times.unwrap_or(0) {
            found.push(Some(value));
            if let Some(step) = step {
                value += step;
            }
        }
    }
    Ok(found)
}

/// Values in this notation, one by one: sums would round.
pub fn written(values: &[Option<f64>]) -> String {
    let text = |value: &Option<f64>| match value {
        None => "_".to_owned(),
        Some(value) if crate::store::is_stale(*value) => "stale".to_owned(),
        Some(value) => numbers::go_v(*value),
    };
    let mut items: Vec<String> = Vec::new();
    let mut at = 0;
    while at < values.len() {
        let same = |other: &Option<f64>| other.map(f64::to_bits) == values[at].map(f64::to_bits);
        let run = values[at..].iter().take_while(|other| same(other)).count();
        let word = values[at].is_some_and(|value| !value.is_finite());
        items.push(match (run, values[at]) {
            (1, _) => text(&values[at]),
            (_, None) => format!("_x{run}"),
            (_, Some(_)) if word => vec![text(&values[at]); run].join(" "),
            (_, Some(_)) => format!("{}x{}", text(&values[at]), run - 1),
        });
        at += run;
    }
    items.join(" ")
}

fn plain(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['+', '-']);
    let named = ["inf", "nan"].contains(&digits.to_ascii_lowercase().as_str());
    if !named && digits.starts_with(|c: char| c != '.' && !c.is_ascii_digit()) {
        return None;
    }
    numbers::float(text)
}

/// `a+b` or `a-b`, where `a` may have an exponent with a sign of its own.
fn stepped(text: &str) -> Option<(f64, f64)> {
    text.char_indices()
        .skip(1)
        .filter(|(_, c)| matches!(c, '+' | '-'))
        .find_map(|(at, _)| Some((plain(&text[..at])?, plain(&text[at..])?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_is_promtools() {
        let of = |text| values(text).unwrap();
        assert_eq!(of("1 _ -2"), [Some(1.0), None, Some(-2.0)]);
        assert_eq!(
            of("0+10x2 5x1 _x2"),
            [Some(0.0), Some(10.0), Some(20.0), Some(5.0), Some(5.0), None, None]
        );
        assert_eq!(of("1e+2-0.5x1 -1+1x1"), [Some(100.0), Some(99.5), Some(-1.0), Some(0.0)]);
        assert!(of("stale")[0].is_some_and(crate::store::is_stale));
        assert_eq!(of("Inf -Inf")[1], Some(f64::NEG_INFINITY));
        assert!(of("NaN")[0].is_some_and(f64::is_nan));
        for wrong in ["1+1", "x5", "1x", "a", "1+x5", "0x1F", "1x99999999999", "Infx1"] {
            assert!(values(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let all = [
            Some(0.1),
            Some(0.1),
            None,
            None,
            Some(STALE),
            Some(STALE),
            Some(f64::NAN),
            Some(1e-7),
            Some(-3e30),
        ];
        let bits =
            |values: &[Option<f64>]| -> Vec<_> { values.iter().map(|v| v.map(f64::to_bits)).collect() };
        assert_eq!(bits(&values(&written(&all)).unwrap()), bits(&all));
        assert_eq!(written(&all[..4]), "0.1x1 _x2");
    }
}
