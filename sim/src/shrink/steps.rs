//! The steps: parts of a scenario that can be removed, narrowed, or rounded. Each function lists steps, the largest
//! change first. Steps of one group are alternatives: the first that still shows the failure is taken.
//!
//! Settings are processed in their JSON form, so a new setting needs no code here.

use std::{collections::BTreeMap, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    faults::{Aim, Fault, Item, Selector, parse_strike},
    scenario::{Cluster, Disk, Mix, Network, Scenario, Workload},
    text::{Window, format_duration, parse_duration},
};

/// One step.
pub(super) struct Step {
    /// Names what it changes. Steps with the same name are alternatives.
    pub group: String,
    /// The scenario after it.
    pub scenario: Scenario,
}

/// A scenario's copy with a change.
fn step(group: impl Into<String>, scenario: &Scenario, change: impl FnOnce(&mut Scenario)) -> Step {
    let mut scenario = scenario.clone();
    change(&mut scenario);
    Step { group: group.into(), scenario }
}

/// A shorter time limit, and a shorter time to settle.
pub(super) fn time(scenario: &Scenario) -> Vec<Step> {
    let limit = scenario.spec.time_limit;
    let parts = [(1, 8), (1, 4), (1, 2), (3, 4), (7, 8)];
    let mut steps: Vec<Step> = parts
        .into_iter()
        .map(|(part, of)| whole(limit * part / of))
        .filter(|shorter| *shorter < limit)
        .map(|shorter| step("timeLimit", scenario, |scenario| end_at(scenario, shorter)))
        .collect();
    let settle = scenario.spec.final_phase.settle;
    steps.extend(
        [1, 2, 4]
            .map(Duration::from_secs)
            .into_iter()
            .filter(|shorter| *shorter < settle)
            .map(|shorter| step("settle", scenario, |scenario| scenario.spec.final_phase.settle = shorter)),
    );
    steps
}

/// A time rounded up to seconds, or to half a second if it is short.
fn whole(time: Duration) -> Duration {
    let unit: u128 = if time > Duration::from_secs(3) { 1_000 } else { 500 };
    Duration::from_millis((time.as_millis().div_ceil(unit) * unit) as u64)
}

fn end_at(scenario: &mut Scenario, limit: Duration) {
    scenario.spec.time_limit = limit;
    let ends_before: Vec<bool> = scenario.spec.each_fault().map(|fault| fault.at.to < limit).collect();
    super::relations::keep_faults(scenario, |index| ends_before[index]);
    for fault in faults_mut(scenario) {
        if let Some(duration) = &mut fault.duration {
            let longest = limit.saturating_sub(fault.at.to);
            *duration = Window { from: duration.from.min(longest), to: duration.to.min(longest) };
        }
    }
}

/// The faults. A plan is shrunk, so there are no groups of faults.
pub(super) fn faults_mut(scenario: &mut Scenario) -> impl Iterator<Item = &mut Fault> {
    scenario.spec.faults.iter_mut().filter_map(|item| match item {
        Item::Fault(fault) => Some(&mut **fault),
        Item::Group(_) => None,
    })
}

/// The fault with this index.
fn fault_mut(scenario: &mut Scenario, index: usize) -> &mut Fault {
    faults_mut(scenario).nth(index).expect("a fault was counted")
}

/// Without all strikes of one of the faults that the plan was drawn from.
pub(super) fn without_strikes(scenario: &Scenario) -> Vec<Step> {
    let all = strikes(scenario);
    let several = all.iter().filter(|_| all.len() > 1);
    several
        .map(|(drawn_from, places)| {
            step(format!("without {drawn_from}"), scenario, |scenario| {
                super::relations::keep_faults(scenario, |index| !places.contains(&index));
            })
        })
        .collect()
}

/// One fault that strikes again and again, in place of strikes that are written out one by one. A person would write it
/// so. Chance then decides each strike anew, so several rhythms are tried.
pub(super) fn rhythms(scenario: &Scenario) -> Vec<Step> {
    let mut steps = Vec::new();
    for (drawn_from, places) in strikes(scenario) {
        let of_it: Vec<&Fault> =
            places.iter().filter_map(|place| scenario.spec.each_fault().nth(*place)).collect();
        let [first, .., last] = of_it.as_slice() else { continue };
        let mean = last.at.from.saturating_sub(first.at.from) / (of_it.len() as u32 - 1);
        let longest = of_it.iter().filter_map(|fault| fault.duration).map(|duration| duration.to).max();
        let duration = first.duration.zip(longest).map(|(window, to)| Window { to, ..window });
        for every in [mean, mean * 3 / 4, mean * 3 / 2, mean / 2, mean * 2].map(round_rhythm) {
            steps.push(step(format!("rhythm {drawn_from}"), scenario, |scenario| {
                super::relations::keep_faults(scenario, |index| !places[1..].contains(&index));
                let fault = fault_mut(scenario, places[0]);
                (fault.every, fault.duration, fault.draw) = (Some(Window::exactly(every)), duration, None);
            }));
        }
    }
    steps
}

/// A time between two strikes, rounded to 100 ms, or to 10 ms if it is short.
fn round_rhythm(time: Duration) -> Duration {
    let unit = if time < Duration::from_millis(500) { 10 } else { 100 };
    Duration::from_millis(((time.as_millis() as u64 + unit / 2) / unit).max(1) * unit)
}

/// The places of the strikes of each fault that the plan was drawn from: `crash`, `crash.2`, `crash.3`, …
fn strikes(scenario: &Scenario) -> BTreeMap<String, Vec<usize>> {
    let mut all: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, fault) in scenario.spec.each_fault().enumerate() {
        let name = fault.name.clone().unwrap_or_else(|| format!("{} at place {place}", fault.action.name()));
        all.entry(parse_strike(&name).0.to_owned()).or_default().push(place);
    }
    all
}

/// Fewer workloads, and smaller ones.
pub(super) fn workloads(scenario: &Scenario) -> Vec<Step> {
    let mut steps = Vec::new();
    let count = scenario.spec.workloads.len();
    for index in (0..count).filter(|_| count > 1) {
        // Named, because indices change when a workload is dropped.
        let name = scenario.spec.workloads[index].name();
        steps.push(step(format!("drop {name}"), scenario, |scenario| {
            scenario.spec.workloads.remove(index);
        }));
    }
    for (index, workload) in scenario.spec.workloads.iter().enumerate() {
        let name = workload.name();
        let mut set = |key: &str, change: &dyn Fn(&mut Workload)| {
            steps.push(step(format!("{name} {key}"), scenario, |scenario| {
                change(&mut scenario.spec.workloads[index]);
            }));
        };
        for clients in [1, 2, 3].into_iter().filter(|fewer| *fewer < workload.clients) {
            set("clients", &|workload| workload.clients = clients);
        }
        for keys in [1, 2, 3, 5].into_iter().filter(|fewer| *fewer < workload.keys) {
            set("keys", &|workload| {
                workload.keys = keys;
                workload.hot_keys = workload.hot_keys.min(keys);
            });
        }
        for rate in [10, 20, 50, 100].into_iter().filter(|fewer| *fewer < workload.rate) {
            set("rate", &|workload| workload.rate = rate);
        }
        if let Some(mix) = &workload.mix {
            set("mix", &|workload| workload.mix = None);
            for (operation, weight) in mix.weights() {
                if weight > 0 {
                    set(operation, &|workload| {
                        workload.mix = workload.mix.clone().map(|mix| less(mix, operation))
                    });
                }
            }
        }
        let plain = default_of(workload);
        for (key, changed) in towards(workload, &plain, &["type", "name", "clients", "keys", "rate", "mix"]) {
            set(&key, &|workload| workload.clone_from(&changed));
        }
    }
    steps
}

/// The workload that `{type: …}` in a file means.
fn default_of(workload: &Workload) -> Workload {
    let name = workload.kind.name();
    serde_json::from_value(serde_json::json!({"type": name})).expect("a workload needs its type alone")
}

fn less(mix: Mix, operation: &str) -> Mix {
    let mut value = serde_json::to_value(&mix).expect("numbers");
    value[operation] = 0.into();
    serde_json::from_value(value).unwrap_or(mix)
}

/// Fewer members, and default settings.
pub(super) fn settings(scenario: &Scenario) -> Vec<Step> {
    let spec = &scenario.spec;
    let mut steps = Vec::new();
    for members in [1, 3, 5].into_iter().filter(|fewer| *fewer < spec.cluster.members) {
        steps.push(step("members", scenario, |scenario| scenario.spec.cluster.members = members));
    }
    // A planted bug stays.
    let kept = Cluster {
        members: spec.cluster.members,
        planted_bug: spec.cluster.planted_bug,
        ..Cluster::default()
    };
    steps.push(step("all of cluster", scenario, |scenario| scenario.spec.cluster = kept.clone()));
    for (key, cluster) in towards(&spec.cluster, &kept, &[]) {
        steps.push(step(format!("cluster {key}"), scenario, |scenario| scenario.spec.cluster = cluster));
    }
    steps.push(step("all of network", scenario, |scenario| scenario.spec.network = Network::default()));
    for (key, network) in towards(&spec.network, &Network::default(), &[]) {
        steps.push(step(format!("network {key}"), scenario, |scenario| scenario.spec.network = network));
    }
    steps.push(step("all of disk", scenario, |scenario| scenario.spec.disk = Disk::default()));
    for (key, disk) in towards(&spec.disk, &Disk::default(), &[]) {
        steps.push(step(format!("disk {key}"), scenario, |scenario| scenario.spec.disk = disk));
    }
    steps
}

/// The value with one key at a time set to its default.
fn towards<T: Serialize + DeserializeOwned>(value: &T, default: &T, but: &[&str]) -> Vec<(String, T)> {
    let (Some(own), Some(plain)) = (mapping(value), mapping(default)) else { return Vec::new() };
    let keys = own.keys().chain(plain.keys().filter(|key| !own.contains_key(*key)));
    keys.filter(|key| !but.contains(&key.as_str()) && own.get(*key) != plain.get(*key))
        .filter_map(|key| {
            let mut changed = own.clone();
            match plain.get(key) {
                Some(default) => changed.insert(key.clone(), default.clone()),
                None => changed.remove(key),
            };
            Some((key.clone(), serde_json::from_value(Value::Object(changed)).ok()?))
        })
        .collect()
}

fn mapping(value: &impl Serialize) -> Option<Map<String, Value>> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => Some(map),
        _ => None,
    }
}

/// Faults with plainer targets and settings, shorter, and at rounder instants.
pub(super) fn faults(scenario: &Scenario) -> Vec<Step> {
    let mut steps = Vec::new();
    for (index, fault) in scenario.spec.each_fault().enumerate() {
        let mut set = |what: &str, change: &dyn Fn(&mut Fault)| {
            steps.push(step(format!("fault {index} {what}"), scenario, |scenario| {
                change(fault_mut(scenario, index));
            }));
        };
        if fault.action.aim() != Aim::Cluster {
            target(fault, &scenario.spec.cluster.member_names(), &mut set);
        }
        settings_of_fault(fault, &mut set);
        if let Some(every) = fault.every {
            set("every", &|fault| fault.every = None);
            for times in [4, 2] {
                set("rarer", &|fault| fault.every = Some(Window::exactly(every.from * times)));
            }
        }
        if let Some(duration) = fault.duration {
            for shorter in [100, 300, 1_000, 2_000, 3_000].map(Duration::from_millis) {
                if shorter < duration.from {
                    set("duration", &|fault| fault.duration = Some(Window { from: shorter, to: shorter }));
                }
            }
            for round in rounder(duration.from) {
                set("round duration", &|fault| fault.duration = Some(Window { from: round, to: round }));
            }
        }
        for round in rounder(fault.at.from) {
            set("at", &|fault| fault.at = Window { from: round, to: round });
        }
    }
    steps
}

/// Takes a change of one fault, and the name of what it changes.
type Set<'a> = &'a mut dyn FnMut(&str, &dyn Fn(&mut Fault));

fn target(fault: &Fault, members: &[String], set: Set<'_>) {
    if fault.selector.is_some() && fault.mode.is_some() {
        set("target", &|fault| {
            (fault.selector, fault.mode, fault.value, fault.draw) = (None, None, None, None)
        });
    }
    if fault.mode.is_some() {
        set("target", &|fault| (fault.mode, fault.value, fault.draw) = (None, None, None));
        set("mode", &|fault| (fault.mode, fault.value) = (None, None));
    }
    if fault.draw.is_some() {
        set("draw", &|fault| fault.draw = None);
        // A target by name in place of a drawn one.
        for name in members {
            set("draw", &|fault| {
                fault.selector = Some(Selector { names: vec![name.clone()], ..Selector::default() });
                (fault.mode, fault.value, fault.draw) = (None, None, None);
            });
        }
    }
}

fn settings_of_fault(fault: &Fault, set: Set<'_>) {
    let Some(settings) = fault.blocks.get(&fault.action) else { return };
    let plain = fault.action.unwritten();
    let changed = |value: Value| fault.action.settings_from(value);
    let Some(own) = mapping(settings) else { return };
    if let Some(plain) = &plain {
        set("settings", &|fault| {
            fault.blocks.remove(&fault.action);
        });
        let plain = mapping(plain).unwrap_or_default();
        for key in own.keys().filter(|key| own.get(*key) != plain.get(*key)) {
            let mut fewer = own.clone();
            match plain.get(key) {
                Some(default) => fewer.insert(key.clone(), default.clone()),
                None => fewer.remove(key),
            };
            if let Some(settings) = changed(Value::Object(fewer)) {
                set(key, &|fault| {
                    fault.blocks.insert(fault.action, settings.clone());
                });
            }
        }
    }
    for (key, value) in &own {
        let Some(time) = value.as_str().and_then(|text| parse_duration(text).ok()) else { continue };
        for round in rounder(time).into_iter().chain([Duration::ZERO].into_iter().filter(|_| !time.is_zero()))
        {
            let mut rounded = own.clone();
            rounded.insert(key.clone(), format_duration(round).into());
            if let Some(settings) = changed(Value::Object(rounded)) {
                set(&format!("{key} rounded"), &|fault| {
                    fault.blocks.insert(fault.action, settings.clone());
                });
            }
        }
    }
}

/// Rounder instants near one, the roundest first.
fn rounder(time: Duration) -> Vec<Duration> {
    let nanos = time.as_nanos() as u64;
    let mut rounder = Vec::new();
    for unit in [1_000_000_000, 500_000_000, 100_000_000, 10_000_000, 1_000_000] {
        if nanos.is_multiple_of(unit) {
            break;
        }
        for near in [(nanos + unit / 2) / unit * unit, nanos / unit * unit] {
            let near = Duration::from_nanos(near);
            if !near.is_zero() && !rounder.contains(&near) {
                rounder.push(near);
            }
        }
    }
    rounder
}

/// A small seed, and default names.
pub(super) fn names(scenario: &Scenario) -> Vec<Step> {
    let mut steps = Vec::new();
    let seed = scenario.spec.seeds[0];
    for small in (1..=5).filter(|small| *small < seed) {
        steps.push(step("seed", scenario, |scenario| scenario.spec.seeds = vec![small]));
    }
    steps.push(step("names", scenario, |scenario| {
        faults_mut(scenario).for_each(|fault| fault.name = None);
        if let [only] = scenario.spec.workloads.as_mut_slice() {
            only.name = None;
        }
    }));
    // A name that other faults refer to stays.
    for index in 0..scenario.spec.faults.len() {
        steps.push(step(format!("name {index}"), scenario, |scenario| {
            fault_mut(scenario, index).name = None;
        }));
    }
    steps
}
