//! Rule files in Prometheus' format.
//!
//! Whatever is not understood is refused here, before anything is evaluated. The refusal names the line of an unknown
//! key, or the rule and the place of an expression or template.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::{
    labels::{self, NAME},
    numbers::duration_ms,
    query::{self, Expr},
    template::Template,
};

/// A rule file.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// Its groups, in the order of the file.
    pub groups: Vec<Group>,
}

/// Rules that are evaluated one after another, at the same moments.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name, unique in its file.
    pub name: String,
    /// Its evaluation interval, if it has one of its own.
    pub interval_ms: Option<i64>,
    /// The most series or alerts that one of its rules may produce; 0 means no limit.
    pub limit: usize,
    /// Its rules, in the order of the file.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug)]
pub enum Rule {
    /// A rule that writes its expression's value as a series.
    Record(RecordRule),
    /// A rule that raises an alert for each element of its expression's value.
    Alert(AlertRule),
}

/// A recording rule.
#[derive(Clone, Debug)]
pub struct RecordRule {
    /// The name of the series that it writes.
    pub name: String,
    /// The recorded expression.
    pub expr: Expr,
    /// The expression's text.
    pub text: String,
    /// Labels that are set on each series.
    pub labels: BTreeMap<String, String>,
}

/// An alerting rule.
#[derive(Clone, Debug)]
pub struct AlertRule {
    /// The name of the alert.
    pub name: String,
    /// The condition: the rule raises an alert for each element of its value.
    pub expr: Expr,
    /// The expression's text.
    pub text: String,
    /// How long the condition must hold before the alert fires.
    pub for_ms: i64,
    /// How long the alert goes on firing after the condition ceases to hold.
    pub keep_firing_for_ms: i64,
    /// Labels that are set on each alert, as written and as templates.
    pub labels: BTreeMap<String, (String, Template)>,
    /// The annotations of each alert, by name.
    pub annotations: BTreeMap<String, Template>,
}

/// Why a rule file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The text is not YAML, or not of a rule file's shape.
    #[error("{0}")]
    Shape(String),
    /// A group is wrong.
    #[error("group {group:?}: {what}")]
    Group {
        /// Its name.
        group: String,
        /// What is wrong.
        what: String,
    },
    /// A rule is wrong.
    #[error("group {group:?}, rule {number} ({rule}): {what}")]
    Rule {
        /// Its group's name.
        group: String,
        /// The rule's number in the group, from 1.
        number: usize,
        /// Its name.
        rule: String,
        /// What is wrong, and where in the expression or template.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileShape {
    groups: Vec<GroupShape>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupShape {
    name: String,
    interval: Option<String>,
    #[serde(default)]
    limit: usize,
    #[serde(default)]
    rules: Vec<RuleShape>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleShape {
    record: Option<String>,
    alert: Option<String>,
    expr: ExprShape,
    #[serde(rename = "for")]
    hold: Option<String>,
    keep_firing_for: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// An expression. YAML reads `expr: 1` as a number, not as a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum ExprShape {
    Text(String),
    Int(i64),
    Float(f64),
}

impl RuleFile {
    /// Reads and checks a rule file.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let shape: FileShape =
            serde_yaml::from_str(text).map_err(|error| RuleError::Shape(error.to_string()))?;
        let mut names = BTreeSet::new();
        let groups = shape.groups.into_iter().map(|group| {
            let refuse = |what: String| RuleError::Group { group: group.name.clone(), what };
            if group.name.is_empty() {
                return Err(refuse("a group needs a name".to_owned()));
            }
            if !names.insert(group.name.clone()) {
                return Err(refuse("the file has two groups of this name".to_owned()));
            }
            let interval_ms = group
                .interval
                .as_deref()
                .map(duration_ms)
                .transpose()
                .map_err(|e| refuse(format!("interval: {e}")))?;
            let rules = group.rules.into_iter().enumerate().map(|(at, shape)| {
                let name = shape.alert.clone().or_else(|| shape.record.clone()).unwrap_or_default();
                rule(shape).map_err(|what| RuleError::Rule {
                    group: group.name.clone(),
                    number: at + 1,
                    rule: name,
                    what,
                })
            });
            let rules = rules.collect::<Result<Vec<Rule>, RuleError>>()?;
            // To Prometheus an interval of 0 means that none is given.
            let interval_ms = interval_ms.filter(|ms| *ms > 0);
            Ok(Group { name: group.name.clone(), interval_ms, limit: group.limit, rules })
        });
        Ok(Self { groups: groups.collect::<Result<Vec<Group>, RuleError>>()? })
    }

    /// All its rules, in the order of the file.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.groups.iter().flat_map(|group| &group.rules)
    }

    /// Its alerting rules.
    pub fn alert_rules(&self) -> impl Iterator<Item = &AlertRule> {
        self.rules().filter_map(|rule| match rule {
            Rule::Alert(rule) => Some(rule),
            Rule::Record(_) => None,
        })
    }
}

impl AlertRule {
    /// The labels that it sets without a template, so that each of its alerts has the same value.
    pub fn fixed_labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let fixed = self.labels.iter().filter(|(_, (text, _))| !text.contains("{{"));
        fixed.map(|(name, (text, _))| (name.as_str(), text.as_str()))
    }
}

fn rule(shape: RuleShape) -> Result<Rule, String> {
    let text = match shape.expr {
        ExprShape::Text(text) => text,
        ExprShape::Int(number) => number.to_string(),
        ExprShape::Float(number) => number.to_string(),
    };
    let expr = query::parse(&text).map_err(|error| format!("expr, {error}"))?;
    let duration = |key: &str, text: &Option<String>| {
        text.as_deref().map_or(Ok(0), duration_ms).map_err(|error| format!("{key}: {error}"))
    };
    let for_ms = duration("for", &shape.hold)?;
    let keep_firing_for_ms = duration("keep_firing_for", &shape.keep_firing_for)?;
    for name in shape.labels.keys() {
        if !labels::is_label_name(name) || name == NAME {
            return Err(format!("labels: {name:?} is no label's name"));
        }
    }
    let named = |name: Option<String>| name.filter(|name| !name.is_empty());
    match (named(shape.record), named(shape.alert)) {
        (Some(_), Some(_)) => Err("it has both record and alert".to_owned()),
        (None, None) => Err("it has neither record nor alert".to_owned()),
        (Some(name), None) => {
            if !labels::is_metric_name(&name) {
                return Err(format!("record: {name:?} is no metric's name"));
            }
            for (key, there) in [
                ("annotations", !shape.annotations.is_empty()),
                ("for", for_ms != 0),
                ("keep_firing_for", keep_firing_for_ms != 0),
            ] {
                if there {
                    return Err(format!("{key}: only an alert may have it"));
                }
            }
            Ok(Rule::Record(RecordRule { name, expr, text, labels: shape.labels }))
        }
        (None, Some(name)) => {
            let template = |key: &str, name: &str, text: &str| {
                Template::parse(text).map_err(|error| format!("{key}.{name}: {error}"))
            };
            let mut labels = BTreeMap::new();
            for (label, text) in shape.labels {
                let value = template("labels", &label, &text)?;
                labels.insert(label, (text, value));
            }
            let mut annotations = BTreeMap::new();
            for (annotation, text) in shape.annotations {
                if !labels::is_label_name(&annotation) {
                    return Err(format!("annotations: {annotation:?} is no annotation's name"));
                }
                let value = template("annotations", &annotation, &text)?;
                annotations.insert(annotation, value);
            }
            Ok(Rule::Alert(AlertRule { name, expr, text, for_ms, keep_firing_for_ms, labels, annotations }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        let one = |rule: &str| format!("groups:\n- name: g\n  rules:\n  - {rule}\n");
        for (text, words) in [
            ("groups: [{name: g, rulez: []}]".to_owned(), vec!["rulez", "line 1"]),
            ("group: []".to_owned(), vec!["group", "groups"]),
            ("groups: [{name: g}, {name: g}]".to_owned(), vec!["two groups", "\"g\""]),
            ("groups: [{name: ''}]".to_owned(), vec!["needs a name"]),
            ("groups: [{name: g, interval: 5}]".to_owned(), vec!["interval"]),
            (one("{alert: A, expr: up, fro: 5m}"), vec!["fro", "line 4"]),
            (one("{alert: A, expr: 'rate(up)'}"), vec!["rule 1 (A)", "expr, 1:6", "range vector"]),
            (one("{alert: A, expr: up, for: 5}"), vec!["(A)", "for: \"5\" is no duration"]),
            (one("{alert: A, record: a, expr: up}"), vec!["both"]),
            (one("{expr: up}"), vec!["neither"]),
            (one("{record: 'a b', expr: up}"), vec!["no metric's name"]),
            (one("{record: a, expr: up, for: 5m}"), vec!["only an alert"]),
            (one("{alert: A, expr: up, labels: {__name__: x}}"), vec!["no label's name"]),
            (one("{alert: A, expr: up, annotations: {a: '{{ $x }}'}}"), vec!["annotations.a", "$x"]),
            (one("{alert: A}"), vec!["expr"]),
        ] {
            let error = RuleFile::parse(&text).expect_err(&text).to_string();
            for word in words {
                assert!(error.contains(word), "{text}: {error}: no {word}");
            }
        }
        let file = RuleFile::parse(&one("{alert: A, expr: 1, for: 1m, keep_firing_for: 5m}")).unwrap();
        let Rule::Alert(rule) = &file.groups[0].rules[0] else { panic!("{file:?}") };
        assert_eq!((rule.for_ms, rule.keep_firing_for_ms), (60_000, 300_000));
    }
}
