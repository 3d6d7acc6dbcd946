//! A run's series and verdicts as a test file for promtool.
//!
//! promtool knows only samples at multiples of one interval from 0 on, so the scrapes must lie there. Annotations are
//! left out of the exported rules: they carry values, and the last digit of a sum depends on the order in which
//! Prometheus happens to walk its series.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    labels::Labels,
    notation::written,
    numbers::{duration_text, quote},
    rules::{Group, Rule, RuleFile},
    store::Store,
};

/// Two files for `promtool test rules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The rules, without annotations.
    pub rules: String,
    /// The test; it refers to the rules' file by the name that [`export`] was given.
    pub test: String,
}

/// Writes the scraped series of a store and our verdicts for promtool to confirm.
///
/// `verdicts` are the alerts that fire, by name and labels, at each moment at which they were evaluated. An error names
/// a sample that is not at a multiple of the scrape interval.
pub fn export(
    files: &[RuleFile],
    rules_name: &str,
    scraped: &Store,
    scrape_interval_ms: i64,
    evaluation_interval_ms: i64,
    verdicts: &[(i64, BTreeSet<(String, Labels)>)],
) -> Result<Exported, String> {
    // Without this order promtool evaluates the groups in a random one.
    let order: Vec<String> = unique_groups(files).into_iter().map(|(name, _)| quote(&name)).collect();
    let mut test = format!(
        "rule_files: [{}]\ngroup_eval_order: [{}]\nevaluation_interval: {}\ntests:\n- interval: {}\n  input_series:\n",
        quote(rules_name),
        order.join(", "),
        duration_text(evaluation_interval_ms),
        duration_text(scrape_interval_ms),
    );
    for series in scraped.all() {
        let values = series.by_interval(scrape_interval_ms).map_err(|at_ms| {
            format!(
                "{} at {at_ms} ms: promtool knows only multiples of {scrape_interval_ms} ms",
                series.labels
            )
        })?;
        let series = quote(&series.labels.to_string());
        test += &format!("  - {{series: {series}, values: {}}}\n", quote(&written(&values)));
    }
    test += "  alert_rule_test:\n";
    let alert_rules = files.iter().flat_map(RuleFile::alert_rules);
    let mut names: Vec<&str> = alert_rules.map(|rule| rule.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for (at_ms, firing) in verdicts {
        for name in &names {
            let firing = firing.iter().filter(|(alert, _)| alert.as_str() == *name);
            let firing: Vec<&Labels> = firing.map(|(_, labels)| labels).collect();
            test += &format!("  - eval_time: {}\n    alertname: {}\n", duration_text(*at_ms), quote(name));
            if !firing.is_empty() {
                test += "    exp_alerts:\n";
            }
            for labels in firing {
                let pairs = labels.iter().filter(|(name, _)| *name != "alertname");
                test += &format!("    - exp_labels: {{{}}}\n", flow(pairs));
            }
        }
    }
    Ok(Exported { rules: rules_text(files), test })
}

fn flow<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}: {}", quote(value))).collect();
    pairs.join(", ")
}

/// The groups with unique names. Two files may have groups of the same name, but the one exported file may not.
fn unique_groups(files: &[RuleFile]) -> Vec<(String, &Group)> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let groups = files.iter().flat_map(|file| &file.groups).map(|group| {
        let count = seen.entry(&group.name).or_default();
        *count += 1;
        let name = if *count == 1 { group.name.clone() } else { format!("{} {count}", group.name) };
        (name, group)
    });
    groups.collect()
}

fn rules_text(files: &[RuleFile]) -> String {
    let mut text = "groups:\n".to_owned();
    for (name, group) in unique_groups(files) {
        text += &format!("- name: {}\n", quote(&name));
        if group.limit > 0 {
            text += &format!("  limit: {}\n", group.limit);
        }
        text += "  rules:\n";
        for rule in &group.rules {
            let (kind, expr) = match rule {
                Rule::Record(rule) => ("record", &rule.text),
                Rule::Alert(rule) => ("alert", &rule.text),
            };
            text += &format!("  - {kind}: {}\n    expr: {}\n", quote(rule.name()), quote(expr));
            let labels: Vec<(&str, &str)> = match rule {
                Rule::Record(rule) => rule.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect(),
                Rule::Alert(rule) => {
                    text += &format!("    for: {}\n", duration_text(rule.for_ms));
                    if rule.keep_firing_for_ms > 0 {
                        text += &format!("    keep_firing_for: {}\n", duration_text(rule.keep_firing_for_ms));
                    }
                    rule.labels.iter().map(|(name, (value, _))| (name.as_str(), value.as_str())).collect()
                }
            };
            if !labels.is_empty() {
                text += &format!("    labels: {{{}}}\n", flow(labels.into_iter()));
            }
        }
    }
    text
}
