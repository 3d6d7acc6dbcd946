//! Durations as Go writes them (`1m30s`, `250ms`, `1.5h`), and windows of time (`4s..8s`) from which a seed draws.
//!
//! They are read by the parser that reads etcd's flags ([`squall_store::duration`]); what is wrong is said here with the
//! remedy. Printing is `time.Duration.String`, so that what we print is what we read.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use squall_store::duration::{self, Malformed};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// Reads a duration in Go's notation. The error says what is wrong with the text, without its place.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const SHAPE: &str = "write a number and a unit, such as 250ms, 5s or 1m30s";
    let trimmed = text.trim();
    duration::parse(trimmed).map_err(|wrong| match wrong {
        Malformed::Empty => format!("the duration is empty: {SHAPE}"),
        Malformed::Negative(rest) => {
            format!(
                "the duration `{trimmed}` is negative: nothing lasts less than 0s; did you mean `{rest}`?"
            )
        }
        Malformed::NoNumber => format!("`{text}` is not a duration: {SHAPE}"),
        Malformed::NoUnit => {
            format!("the duration `{text}` has no unit: did you mean `{text}s` or `{text}ms`?")
        }
        Malformed::UnknownUnit(unit) => {
            format!("`{text}` has the unknown unit `{unit}`, expected one of ns, us, ms, s, m, h")
        }
        Malformed::OutOfRange => format!("`{text}` is out of range or finer than 1ns"),
    })
}

/// Prints a duration as Go's `time.Duration.String` does: `1m30s`, `250ms`, `1.5s`, `0s`. Reads back exactly.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".into();
    }
    for (unit, scale) in [("ns", 1u128), ("µs", 1_000), ("ms", 1_000_000)] {
        if nanos < scale * 1_000 {
            return format!("{}{unit}", decimal(nanos, scale));
        }
    }
    let (minutes, rest) = (nanos / 60_000_000_000, nanos % 60_000_000_000);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let seconds = decimal(rest, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, m) => format!("{m}m{seconds}s"),
        (h, m) => format!("{h}h{m}m{seconds}s"),
    }
}

/// `nanos / scale` as a decimal without trailing zeros.
fn decimal(nanos: u128, scale: u128) -> String {
    let (whole, fraction) = (nanos / scale, nanos % scale);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

/// Serde and schema of a field of type [`Duration`] in Go's notation: `#[serde(with = "go")]`. It is a type, so that the
/// one attribute names all three.
#[allow(non_camel_case_types)]
pub(crate) enum go {}

impl go {
    pub fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format_duration(*value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        struct DurationVisitor;

        impl Visitor<'_> for DurationVisitor {
            type Value = Duration;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("a duration such as 250ms, 5s or 1m30s")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                parse_duration(text).map_err(E::custom)
            }
        }

        // The visitor raises the error, so that serde_yaml gives it the scalar's own line and column.
        from.deserialize_str(DurationVisitor)
    }
}

/// A regular expression (ECMA 262's dialect) for one duration, without its anchors.
const PATTERN: &str = r"(?:0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)";

impl JsonSchema for go {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration as Go writes it: `250ms`, `5s`, `1m30s`.",
            "type": "string",
            "pattern": format!("^{PATTERN}$"),
        })
    }
}

/// A span of time from which the seed draws one instant or length: `4s..8s`, both ends included, or a single duration,
/// which is a window of no width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The earliest value.
    pub from: Duration,
    /// The latest value, at least `from`.
    pub to: Duration,
}

impl Window {
    /// A window of no width.
    pub const fn exactly(at: Duration) -> Window {
        Window { from: at, to: at }
    }

    /// Reads `4s..8s` or `5s`. The error says what is wrong with the text, without its place.
    pub fn parse(text: &str) -> Result<Window, String> {
        let Some((from, to)) = text.split_once("..") else {
            return parse_duration(text).map(Window::exactly);
        };
        let window = Window { from: parse_duration(from)?, to: parse_duration(to)? };
        if window.from > window.to {
            return Err(format!(
                "the window `{text}` ends before it begins: did you mean `{}`?",
                Window { from: window.to, to: window.from }
            ));
        }
        Ok(window)
    }

    /// Whether it leaves nothing to draw.
    pub(crate) fn is_fixed(&self) -> bool {
        self.from == self.to
    }

    /// Whether `value` lies within, ends included.
    pub fn contains(&self, value: Duration) -> bool {
        self.from <= value && value <= self.to
    }
}

impl fmt::Display for Window {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        if self.from == self.to {
            out.write_str(&format_duration(self.from))
        } else {
            write!(out, "{}..{}", format_duration(self.from), format_duration(self.to))
        }
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Window, D::Error> {
        struct WindowVisitor;
        impl Visitor<'_> for WindowVisitor {
            type Value = Window;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("a duration such as 5s, or a window such as 4s..8s")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Window, E> {
                Window::parse(text).map_err(E::custom)
            }
        }
        from.deserialize_str(WindowVisitor)
    }
}

impl JsonSchema for Window {
    fn schema_name() -> Cow<'static, str> {
        "Window".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration (`5s`), or a window from which the seed draws one, both ends included (`4s..8s`).",
            "type": "string",
            "pattern": format!(r"^{PATTERN}(?:\.\.{PATTERN})?$"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_prints_as_go_does() {
        let cases = [
            ("1m30s", 90_000_000_000, "1m30s"),
            ("250ms", 250_000_000, "250ms"),
            ("1.5h", 5_400_000_000_000, "1h30m0s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("100us", 100_000, "100µs"),
            ("100µs", 100_000, "100µs"),
            ("1s1ns", 1_000_000_001, "1.000000001s"),
            (".5s", 500_000_000, "500ms"),
            ("0s", 0, "0s"),
            ("0", 0, "0s"),
        ];
        for (text, nanos, printed) in cases {
            let read = parse_duration(text).unwrap();
            assert_eq!(read, Duration::from_nanos(nanos), "{text}");
            assert_eq!(format_duration(read), printed, "{text}");
        }
    }

    #[test]
    fn refuses_with_a_remedy() {
        let cases = [
            ("", "is empty"),
            ("5", "did you mean `5s`"),
            ("-5s", "did you mean `5s`"),
            ("5 s", "unknown unit ` s`"),
            ("5d", "unknown unit `d`"),
            ("s", "is not a duration"),
            ("1.5ns", "finer than 1ns"),
            ("99999999999h", "out of range"),
        ];
        for (text, part) in cases {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Window::parse("8s..4s").unwrap_err().contains("did you mean `4s..8s`"));
    }

    proptest! {
        #[test]
        fn printing_reads_back(nanos in any::<u64>()) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = Window::parse(&text);
        }
    }
}
