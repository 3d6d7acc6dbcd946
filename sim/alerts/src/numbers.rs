//! Numbers and durations as Prometheus reads and Go writes them.
//!
//! An alert's text carries its value as Go prints a float, and `count_values` makes a label of one, so the shape matters:
//! shortest digits, an exponent of at least two digits, `+Inf`. Source: Go's strconv (`FormatFloat` with `'g'`, `'f'` and
//! `'e'`), prometheus/common `model.ParseDuration`.

/// Milliseconds of a duration in Prometheus' notation: `1h30m`, `500ms`, `0`. Units must fall, and each stands once.
pub fn duration_ms(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no duration: expected, for example, 30s, 5m or 1h30m");
    if text == "0" {
        return Ok(0);
    }
    let units: [(&str, i64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let (mut rest, mut sum, mut next) = (text, 0_i64, 0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0).ok_or_else(wrong)?;
        let count: i64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = &rest[..rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len())];
        let at =
            units.iter().position(|(name, _)| *name == unit).filter(|at| *at >= next).ok_or_else(wrong)?;
        let part = count.checked_mul(units[at].1).and_then(|part| sum.checked_add(part));
        // Go counts nanoseconds in 64 bits: about 292 years.
        sum = part.filter(|sum| *sum < i64::MAX / 1_000_000).ok_or_else(wrong)?;
        (rest, next) = (&rest[unit.len()..], at + 1);
    }
    if text.is_empty() { Err(wrong()) } else { Ok(sum) }
}

/// A duration in Prometheus' notation.
pub fn duration_text(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let (mut rest, mut text) = (ms, String::new());
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if rest >= size {
            text += &format!("{}{unit}", rest / size);
            rest %= size;
        }
    }
    text
}

/// A number as a query may write it: decimal, hexadecimal, octal with a leading 0, `Inf`, `NaN`.
pub fn number(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok().map(|n| n as f64);
    }
    if let Some(digits) = lower.strip_prefix('0').filter(|d| !d.is_empty())
        && let Ok(n) = i64::from_str_radix(digits, 8)
    {
        return Some(n as f64);
    }
    float(text)
}

/// A float as Go's `ParseFloat` reads it.
pub fn float(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['+', '-']);
    if text.len() - digits.len() > 1 || text.contains('_') || text.contains(char::is_whitespace) {
        return None;
    }
    text.parse().ok()
}

/// A float as Go's `%v` prints it: shortest digits, an exponent below 1e-4 and from 1e6 on.
pub fn go_v(value: f64) -> String {
    go_g(value, None)
}

/// A float as Go's `FormatFloat(v, 'f', -1, 64)` prints it: shortest digits, no exponent.
pub fn go_f(value: f64) -> String {
    special(value).unwrap_or_else(|| format!("{value}"))
}

/// A float as Go's `%.Nf` prints it.
pub fn go_fixed(value: f64, digits: usize) -> String {
    special(value).unwrap_or_else(|| format!("{value:.digits$}"))
}

/// A float as Go's `%.Ne` prints it, or `%e` of the shortest digits.
pub fn go_e(value: f64, digits: Option<usize>) -> String {
    special(value).unwrap_or_else(|| {
        let text = match digits {
            Some(digits) => format!("{value:.digits$e}"),
            None => format!("{value:e}"),
        };
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    })
}

/// A float as Go's `%g` or `%.Ng` prints it: an exponent below 1e-4 and from the precision on.
pub fn go_g(value: f64, precision: Option<usize>) -> String {
    special(value).unwrap_or_else(|| {
        if value == 0.0 {
            return if value.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
        }
        // The exponent after rounding to the precision: 9999.6 at four digits is 1.0e4.
        let digits = precision.map(|digits| digits.max(1) - 1);
        let scientific = match digits {
            Some(digits) => format!("{value:.digits$e}"),
            None => format!("{value:e}"),
        };
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let limit = precision.map_or(6, |digits| digits.max(1) as i32);
        let trimmed = if mantissa.contains('.') {
            mantissa.trim_end_matches('0').trim_end_matches('.')
        } else {
            mantissa
        };
        if exponent < -4 || exponent >= limit {
            return format!("{trimmed}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
        }
        match digits {
            None => format!("{value}"),
            Some(digits) => {
                let after = usize::try_from(digits as i32 - exponent).unwrap_or(0);
                let text = format!("{value:.after$}");
                if text.contains('.') {
                    text.trim_end_matches('0').trim_end_matches('.').to_owned()
                } else {
                    text
                }
            }
        }
    })
}

fn special(value: f64) -> Option<String> {
    if value.is_nan() {
        Some("NaN".to_owned())
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned())
    } else {
        None
    }
}

/// A string in quotes as Go's `%q` writes it, for what labels hold.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            '\t' => quoted += "\\t",
            c if c.is_control() => quoted += &format!("\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Go's `math.Max`: an infinity beats NaN.
pub fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`: a negative infinity beats NaN.
pub fn go_min(a: f64, b: f64) -> f64 {
    -go_max(-a, -b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_falling_units() {
        for (text, ms) in [("0", 0), ("15m", 900_000), ("1h30m", 5_400_000), ("1d500ms", 86_400_500)] {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "5", "m", "1m1h", "1m1m", "-5m", "1.5h", "5 m", "999999999y"] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
        for ms in [0, 1, 15_000, 90_061_001] {
            assert_eq!(duration_ms(&duration_text(ms)), Ok(ms));
        }
    }

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, value) in [("010", 8.0), ("08", 8.0), ("0x1F", 31.0), ("1e3", 1000.0), (".5", 0.5)] {
            assert_eq!(number(text), Some(value), "{text}");
        }
        assert_eq!(number("Inf"), Some(f64::INFINITY));
        assert!(number("NaN").is_some_and(f64::is_nan));
        assert_eq!(number("1x"), None);
    }

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (value, text) in [
            (3.0, "3"),
            (0.25, "0.25"),
            (1234567.0, "1.234567e+06"),
            (1e21, "1e+21"),
            (0.00001, "1e-05"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(go_v(value), text);
        }
        for (value, text) in [(30.0, "30"), (0.123_456, "0.1235"), (9999.6, "1e+04"), (1.5e-7, "1.5e-07")] {
            assert_eq!(go_g(value, Some(4)), text);
        }
        assert_eq!(
            (go_e(1234.5, Some(2)).as_str(), go_f(1e21).as_str()),
            ("1.23e+03", "1000000000000000000000")
        );
    }
}
