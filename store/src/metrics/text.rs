//! The result of a scrape, and its form in Prometheus' text format.

use std::{fmt::Write as _, sync::Arc};

/// The type of a metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, until the process ends.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

/// All series of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// The help text.
    pub help: &'static str,
    /// Its type.
    pub kind: Kind,
    /// One for each set of labels.
    pub series: Vec<Series>,
}

/// The labels of a series, in the order of their names. They are shared: a scrape shows the same thousands as the last.
pub type SharedLabels = Arc<[(&'static str, String)]>;

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: SharedLabels,
    /// Its content.
    pub value: Value,
}

/// The content of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The number of a counter or a gauge.
    Number(f64),
    /// The content of a histogram.
    Histogram {
        /// The upper bounds, ascending, each with the number of observations that are not above it.
        cumulative: Vec<(f64, u64)>,
        /// Of all observations.
        sum: f64,
        /// Of all observations.
        count: u64,
    },
}

/// One number as a scraper stores it. A histogram becomes several samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The family's name; for a histogram followed by `_bucket`, `_sum` or `_count`.
    pub name: String,
    /// The labels, `le` last.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: f64,
}

/// One number of a series as the registry holds it: nothing of it is written out as text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part<'a> {
    /// The series' labels.
    pub labels: &'a [(&'static str, String)],
    /// What follows the family's name: nothing, `_bucket`, `_sum` or `_count`.
    pub suffix: &'static str,
    /// The bound of a bucket.
    pub le: Option<f64>,
    /// The number.
    pub value: f64,
}

impl Series {
    /// Its numbers, in the order of the text format.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let Series { labels, value } = self;
        let part = move |suffix, le, value| Part { labels, suffix, le, value };
        let (number, histogram) = match value {
            Value::Number(value) => (Some(part("", None, *value)), None),
            Value::Histogram { cumulative, sum, count } => {
                let bounds = cumulative.iter().copied().chain([(f64::INFINITY, *count)]);
                let buckets = bounds.map(move |(bound, below)| part("_bucket", Some(bound), below as f64));
                (None, Some(buckets.chain([part("_sum", None, *sum), part("_count", None, *count as f64)])))
            }
        };
        number.into_iter().chain(histogram.into_iter().flatten())
    }
}

impl Family {
    /// Its samples, in the order of the text format.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        self.series.iter().flat_map(|series| series.parts()).map(|part| self.sample(&part))
    }

    /// One of its numbers, written out.
    pub fn sample(&self, part: &Part<'_>) -> Sample {
        let le = part.le.map(|bound| ("le", number(bound)));
        let labels = part.labels.iter().cloned().chain(le).collect();
        Sample { name: format!("{}{}", self.name, part.suffix), labels, value: part.value }
    }
}

/// The families as text, format 0.0.4. A family without series is left out.
pub fn encode(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.series.is_empty()) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a string does not fail.
        _ = writeln!(text, "# HELP {} {}\n# TYPE {0} {kind}", family.name, escaped(family.help, false));
        for Sample { name, labels, value } in family.samples() {
            text.push_str(&name);
            for (at, (label, value)) in labels.iter().enumerate() {
                let before = if at == 0 { '{' } else { ',' };
                _ = write!(text, "{before}{label}=\"{}\"", escaped(value, true));
            }
            _ = writeln!(text, "{} {}", if labels.is_empty() { "" } else { "}" }, number(value));
        }
    }
    text
}

fn escaped(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes { text.replace('"', "\\\"") } else { text }
}

/// A number as Go prints it (`%g`, the shortest form that parses back to the same number), since the label `le` is
/// compared as text.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("it has an exponent");
    let exponent: i32 = exponent.parse().expect("a number");
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_gos() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.001 * 2.0 * 2.0, "0.004"),
            (524_288.0, "524288"),
            (1_048_576.0, "1.048576e+06"),
            (2_147_483_648.0, "2.147483648e+09"),
            (1e22, "1e+22"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn the_text_is_prometheus() {
        let labels = |value: &str| SharedLabels::from([("To", value.to_owned())]);
        let histogram = Value::Histogram { cumulative: vec![(0.5, 1), (1.0, 3)], sum: 4.25, count: 4 };
        let text = encode(&[
            Family {
                name: "a_total",
                help: "Says\nwhat.",
                kind: Kind::Counter,
                series: vec![Series { labels: labels("x\"\\\n"), value: Value::Number(3.0) }],
            },
            Family { name: "empty", help: "Nothing.", kind: Kind::Gauge, series: Vec::new() },
            Family {
                name: "b_seconds",
                help: "How long.",
                kind: Kind::Histogram,
                series: vec![Series { labels: labels("y"), value: histogram }],
            },
        ]);
        assert_eq!(
            text,
            "# HELP a_total Says\\nwhat.\n# TYPE a_total counter\na_total{To=\"x\\\"\\\\\\n\"} 3\n\
             # HELP b_seconds How long.\n# TYPE b_seconds histogram\nb_seconds_bucket{To=\"y\",le=\"0.5\"} 1\n\
             b_seconds_bucket{To=\"y\",le=\"1\"} 3\nb_seconds_bucket{To=\"y\",le=\"+Inf\"} 4\nb_seconds_sum{To=\"y\"} 4.25\n\
             b_seconds_count{To=\"y\"} 4\n"
        );
    }
}
