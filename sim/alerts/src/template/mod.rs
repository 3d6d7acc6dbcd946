//! Templates of labels and annotations: the part of Go's text/template, with Prometheus' functions, that alert rules
//! use.
//!
//! `{{ $labels.x }}`, `{{ $value | humanizePercentage }}`, `printf`, `if`, `with`, `range`, variables, and `query` with
//! its helpers. Unsupported parts (`define`, `template`, `break`, links, dates) are refused when the rule is loaded. An
//! error while a template is expanded makes the text `<error expanding template: …>`, as in Prometheus: an alert
//! without its text is better than no alert. The words after the colon are ours, not Go's.
//!
//! Source: template/template.go at v2.42.0, and Go's text/template.

mod functions;
mod parse;
mod printf;
mod run;

use std::collections::BTreeMap;

pub use parse::{Template, TemplateError};

use crate::{eval::Element, labels::Labels};

/// The values that a template may refer to.
pub struct Data<'a> {
    /// `$labels`: the labels of the query's element.
    pub labels: &'a Labels,
    /// `$value`: the value of the query's element.
    pub value: f64,
    /// `$externalLabels`.
    pub external_labels: &'a Labels,
    /// `$externalURL`.
    pub external_url: &'a str,
    /// `query`: the elements of an expression at this moment.
    pub query: &'a dyn Fn(&str) -> Result<Vec<Element>, String>,
}

impl Template {
    /// The text with all actions evaluated. An error becomes the text `<error expanding template: …>`, as in
    /// Prometheus.
    pub fn expand(&self, data: &Data<'_>) -> String {
        run::expand(self, data).unwrap_or_else(|error| format!("<error expanding template: {error}>"))
    }
}

/// A value in a template.
#[derive(Clone, Debug, PartialEq)]
enum Datum {
    Text(String),
    Float(f64),
    Int(i64),
    Bool(bool),
    Map(BTreeMap<String, String>),
    Sample(Element),
    Samples(Vec<Element>),
    /// The dot of the whole template.
    Root,
    Nil,
}

impl Datum {
    fn map(labels: &Labels) -> Self {
        Self::Map(labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Whether `if` and `with` treat the value as true: it is neither zero nor empty.
    fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Float(value) => *value != 0.0,
            Self::Int(value) => *value != 0,
            Self::Bool(value) => *value,
            Self::Map(map) => !map.is_empty(),
            Self::Samples(samples) => !samples.is_empty(),
            Self::Sample(_) | Self::Root => true,
            Self::Nil => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::NAME;

    fn expand(text: &str, value: f64) -> String {
        let labels = Labels::of([("instance", "a.b:80"), ("job", "etcd")]);
        let query = |text: &str| match text {
            "up" => Ok(vec![
                Element { labels: Labels::of([(NAME, "up"), ("x", "2")]), value: 1.0 },
                Element { labels: Labels::of([(NAME, "up"), ("x", "1")]), value: 0.5 },
            ]),
            "none" => Ok(Vec::new()),
            _ => Err("no".to_owned()),
        };
        let external = Labels::of([("dc", "x")]);
        let data = Data {
            labels: &labels,
            value,
            external_labels: &external,
            external_url: "http://p/q",
            query: &query,
        };
        Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).expand(&data)
    }

    #[test]
    fn labels_values_and_functions_are_filled_in() {
        for (text, value, expected) in [
            ("plain", 0.0, "plain"),
            ("{{ $labels.job }}/{{.Labels.instance}} {{ $labels.none }}|{{ $value }}", 3.0, "etcd/a.b:80 |3"),
            ("{{ $value | humanizePercentage }}", 0.3, "30%"),
            ("{{ printf \"%.2f%% %s %v\" $value $labels.job 3 }}", 1.005, "1.00% etcd 3"),
            ("{{ humanize $value }} {{ humanize1024 $value }}", 1_234_567.0, "1.235M 1.177Mi"),
            ("{{ humanizeDuration $value }}", 90_061.5, "1d 1h 1m 1s"),
            ("{{ humanizeDuration $value }}", 0.0123, "12.3ms"),
            ("a {{- 1 -}} b", 0.0, "a1b"),
            ("{{/* note */}}x", 0.0, "x"),
            ("{{ if gt $value 5.0 }}high{{ else if gt $value 1.0 }}mid{{ else }}low{{ end }}", 2.0, "mid"),
            ("{{ with query \"up\" }}{{ . | first | value }}{{ end }}", 0.0, "1"),
            ("{{ with query \"none\" }}x{{ else }}none{{ end }}", 0.0, "none"),
            (
                "{{ range sortByLabel \"x\" (query \"up\") }}{{ .Labels.x }}={{ .Value }} {{ end }}",
                0.0,
                "1=0.5 2=1 ",
            ),
            ("{{ range $i, $s := query \"up\" }}{{ $i }}{{ label \"x\" $s }}{{ end }}", 0.0, "0211"),
            ("{{ $x := $labels.job | toUpper }}{{ $x = print $x 1 }}{{ $x }}", 0.0, "ETCD1"),
            ("{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}", 0.0, "21"),
            ("{{ reReplaceAll \"(.).*\" \"$1\" $labels.job }}{{ match \"^e\" \"etcd\" }}", 0.0, "etrue"),
            (
                "{{ stripPort $labels.instance }} {{ $externalLabels.dc }} {{ $externalURL }}",
                0.0,
                "a.b x http://p/q",
            ),
            ("{{ and true 0 }} {{ or 0 \"x\" }} {{ not true }} {{ len $labels }}", 0.0, "0 x false 2"),
            ("{{ index $labels \"job\" }}{{ eq $labels.job \"x\" \"etcd\" }}", 0.0, "etcdtrue"),
            ("{{ printf \"%d %s\" $value 3 }}", 2.5, "%!d(float64=2.5) %!s(int=3)"),
            ("{{ printf \"%5.1f|%-4s|%q\" $value \"a\" \"b\" }}", 2.0, "  2.0|a   |\"b\""),
        ] {
            assert_eq!(expand(text, value), expected, "{text}");
        }
    }

    #[test]
    fn an_error_becomes_the_text() {
        for text in [
            "{{ if gt $value 5 }}{{ end }}",
            "{{ query \"bad\" }}",
            "{{ first (query \"none\") }}",
            "{{ $labels.job | humanize }}",
            "{{ $value.x }}",
        ] {
            let expanded = expand(text, 1.0);
            assert!(expanded.starts_with("<error expanding template: "), "{text}: {expanded}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "{{ $nope }}",
            "{{ nope }}",
            "{{ $value",
            "{{ if true }}",
            "{{ end }}",
            "{{ define \"x\" }}{{ end }}",
            "{{ \"a }}",
            "{{ printf \"%v\" ( }}",
            "{{ range $a, $b, $c := query \"up\" }}{{ end }}",
            "{{ humanizeTimestamp $value }}",
            "{{ 1 2 }}",
            "{{ }}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
