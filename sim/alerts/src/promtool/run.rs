//! Runs a test file with our evaluator.

use std::{collections::BTreeMap, fmt};

use super::file::{AlertCase, Test, TestFile};
use crate::{
    eval::Context,
    labels::Labels,
    numbers::{duration_text, go_v},
    rules::{Groups, Phase, RuleFile, Surroundings},
    store::Store,
};

/// A test whose result differs from what it expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The test's number in the file, from 1, and its name.
    pub test: String,
    /// The alert or expression, and the moment of its evaluation.
    pub of: String,
    /// What was expected, line by line.
    pub expected: Vec<String>,
    /// The actual result, line by line.
    pub got: Vec<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {}", self.test, self.of)?;
        for (what, lines) in [("expected", &self.expected), ("got", &self.got)] {
            if lines.is_empty() {
                writeln!(f, "    {what} nothing")?;
            }
            lines.iter().try_for_each(|line| writeln!(f, "    {what} {line}"))?;
        }
        Ok(())
    }
}

impl TestFile {
    /// Runs all tests with the rules of these files, and returns the differences.
    pub fn run(&self, rules: &[RuleFile]) -> Vec<Mismatch> {
        let mut mismatches = Vec::new();
        for (at, test) in self.tests.iter().enumerate() {
            let name = if test.name.is_empty() { String::new() } else { format!(" ({})", test.name) };
            mismatches.extend(self.one(test, &format!("test {}{name}", at + 1), rules));
        }
        mismatches
    }

    /// How many alerts and expressions the tests check.
    pub fn cases(&self) -> usize {
        self.tests.iter().map(|test| test.alerts.len() + test.queries.len()).sum()
    }

    fn one(&self, test: &Test, name: &str, rules: &[RuleFile]) -> Vec<Mismatch> {
        let surroundings = Surroundings {
            evaluation_interval_ms: self.evaluation_interval_ms,
            external_labels: test.external_labels.clone(),
            external_url: test.external_url.clone(),
        };
        let mut groups = Groups::new(rules, surroundings);
        // A group that the order does not name ranks with the first one that it names, as in promtool.
        groups.order_by(|group| self.group_eval_order.iter().position(|named| named == group).unwrap_or(0));
        let mut store = Store::default();
        let mut mismatches = Vec::new();
        let mut cases: Vec<&AlertCase> = test.alerts.iter().collect();
        cases.sort_by_key(|case| case.at_ms);
        let mut cases = cases.into_iter().peekable();
        let query_times = test.queries.iter().map(|case| case.at_ms);
        let last_ms = test.alerts.iter().map(|case| case.at_ms).chain(query_times).max().unwrap_or(0);
        let (mut at_ms, mut loaded) = (0, 0);
        while at_ms <= last_ms {
            loaded = load(&mut store, test, loaded, at_ms);
            let failures = groups.evaluate_all(&mut store, at_ms);
            if !failures.is_empty() {
                mismatches.push(Mismatch {
                    test: name.to_owned(),
                    of: format!("rules at {}", duration_text(at_ms)),
                    expected: Vec::new(),
                    got: failures.iter().map(ToString::to_string).collect(),
                });
                return mismatches;
            }
            let next_ms = at_ms + self.evaluation_interval_ms;
            while let Some(case) = cases.next_if(|case| case.at_ms < next_ms) {
                mismatches.extend(compare_alerts(case, &groups, name));
            }
            at_ms = next_ms;
        }
        let context = Context { default_step_ms: self.evaluation_interval_ms, ..Context::new(&store) };
        for case in &test.queries {
            let of = format!("expr {:?}, time {}", case.text, duration_text(case.at_ms));
            let line = |labels: &Labels, value: f64| format!("{labels} {}", go_v(value));
            let mut expected: Vec<String> = case.expected.iter().map(|(l, v)| line(l, *v)).collect();
            let mut got: Vec<String> = match context.vector(&case.expr, case.at_ms) {
                Ok(elements) => elements.iter().map(|element| line(&element.labels, element.value)).collect(),
                Err(error) => vec![format!("error: {error}")],
            };
            expected.sort();
            got.sort();
            // NaN equals no value, so a test that expects NaN fails, as in promtool.
            if expected != got || got.iter().any(|line| line.ends_with(" NaN")) {
                mismatches.push(Mismatch { test: name.to_owned(), of, expected, got });
            }
        }
        mismatches
    }
}

/// Adds the samples up to a moment, and returns how many samples of each series are then loaded.
fn load(store: &mut Store, test: &Test, loaded: usize, to_ms: i64) -> usize {
    let longest = test.series.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let mut next = loaded;
    while next < longest {
        let at_ms = i64::try_from(next).unwrap_or(i64::MAX).saturating_mul(test.interval_ms);
        if at_ms > to_ms {
            break;
        }
        for (labels, values) in &test.series {
            if let Some(Some(value)) = values.get(next) {
                // A rule may have written this series already; then the test's sample is too late and is dropped.
                _ = store.append(labels, at_ms, *value);
            }
        }
        next += 1;
    }
    next
}

fn compare_alerts(case: &AlertCase, groups: &Groups, name: &str) -> Option<Mismatch> {
    let line = |labels: &Labels, annotations: &BTreeMap<String, String>| format!("{labels} {annotations:?}");
    let firing = groups.alerts().into_iter().filter(|a| a.alert == case.alert && a.phase == Phase::Firing);
    let mut got: Vec<String> = firing.map(|alert| line(&alert.labels, &alert.annotations)).collect();
    let expected = case.expected.iter();
    let mut expected: Vec<String> = expected
        .map(|(labels, annotations)| {
            // An empty annotation equals a missing one, as in promtool.
            line(&labels.with("alertname", &case.alert), annotations)
        })
        .collect();
    got.sort();
    expected.sort();
    let of = format!("alert {}, time {}", case.alert, duration_text(case.at_ms));
    (got != expected).then(|| Mismatch { test: name.to_owned(), of, expected, got })
}
