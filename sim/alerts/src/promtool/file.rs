//! Reading a test file.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    labels::Labels,
    notation::values,
    numbers::duration_ms,
    query::{self, Expr},
};

/// A test file.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// The paths of the rule files, as written in the test file. The caller resolves and reads them.
    pub rule_files: Vec<String>,
    pub(super) evaluation_interval_ms: i64,
    pub(super) group_eval_order: Vec<String>,
    pub(super) tests: Vec<Test>,
}

#[derive(Clone, Debug)]
pub(super) struct Test {
    pub name: String,
    pub interval_ms: i64,
    pub series: Vec<(Labels, Vec<Option<f64>>)>,
    pub alerts: Vec<AlertCase>,
    pub queries: Vec<QueryCase>,
    pub external_labels: Labels,
    pub external_url: String,
}

#[derive(Clone, Debug)]
pub(super) struct AlertCase {
    pub at_ms: i64,
    pub alert: String,
    /// The labels, without `alertname`, and the annotations of each alert that must fire.
    pub expected: Vec<(Labels, BTreeMap<String, String>)>,
}

#[derive(Clone, Debug)]
pub(super) struct QueryCase {
    pub at_ms: i64,
    pub text: String,
    pub expr: Expr,
    pub expected: Vec<(Labels, f64)>,
}

/// Why a test file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TestFileError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with `groups` or `tests`")]
struct FileShape {
    #[serde(default)]
    rule_files: Vec<String>,
    evaluation_interval: Option<String>,
    #[serde(default)]
    group_eval_order: Vec<String>,
    #[serde(default)]
    tests: Vec<TestShape>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestShape {
    interval: Option<String>,
    #[serde(default)]
    input_series: Vec<SeriesShape>,
    #[serde(default)]
    alert_rule_test: Vec<AlertShape>,
    #[serde(default)]
    promql_expr_test: Vec<QueryShape>,
    #[serde(default)]
    external_labels: BTreeMap<String, String>,
    #[serde(default)]
    external_url: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesShape {
    series: String,
    values: ValuesShape,
}

/// A string of values; YAML reads a single value as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum ValuesShape {
    Text(String),
    Int(i64),
    Float(f64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertShape {
    eval_time: Option<String>,
    #[serde(default)]
    alertname: String,
    exp_alerts: Option<Vec<ExpectedShape>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedShape {
    #[serde(default)]
    exp_labels: BTreeMap<String, String>,
    #[serde(default)]
    exp_annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryShape {
    expr: String,
    eval_time: Option<String>,
    exp_samples: Option<Vec<SampleShape>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleShape {
    labels: Option<String>,
    value: f64,
}

impl TestFile {
    /// Reads a test file.
    pub fn parse(text: &str) -> Result<Self, TestFileError> {
        let shape: FileShape =
            serde_yaml::from_str(text).map_err(|error| TestFileError(error.to_string()))?;
        let evaluation_interval_ms = duration("evaluation_interval", shape.evaluation_interval.as_deref())?;
        let tests = shape.tests.into_iter().enumerate().map(|(at, test)| {
            read(test).map_err(|TestFileError(what)| TestFileError(format!("test {}: {what}", at + 1)))
        });
        Ok(Self {
            rule_files: shape.rule_files,
            // To promtool an interval of 0 means that none is given.
            evaluation_interval_ms: if evaluation_interval_ms == 0 { 60_000 } else { evaluation_interval_ms },
            group_eval_order: shape.group_eval_order,
            tests: tests.collect::<Result<Vec<Test>, TestFileError>>()?,
        })
    }
}

fn duration(key: &str, text: Option<&str>) -> Result<i64, TestFileError> {
    text.map_or(Ok(0), duration_ms).map_err(|error| TestFileError(format!("{key}: {error}")))
}

fn read(shape: TestShape) -> Result<Test, TestFileError> {
    let interval_ms = duration("interval", shape.interval.as_deref())?;
    let series = shape.input_series.into_iter().map(|SeriesShape { series, values: written }| {
        let refuse = |what: String| TestFileError(format!("input_series {series:?}: {what}"));
        let labels = query::metric(&series).map_err(|error| refuse(error.to_string()))?;
        let written = match written {
            ValuesShape::Text(text) => values(&text).map_err(refuse)?,
            ValuesShape::Int(value) => vec![Some(value as f64)],
            ValuesShape::Float(value) => vec![Some(value)],
        };
        Ok((labels, written))
    });
    let series = series.collect::<Result<Vec<_>, TestFileError>>()?;
    if interval_ms == 0 && !series.is_empty() {
        return Err(TestFileError("interval: samples need one".to_owned()));
    }
    let alerts = shape.alert_rule_test.into_iter().map(|case| {
        if case.alertname.is_empty() {
            return Err(TestFileError("alert_rule_test: it needs an alertname".to_owned()));
        }
        let expected = case.exp_alerts.unwrap_or_default().into_iter();
        Ok(AlertCase {
            at_ms: duration("eval_time", case.eval_time.as_deref())?,
            expected: expected.map(|alert| (Labels::of(alert.exp_labels), alert.exp_annotations)).collect(),
            alert: case.alertname,
        })
    });
    let alerts = alerts.collect::<Result<Vec<_>, TestFileError>>()?;
    let queries = shape.promql_expr_test.into_iter().map(|case| {
        let refuse = |what: String| TestFileError(format!("promql_expr_test {:?}: {what}", case.expr));
        let expr = query::parse(&case.expr).map_err(|error| refuse(error.to_string()))?;
        let expected = case.exp_samples.iter().flatten().map(|sample| {
            let text = sample.labels.as_deref().unwrap_or_default();
            let labels = if text.trim().is_empty() { Ok(Labels::default()) } else { query::metric(text) };
            Ok((labels.map_err(|error| refuse(error.to_string()))?, sample.value))
        });
        let expected = expected.collect::<Result<Vec<_>, TestFileError>>()?;
        let at_ms = duration("eval_time", case.eval_time.as_deref())?;
        Ok(QueryCase { at_ms, expr, expected, text: case.expr.clone() })
    });
    Ok(Test {
        interval_ms,
        series,
        alerts,
        queries: queries.collect::<Result<Vec<_>, TestFileError>>()?,
        external_labels: Labels::of(shape.external_labels),
        external_url: shape.external_url,
        name: shape.name,
    })
}
