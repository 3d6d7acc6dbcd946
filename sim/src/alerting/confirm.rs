//! A run's alerts as a test for promtool: the series that were scraped, the rules, and what fired at each evaluation.
//!
//! What fired is taken from the history and nothing is evaluated again: promtool is asked about what the run's reports say.

use std::collections::BTreeSet;

use squall_alerts::{
    labels::{Labels, NAME},
    promtool::{Exported, export},
    rules::{Rule, RuleFile},
    store::Store,
};
use squall_checker::history::{AlertLine, AlertState, RunHistory};

use super::{observer::millis, series::Scraped};
use crate::scenario::Alerts;

/// Two files for `promtool test rules`; the second names the first `rules_name`.
///
/// # Errors
/// Why promtool cannot be asked: it knows one interval at which all groups are evaluated.
pub fn confirmation(
    alerts: &Alerts,
    scraped: &Scraped,
    history: &RunHistory,
    rules_name: &str,
) -> Result<Exported, String> {
    let files = alerts.rule_files();
    let interval = millis(alerts.evaluation_interval);
    for group in files.iter().flat_map(|file| &file.groups) {
        if group.interval_ms.is_some_and(|own| own != interval) {
            let name = &group.name;
            return Err(format!(
                "the group {name:?} has an interval of its own, and promtool knows only one for all"
            ));
        }
    }
    let mut lines = history.alerts().into_iter().peekable();
    let mut firing: BTreeSet<(String, Labels)> = BTreeSet::new();
    let mut verdicts = Vec::new();
    let mut at_ms = 0;
    while at_ms <= scraped.evaluated_ms {
        let at = scraped.origin_ns + u64::try_from(at_ms).unwrap_or(0) * 1_000_000;
        while let Some(line) = lines.next_if(|line| line.at <= at) {
            let key = (line.alert.clone(), labels(line));
            match line.state {
                AlertState::Firing => _ = firing.insert(key),
                _ => _ = firing.remove(&key),
            }
        }
        verdicts.push((at_ms, firing.clone()));
        at_ms += interval;
    }
    export(
        &files,
        rules_name,
        &scraped_alone(&files, &scraped.store),
        scraped.scrape_interval_ms,
        interval,
        &verdicts,
    )
}

fn labels(line: &AlertLine) -> Labels {
    let own = [("alertname", line.alert.as_str())];
    Labels::of(own.into_iter().chain(line.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
}

/// The series without those that rules wrote: promtool makes them itself.
fn scraped_alone(files: &[RuleFile], store: &Store) -> Store {
    let rules = files.iter().flat_map(RuleFile::rules);
    let made = rules.filter(|rule| matches!(rule, Rule::Record(_))).map(Rule::name);
    let made: BTreeSet<&str> = made.chain(["ALERTS", "ALERTS_FOR_STATE"]).collect();
    let mut alone = Store::default();
    for series in store.all().iter().filter(|series| !made.contains(series.labels.get(NAME))) {
        let id = alone.id(&series.labels);
        for sample in &series.samples {
            // They come from a store, in order.
            _ = alone.append_to(id, sample.at_ms, sample.value);
        }
    }
    alone
}
