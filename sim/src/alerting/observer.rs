//! The Prometheus itself: its moments, its targets, and what it tells the history.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use squall_alerts::{
    Evaluator,
    labels::{Labels, NAME},
    numbers::go_v,
    rules::{AlertState, Phase, RuleFile, Surroundings},
};
use squall_checker::history as h;
use squall_store::metrics::{Family, Part, SharedLabels};

use super::{needs::Needs, series::Scraped};
use crate::{
    arena::{Arena, At, NodeId},
    cluster::Cluster,
    scenario::{Alerts, Kept},
    workload::Recorder,
};

/// A Prometheus that watches one run.
pub(crate) struct Prometheus {
    arena: Arc<dyn Arena>,
    cluster: Cluster,
    recorder: Arc<Recorder>,
    settings: Alerts,
    files: Vec<RuleFile>,
    needs: Needs,
    origin: At,
    state: RefCell<State>,
}

struct State {
    evaluator: Evaluator,
    targets: Vec<Target>,
    /// The alerts that are pending or fire, by group, name and labels.
    active: BTreeMap<(String, String, Labels), Phase>,
    /// The rules that could not be evaluated: how often, and the first reason.
    failures: BTreeMap<(String, String), (u64, String)>,
    /// The moments of the last scrape and the last evaluation.
    scraped_ms: Option<i64>,
    evaluated_ms: i64,
}

/// A member, and what it showed last: the labels of thousands of series are made once.
struct Target {
    node: NodeId,
    labels: Labels,
    shown: Vec<Shown>,
}

/// A number that a member showed, as the member holds it and as it is scraped.
struct Shown {
    family: &'static str,
    suffix: &'static str,
    le: Option<u64>,
    own: SharedLabels,
    labels: Labels,
}

impl Prometheus {
    /// One that has seen nothing yet; its time begins now.
    pub(crate) fn new(
        settings: &Alerts,
        arena: Arc<dyn Arena>,
        cluster: Cluster,
        recorder: Arc<Recorder>,
    ) -> Prometheus {
        let files = settings.rule_files();
        let targets = cluster.endpoints().into_iter().map(|endpoint| {
            let labels = [("instance", endpoint.address.as_str()), ("job", settings.job.as_str())];
            Target { node: cluster.node(&endpoint.name), labels: Labels::of(labels), shown: Vec::new() }
        });
        let external = settings.external_labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let surroundings = Surroundings {
            evaluation_interval_ms: millis(settings.evaluation_interval),
            external_labels: Labels::of(external),
            ..Surroundings::default()
        };
        let evaluator = match settings.series {
            Kept::Nothing => Evaluator::forgetting(&files, surroundings),
            _ => Evaluator::new(&files, surroundings),
        };
        let state = State {
            evaluator,
            targets: targets.collect(),
            active: BTreeMap::new(),
            failures: BTreeMap::new(),
            scraped_ms: None,
            evaluated_ms: 0,
        };
        let needs = if settings.series == Kept::All { Needs::All } else { Needs::of(&files) };
        let origin = arena.now();
        Prometheus {
            arena,
            cluster,
            recorder,
            settings: settings.clone(),
            files,
            needs,
            origin,
            state: RefCell::new(state),
        }
    }

    /// Scrapes and evaluates, each at its moments. At a moment of both it scrapes first.
    pub(crate) async fn watch(&self) -> Infallible {
        let scrape_ms = millis(self.settings.scrape_interval);
        let own = self.files.iter().flat_map(|file| &file.groups).map(|group| group.interval_ms);
        let usual = millis(self.settings.evaluation_interval);
        let intervals: BTreeSet<i64> = own.map(|own| own.unwrap_or(usual)).collect();
        let mut now_ms = 0;
        loop {
            if now_ms % scrape_ms == 0 {
                self.scrape(now_ms);
            }
            if intervals.iter().any(|interval| now_ms % interval == 0) {
                self.evaluate(now_ms);
            }
            let next = |interval: &i64| (now_ms / interval + 1) * interval;
            now_ms = intervals.iter().chain([&scrape_ms]).map(next).min().expect("there is one");
            self.arena.sleep_until(self.moment(now_ms)).await;
        }
    }

    fn moment(&self, at_ms: i64) -> At {
        self.origin.after(Duration::from_millis(u64::try_from(at_ms).unwrap_or(0)))
    }

    fn scrape(&self, at_ms: i64) {
        let State { evaluator, targets, scraped_ms, .. } = &mut *self.state.borrow_mut();
        let clients = self.cluster.client_nodes();
        for target in targets {
            let found = self.arena.scrape(target.node, &clients, &|family| self.needs.wants(family));
            let samples = found.map(|families| target.samples(&families));
            let taken = evaluator.scrape(at_ms, &target.labels, samples.as_deref());
            taken.unwrap_or_else(|error| panic!("a scrape goes forward in time: {error}"));
        }
        *scraped_ms = Some(at_ms);
    }

    fn evaluate(&self, at_ms: i64) {
        let state = &mut *self.state.borrow_mut();
        state.evaluated_ms = at_ms;
        let (alerts, failures) = state.evaluator.evaluate(at_ms);
        for failure in failures {
            let entry = state.failures.entry((failure.group, failure.rule)).or_insert((0, failure.what));
            entry.0 += 1;
        }
        let at = self.moment(at_ms).0;
        let mut before = std::mem::take(&mut state.active);
        for alert in alerts {
            let key = (alert.group.clone(), alert.alert.clone(), alert.labels.clone());
            if before.remove(&key) != Some(alert.phase) {
                self.record_state(at, &alert.alert, &alert.labels, phase(&alert), go_v(alert.value));
            }
            state.active.insert(key, alert.phase);
        }
        for ((_, name, labels), phase) in before {
            let ended = match phase {
                Phase::Pending => h::AlertState::Inactive,
                Phase::Firing => h::AlertState::Resolved,
            };
            self.record_state(at, &name, &labels, ended, String::new());
        }
    }

    fn record_state(&self, at: u64, alert: &str, labels: &Labels, state: h::AlertState, value: String) {
        let others = labels.iter().filter(|(name, _)| *name != "alertname");
        let labels = others.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let line = h::AlertLine { at, alert: alert.to_owned(), labels, state, value };
        self.recorder.event(h::Event::Alert(line));
    }

    /// The run is over: the history is told which rules could not have fired, and the series are handed over.
    pub(crate) fn finish(self) -> Option<Scraped> {
        let at = self.moment(self.state.borrow().evaluated_ms).0;
        let state = self.state.into_inner();
        for (group, rule) in state.evaluator.groups().alert_rules() {
            let failed = state.failures.get(&(group.to_owned(), rule.name.clone()));
            let missing = rule.expr.missing_from(state.evaluator.store());
            let why = match (failed, missing) {
                (Some((times, what)), _) => {
                    format!("it could not be evaluated, {times} times, first because of: {what}")
                }
                (None, Some(span)) => {
                    format!("there was never a series `{}`", &rule.text[span.begin..span.end])
                }
                (None, None) => continue,
            };
            let own = rule.fixed_labels();
            let labels = own.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
            let line = h::AlertBlind { at, alert: rule.name.clone(), labels, why };
            self.recorder.event(h::Event::AlertBlind(line));
        }
        (self.settings.series != Kept::Nothing).then(|| Scraped {
            origin_ns: self.origin.0,
            scrape_interval_ms: millis(self.settings.scrape_interval),
            scraped_ms: state.scraped_ms.unwrap_or(0),
            evaluated_ms: state.evaluated_ms,
            store: state.evaluator.into_store(),
        })
    }
}

impl Target {
    /// The samples of what the member shows now.
    fn samples(&mut self, families: &[Family]) -> Vec<(Labels, f64)> {
        let mut samples = Vec::with_capacity(self.shown.len());
        for family in families {
            for series in &family.series {
                // The parts of a series have its labels in common: they are compared, and kept, once.
                let known = self.shown.get(samples.len()).map(|shown| Arc::clone(&shown.own));
                let same = known.filter(|own| Arc::ptr_eq(own, &series.labels) || *own == series.labels);
                let own = same.unwrap_or_else(|| Arc::clone(&series.labels));
                for part in series.parts() {
                    let at = samples.len();
                    if !self.shown.get(at).is_some_and(|shown| shown.is(family, &own, &part)) {
                        // What follows has moved, and is found where it is now.
                        self.shown.truncate(at);
                        self.shown.push(Shown::new(family, &own, &part));
                    }
                    samples.push((self.shown[at].labels.clone(), part.value));
                }
            }
        }
        self.shown.truncate(samples.len());
        samples
    }
}

impl Shown {
    fn new(family: &Family, own: &SharedLabels, part: &Part<'_>) -> Shown {
        let written = family.sample(part);
        let pairs = written.labels.iter().map(|(name, value)| (*name, value.as_str()));
        Shown {
            family: family.name,
            suffix: part.suffix,
            le: part.le.map(f64::to_bits),
            own: Arc::clone(own),
            labels: Labels::of(pairs.chain([(NAME, written.name.as_str())])),
        }
    }

    /// Whether it is this part of the series of these labels. Names are constants, mostly told by their addresses.
    fn is(&self, family: &Family, own: &SharedLabels, part: &Part<'_>) -> bool {
        let same = |a: &'static str, b: &'static str| std::ptr::eq(a, b) || a == b;
        same(self.family, family.name)
            && same(self.suffix, part.suffix)
            && self.le == part.le.map(f64::to_bits)
            && Arc::ptr_eq(&self.own, own)
    }
}

fn phase(alert: &AlertState) -> h::AlertState {
    match alert.phase {
        Phase::Pending => h::AlertState::Pending,
        Phase::Firing => h::AlertState::Firing,
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
