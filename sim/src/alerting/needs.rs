//! Which of the members' metrics the rules look at: the rest of two thousand series need not be scraped.

use std::collections::BTreeSet;

use squall_alerts::{
    query::only_metric,
    rules::{Rule, RuleFile},
};

/// The names of the families that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Needs {
    /// All of them.
    All,
    /// These.
    Names(BTreeSet<String>),
}

impl Needs {
    /// What these rules look at.
    pub(super) fn of(files: &[RuleFile]) -> Needs {
        let exprs = files.iter().flat_map(RuleFile::rules).map(Rule::expr);
        let mut names = BTreeSet::new();
        for selector in exprs.flat_map(|expr| expr.selectors()) {
            let Some(name) = only_metric(&selector.matchers) else { return Needs::All };
            // A part of a histogram is shown by the family without the suffix.
            let suffixes = ["_bucket", "_sum", "_count"].into_iter();
            let families = suffixes.filter_map(|suffix| name.strip_suffix(suffix));
            names.extend(families.chain([name]).map(str::to_owned));
        }
        Needs::Names(names)
    }

    /// Whether a family is wanted.
    pub(super) fn wants(&self, family: &str) -> bool {
        match self {
            Needs::All => true,
            Needs::Names(names) => names.contains(family),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(expr: &str) -> Needs {
        let text = format!("groups: [{{name: g, rules: [{{alert: A, expr: '{expr}'}}]}}]");
        Needs::of(&[RuleFile::parse(&text).unwrap()])
    }

    #[test]
    fn a_histogram_is_wanted_for_its_parts() {
        let needs = needs("histogram_quantile(0.9, rate(a_bucket[5m])) > on () b or absent(c{x=\"y\"})");
        for (family, wanted) in [("a", true), ("b", true), ("c", true), ("a_b", false), ("d", false)] {
            assert_eq!(needs.wants(family), wanted, "{family}");
        }
    }

    #[test]
    fn a_rule_that_asks_by_a_pattern_wants_all() {
        assert_eq!(needs("{__name__=~\"a.*\"} > 1"), Needs::All);
        assert!(needs("{__name__=~\"a.*\"} > 1").wants("anything"));
    }
}
