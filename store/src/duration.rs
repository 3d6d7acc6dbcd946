//! Durations in Go's form (`time.ParseDuration`), which etcd's flags and Squall's files use: `1h30m`, `250ms`,
//! `1.5s`; a bare `0` is zero.
//!
//! One or more decimal numbers, each with a unit of `ns us µs ms s m h`, read exactly. A sign and fractions of a
//! nanosecond are refused: Go allows them, but they have no use here.

use std::time::Duration;

/// Units, in nanoseconds.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Malformed {
    /// The text is empty.
    Empty,
    /// The text begins with a minus sign. Holds the text after the sign.
    Negative(String),
    /// A number is missing.
    NoNumber,
    /// A number has no unit.
    NoUnit,
    /// A number has this unknown unit.
    UnknownUnit(String),
    /// It is longer than 584 years, or finer than a nanosecond.
    OutOfRange,
}

/// Reads a duration.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Duration, Malformed> {
    if text.is_empty() {
        return Err(Malformed::Empty);
    }
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if let Some(rest) = text.strip_prefix('-') {
        return Err(Malformed::Negative(rest.to_owned()));
    }
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        if number.is_empty() || number == "." {
            return Err(Malformed::NoNumber);
        }
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_end);
        if unit.is_empty() {
            return Err(Malformed::NoUnit);
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(Malformed::UnknownUnit(unit.to_owned()));
        };
        let nanos = scaled(number, *scale).ok_or(Malformed::OutOfRange)?;
        total = total.checked_add(nanos).ok_or(Malformed::OutOfRange)?;
        rest = next;
    }
    Ok(Duration::from_nanos(total))
}

/// `number` (decimal, perhaps with a fraction) times `scale`; `None` if the result is not exact or out of range.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(scale)?;
    let mut unit = scale;
    for digit in fraction.chars() {
        let digit = u64::from(digit.to_digit(10)?);
        if !unit.is_multiple_of(10) {
            // Each digit divides the scale by ten. When the scale no longer divides evenly, the digit is below a
            // nanosecond.
            if digit == 0 {
                continue;
            }
            return None;
        }
        unit /= 10;
        nanos = nanos.checked_add(digit * unit)?;
    }
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("0s", Ok(0)),
            ("10s", Ok(10_000_000_000)),
            ("1.5s", Ok(1_500_000_000)),
            ("1h30m", Ok(5_400_000_000_000)),
            ("250ms", Ok(250_000_000)),
            ("1s1ns", Ok(1_000_000_001)),
            (".5s", Ok(500_000_000)),
            ("", Err(Malformed::Empty)),
            ("5", Err(Malformed::NoUnit)),
            ("s", Err(Malformed::NoNumber)),
            ("-1s", Err(Malformed::Negative("1s".to_owned()))),
            ("5 s", Err(Malformed::UnknownUnit(" s".to_owned()))),
            ("5y", Err(Malformed::UnknownUnit("y".to_owned()))),
            ("1.5ns", Err(Malformed::OutOfRange)),
            ("99999999999h", Err(Malformed::OutOfRange)),
        ] {
            assert_eq!(parse(text), expected.map(Duration::from_nanos), "{text:?}");
        }
    }
}
