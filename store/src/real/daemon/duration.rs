//! Durations as etcd's flags have them: Go's, such as `1h30m`, `10s` or `1.5s`. A bare `0` is no time.

use std::time::Duration;

/// Reads a duration; `None` for what is none.
pub(super) fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(total).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        let secs = |text| parse(text).map(|duration| duration.as_secs_f64());
        for (text, expected) in [
            ("0", Some(0.0)),
            ("0s", Some(0.0)),
            ("10s", Some(10.0)),
            ("1.5s", Some(1.5)),
            ("1h30m", Some(5400.0)),
            ("250ms", Some(0.25)),
            ("", None),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("5 s", None),
            ("5y", None),
        ] {
            assert_eq!(secs(text), expected, "{text:?}");
        }
    }
}
