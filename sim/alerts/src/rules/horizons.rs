//! How long the samples of a metric matter to some rules: as far back as the rule reaches that looks back furthest at it. One
//! rule that predicts from four hours keeps one metric for four hours, and not thousands of series.

use std::collections::BTreeMap;

use super::RuleFile;
use crate::query::only_metric;

/// By metric: how far back from an evaluation the oldest sample may lie that counts, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Horizons {
    by_name: BTreeMap<String, i64>,
    /// Of every metric: what selectors reach that name none.
    of_all: i64,
}

impl Horizons {
    /// Those of the rules of some files.
    pub fn of(files: &[RuleFile]) -> Self {
        let mut horizons = Self::default();
        for (selector, ms) in files.iter().flat_map(RuleFile::rules).flat_map(|rule| rule.expr().looks_back())
        {
            let most = match only_metric(&selector.matchers) {
                Some(name) => horizons.by_name.entry(name.to_owned()).or_default(),
                None => &mut horizons.of_all,
            };
            *most = ms.max(*most);
        }
        horizons
    }

    /// That of a metric.
    pub fn of_metric(&self, name: &str) -> i64 {
        self.by_name.get(name).copied().unwrap_or(0).max(self.of_all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn horizons(exprs: &[&str]) -> Horizons {
        let rules: Vec<String> = exprs.iter().map(|expr| format!("{{alert: A, expr: '{expr}'}}")).collect();
        let text = format!("groups: [{{name: g, rules: [{}]}}]", rules.join(", "));
        Horizons::of(&[RuleFile::parse(&text).unwrap()])
    }

    #[test]
    fn each_metric_is_kept_as_long_as_the_rule_that_reaches_furthest() {
        let horizons = horizons(&["rate(a[10m]) > b", "rate(a[2m]) > 0", "rate(b[4h] offset 1h) > 0"]);
        let minutes = ["a", "b", "c"].map(|name| horizons.of_metric(name) / 60_000);
        assert_eq!(minutes, [10, 300, 0]);
    }

    #[test]
    fn a_rule_that_asks_by_a_pattern_keeps_every_metric() {
        let horizons = horizons(&["rate({__name__=~\"a.*\"}[10m]) > 0", "rate(b[1h]) > 0"]);
        assert_eq!(["a", "b", "c"].map(|name| horizons.of_metric(name) / 60_000), [10, 60, 10]);
    }
}
