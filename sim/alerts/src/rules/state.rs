//! Rules over time: alerts that become pending, fire and end; series that are recorded.
//!
//! An alert is pending from the first evaluation at which its expression has an element, fires from the first at which it
//! has had one for at least `for`, and ends at the first without one, or, if it fired, `keep_firing_for` after it. Its
//! state is written as the series `ALERTS` and `ALERTS_FOR_STATE`. Within a group each rule sees what those before it have
//! recorded at the same moment.

use std::collections::{BTreeMap, BTreeSet};

use super::{AlertRule, Group, RecordRule, Rule, RuleFile};
use crate::{
    eval::{Context, Memo},
    labels::{Labels, NAME},
    query,
    store::{STALE, Store},
    template::Data,
};

/// What an alert is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Its expression holds, but not for long enough yet.
    Pending,
    /// It fires.
    Firing,
}

impl Phase {
    /// As the label `alertstate` says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// One alert at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertState {
    /// The rule's group.
    pub group: String,
    /// The alert's name.
    pub alert: String,
    /// Its labels, `alertname` among them.
    pub labels: Labels,
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
    /// What it is doing.
    pub phase: Phase,
    /// The value of its expression when it last held.
    pub value: f64,
    /// Since when its expression has held.
    pub active_since_ms: i64,
    /// Since when it has fired.
    pub firing_since_ms: Option<i64>,
}

/// A rule that had no value at a moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("group {group:?}, rule {rule} at {at_ms} ms: {what}")]
pub struct RuleFailure {
    /// The rule's group.
    pub group: String,
    /// The rule's name.
    pub rule: String,
    /// The moment.
    pub at_ms: i64,
    /// Why.
    pub what: String,
}

/// What rules and their templates are told of where they run.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// How often a group is evaluated that does not say so itself, and the step of a subquery that names none.
    pub evaluation_interval_ms: i64,
    /// Labels that templates may name.
    pub external_labels: Labels,
    /// The address that templates may name.
    pub external_url: String,
}

impl Default for Surroundings {
    /// One minute, as in Prometheus.
    fn default() -> Self {
        Self {
            evaluation_interval_ms: 60_000,
            external_labels: Labels::default(),
            external_url: String::new(),
        }
    }
}

/// Groups of rules and the state of their alerts.
#[derive(Clone, Debug)]
pub struct Groups {
    groups: Vec<GroupState>,
    surroundings: Surroundings,
}

#[derive(Clone, Debug)]
struct GroupState {
    group: Group,
    /// The moment from which on it is evaluated next.
    due_ms: Option<i64>,
    rules: Vec<RuleState>,
}

#[derive(Clone, Debug, Default)]
struct RuleState {
    memo: Memo,
    active: BTreeMap<Labels, Active>,
    /// The series that it wrote at its last evaluation.
    written: BTreeSet<Labels>,
}

#[derive(Clone, Debug)]
struct Active {
    annotations: BTreeMap<String, String>,
    value: f64,
    since_ms: i64,
    fired_ms: Option<i64>,
    kept_since_ms: Option<i64>,
}

impl Groups {
    /// The groups of these files, in their order, with no alert active.
    pub fn new(files: &[RuleFile], surroundings: Surroundings) -> Self {
        let groups = files.iter().flat_map(|file| &file.groups).map(|group| GroupState {
            group: group.clone(),
            due_ms: None,
            rules: vec![RuleState::default(); group.rules.len()],
        });
        Self { groups: groups.collect(), surroundings }
    }

    /// Puts the groups into another order: those with the smaller number first, and else as they were.
    pub fn order_by(&mut self, number: impl Fn(&str) -> usize) {
        self.groups.sort_by_key(|state| number(&state.group.name));
    }

    /// The alert rules, as (group, rule).
    pub fn alert_rules(&self) -> impl Iterator<Item = (&str, &AlertRule)> {
        self.groups.iter().flat_map(|state| {
            state.group.rules.iter().filter_map(|rule| match rule {
                Rule::Alert(alert) => Some((state.group.name.as_str(), alert)),
                Rule::Record(_) => None,
            })
        })
    }

    /// Evaluates the groups that are due at this moment: each at the first one, and then at its interval.
    pub fn evaluate_due(&mut self, store: &mut Store, at_ms: i64) -> Vec<RuleFailure> {
        self.evaluate_where(store, at_ms, |state, interval_ms| {
            let due = state.due_ms.is_none_or(|due_ms| at_ms >= due_ms);
            if due {
                // The next one keeps the first one's beat, even where this one came late.
                let from_ms = state.due_ms.unwrap_or(at_ms);
                state.due_ms = Some(from_ms + ((at_ms - from_ms) / interval_ms + 1) * interval_ms);
            }
            due
        })
    }

    /// Evaluates all groups, whatever their intervals, as promtool does.
    pub fn evaluate_all(&mut self, store: &mut Store, at_ms: i64) -> Vec<RuleFailure> {
        self.evaluate_where(store, at_ms, |_, _| true)
    }

    fn evaluate_where(
        &mut self,
        store: &mut Store,
        at_ms: i64,
        mut due: impl FnMut(&mut GroupState, i64) -> bool,
    ) -> Vec<RuleFailure> {
        let Self { groups, surroundings } = self;
        let mut failures = Vec::new();
        for state in groups {
            let interval_ms = state.group.interval_ms.unwrap_or(surroundings.evaluation_interval_ms).max(1);
            if !due(state, interval_ms) {
                continue;
            }
            let GroupState { group, rules, .. } = state;
            for (rule, state) in group.rules.iter().zip(rules) {
                let written = match rule {
                    Rule::Record(rule) => record(rule, group.limit, store, surroundings, &state.memo, at_ms),
                    Rule::Alert(rule) => state.alert(rule, group.limit, store, surroundings, at_ms),
                };
                match written {
                    Ok(samples) => state.write(store, at_ms, samples),
                    Err(what) => {
                        let rule = rule.name().to_owned();
                        failures.push(RuleFailure { group: group.name.clone(), rule, at_ms, what });
                    }
                }
            }
        }
        failures
    }

    /// All alerts that are pending or fire, by group, rule and labels.
    pub fn alerts(&self) -> Vec<AlertState> {
        let mut alerts = Vec::new();
        for GroupState { group, rules, .. } in &self.groups {
            for (rule, state) in group.rules.iter().zip(rules) {
                alerts.extend(state.active.iter().map(|(labels, active)| AlertState {
                    group: group.name.clone(),
                    alert: rule.name().to_owned(),
                    labels: labels.clone(),
                    annotations: active.annotations.clone(),
                    phase: active.phase(),
                    value: active.value,
                    active_since_ms: active.since_ms,
                    firing_since_ms: active.fired_ms,
                }));
            }
        }
        alerts
    }
}

impl Rule {
    /// Its expression.
    pub fn expr(&self) -> &query::Expr {
        match self {
            Self::Record(rule) => &rule.expr,
            Self::Alert(rule) => &rule.expr,
        }
    }

    /// The name of the alert or of the series.
    pub fn name(&self) -> &str {
        match self {
            Self::Record(rule) => &rule.name,
            Self::Alert(rule) => &rule.name,
        }
    }
}

impl Active {
    fn phase(&self) -> Phase {
        if self.fired_ms.is_some() { Phase::Firing } else { Phase::Pending }
    }
}

fn context<'a>(store: &'a Store, surroundings: &Surroundings) -> Context<'a> {
    Context { default_step_ms: surroundings.evaluation_interval_ms, ..Context::new(store) }
}

fn record(
    rule: &RecordRule,
    limit: usize,
    store: &Store,
    surroundings: &Surroundings,
    memo: &Memo,
    at_ms: i64,
) -> Result<Vec<(Labels, f64)>, String> {
    let context = Context { memo: Some(memo), ..context(store, surroundings) };
    let elements = context.vector(&rule.expr, at_ms).map_err(|error| error.to_string())?;
    let mut seen = BTreeSet::new();
    let mut samples = Vec::with_capacity(elements.len());
    for element in elements {
        let mut labels = element.labels.with(NAME, &rule.name);
        for (name, value) in &rule.labels {
            labels = labels.with(name, value);
        }
        if !seen.insert(labels.clone()) {
            return Err(
                "vector contains metrics with the same labelset after applying rule labels".to_owned()
            );
        }
        samples.push((labels, element.value));
    }
    if limit > 0 && samples.len() > limit {
        return Err(format!("exceeded limit of {limit} with {} series", samples.len()));
    }
    Ok(samples)
}

impl RuleState {
    /// Evaluates an alert rule; returns what is written of its alerts.
    fn alert(
        &mut self,
        rule: &AlertRule,
        limit: usize,
        store: &Store,
        surroundings: &Surroundings,
        at_ms: i64,
    ) -> Result<Vec<(Labels, f64)>, String> {
        // What a template asks is another expression each time, so its context remembers nothing.
        let context = context(store, surroundings);
        let remembering = Context { memo: Some(&self.memo), ..context };
        let elements = remembering.vector(&rule.expr, at_ms).map_err(|error| error.to_string())?;
        let query = |text: &str| {
            let expr = query::parse(text).map_err(|error| error.to_string())?;
            context.vector(&expr, at_ms).map_err(|error| error.to_string())
        };
        let mut holding = BTreeMap::new();
        for element in elements {
            let data = Data {
                labels: &element.labels,
                value: element.value,
                external_labels: &surroundings.external_labels,
                external_url: &surroundings.external_url,
                query: &query,
            };
            let mut labels = element.labels.without_name();
            for (name, (_, value)) in &rule.labels {
                labels = labels.with(name, &value.expand(&data));
            }
            labels = labels.with("alertname", &rule.name);
            let annotations =
                rule.annotations.iter().map(|(name, text)| (name.clone(), text.expand(&data))).collect();
            let active = Active {
                annotations,
                value: element.value,
                since_ms: at_ms,
                fired_ms: None,
                kept_since_ms: None,
            };
            if holding.insert(labels, active).is_some() {
                return Err(
                    "vector contains metrics with the same labelset after applying alert labels".to_owned()
                );
            }
        }
        for (labels, active) in &mut self.active {
            match holding.remove(labels) {
                Some(new) => {
                    (active.value, active.annotations) = (new.value, new.annotations);
                    active.kept_since_ms = None;
                }
                // Kept from the first evaluation at which it does not hold; whether it ends is decided below.
                None => {
                    active.kept_since_ms.get_or_insert(at_ms);
                }
            }
        }
        self.active.extend(holding);
        self.active.retain(|_, active| match active.kept_since_ms {
            None => true,
            Some(since_ms) => active.fired_ms.is_some() && at_ms - since_ms < rule.keep_firing_for_ms,
        });
        for active in self.active.values_mut() {
            if active.fired_ms.is_none() && at_ms - active.since_ms >= rule.for_ms {
                active.fired_ms = Some(at_ms);
            }
        }
        if limit > 0 && self.active.len() > limit {
            let count = self.active.len();
            self.active.clear();
            return Err(format!("exceeded limit of {limit} with {count} alerts"));
        }
        Ok(self.samples(rule))
    }

    fn samples(&self, rule: &AlertRule) -> Vec<(Labels, f64)> {
        let raw = |labels: &Labels| {
            // A label whose template came to nothing is written as the template.
            rule.labels.iter().fold(labels.clone(), |labels, (name, (text, _))| {
                if labels.get(name).is_empty() { labels.with(name, text) } else { labels }
            })
        };
        let mut samples = Vec::with_capacity(2 * self.active.len());
        for (labels, active) in &self.active {
            let labels = raw(labels);
            samples.push((labels.with(NAME, "ALERTS").with("alertstate", active.phase().word()), 1.0));
            samples.push((labels.with(NAME, "ALERTS_FOR_STATE"), active.since_ms.div_euclid(1000) as f64));
        }
        samples
    }

    /// Writes samples, and ends the series that were written last time and are not now.
    fn write(&mut self, store: &mut Store, at_ms: i64, samples: Vec<(Labels, f64)>) {
        let mut written = BTreeSet::new();
        for (labels, value) in samples {
            // Another rule may have written the series at this moment: the first one counts, as in Prometheus.
            if store.append(&labels, at_ms, value).is_ok() {
                written.insert(labels);
            }
        }
        for ended in self.written.difference(&written) {
            _ = store.append(ended, at_ms, STALE);
        }
        self.written = written;
    }
}
