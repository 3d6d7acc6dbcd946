//! A label set: what names a series.
//!
//! Labels are sorted by name and hold no empty value, since an empty value and no label are the same to Prometheus. The
//! metric's name is the label `__name__`. A label set is shared, not copied: an evaluation hands thousands of them on.

use std::{fmt, sync::Arc};

use crate::numbers::quote;

/// The label that holds the metric's name.
pub const NAME: &str = "__name__";

/// A sorted set of labels, cheap to clone.
#[derive(Clone, Debug, Eq, PartialOrd, Ord)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

/// Most comparisons are of a set with itself, which its address tells.
impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

impl Labels {
    /// The labels of these pairs. A later pair of the same name wins; an empty value takes the label away.
    pub fn of<N: Into<Arc<str>>, V: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut all: Vec<(Arc<str>, Arc<str>)> =
            pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        // Stable: of the same name the last one stays last.
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let mut kept: Vec<(Arc<str>, Arc<str>)> = Vec::with_capacity(all.len());
        for pair in all {
            match kept.last_mut() {
                Some(last) if last.0 == pair.0 => *last = pair,
                _ => kept.push(pair),
            }
        }
        kept.retain(|(_, value)| !value.is_empty());
        Self(kept.into())
    }

    /// The value of a label, empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(have, _)| **have == *name).map_or("", |(_, value)| value)
    }

    /// The metric's name, empty where it was dropped.
    pub fn metric(&self) -> &str {
        self.get(NAME)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These labels with one set; an empty value takes it away.
    pub fn with(&self, name: &str, value: &str) -> Self {
        if self.get(name) == value {
            return self.clone();
        }
        let mut all: Vec<_> = self.0.iter().filter(|(have, _)| **have != *name).cloned().collect();
        if !value.is_empty() {
            let at = all.partition_point(|(have, _)| **have < *name);
            all.insert(at, (name.into(), value.into()));
        }
        Self(all.into())
    }

    /// These labels without the metric's name.
    pub fn without_name(&self) -> Self {
        self.retain(|name| name != NAME)
    }

    /// Only the labels of these names.
    pub fn only(&self, names: &[Arc<str>]) -> Self {
        self.retain(|name| names.iter().any(|wanted| **wanted == *name))
    }

    /// All labels but those of these names and the metric's name.
    pub fn without(&self, names: &[Arc<str>]) -> Self {
        self.retain(|name| name != NAME && !names.iter().any(|unwanted| **unwanted == *name))
    }

    /// The labels whose name is to be kept.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) -> Self {
        if self.0.iter().all(|(name, _)| keep(name)) {
            return self.clone();
        }
        Self(self.0.iter().filter(|(name, _)| keep(name)).cloned().collect())
    }
}

/// Whether all of these label sets have the same metric's name. Series of one metric stay different without it.
pub fn have_one_name<'a>(all: impl IntoIterator<Item = &'a Labels>) -> bool {
    let mut names = all.into_iter().map(Labels::metric);
    names.next().is_none_or(|first| names.all(|name| name == first))
}

/// As Prometheus writes a series: `name{label="value", …}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric())?;
        let rest: Vec<String> = self
            .iter()
            .filter(|(name, _)| *name != NAME)
            .map(|(name, value)| format!("{name}={}", quote(value)))
            .collect();
        if rest.is_empty() && !self.metric().is_empty() {
            return Ok(());
        }
        write!(f, "{{{}}}", rest.join(", "))
    }
}

/// Whether this may be a label's name.
pub fn is_label_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether this may be a metric's name.
pub fn is_metric_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pair_wins_and_an_empty_value_is_no_label() {
        let labels = Labels::of([("b", "1"), ("a", "2"), ("b", "3"), ("c", "")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        assert_eq!(labels.with("a", "").with("aa", "x").to_string(), r#"{aa="x", b="3"}"#);
        assert_eq!(labels.with(NAME, "m").to_string(), r#"m{a="2", b="3"}"#);
        assert_eq!(Labels::default().to_string(), "{}");
    }

    #[test]
    fn groups_are_labels_kept_or_dropped() {
        let labels = Labels::of([(NAME, "m"), ("a", "1"), ("b", "2")]);
        assert_eq!(labels.only(&["a".into()]).to_string(), r#"{a="1"}"#);
        assert_eq!(labels.without(&["a".into()]).to_string(), r#"{b="2"}"#);
    }
}
