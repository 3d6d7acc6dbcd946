//! Describes a plan in words, for a reader who does not know the files.
//!
//! The words come from the plan's file form, key by key, so a new setting appears without any code here. For the
//! cluster only settings that differ from the defaults are listed; for network, disks and clients all settings.

use crate::faults::Action;
use crate::plan::Plan;
use crate::scenario::Cluster;
use crate::text::{format_duration, parse_duration};
use serde::Serialize;
use serde_json::{Map, Value};
use squall_core::planted::Bug;
use std::time::Duration;

/// A plan in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanWords {
    /// A sentence each for the cluster, the network, the disks and the end.
    pub setting: Vec<String>,
    /// A sentence for each group of clients.
    pub clients: Vec<String>,
    /// The faults, by instant.
    pub faults: Vec<FaultWords>,
    /// For each kind of fault in the plan, its name and a line that says what it does.
    pub kinds: Vec<(String, String)>,
}

/// A planned fault in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultWords {
    /// Its name.
    pub id: String,
    /// When it strikes, for people: counted from the start of the clients, not of the run.
    pub at: String,
    /// What it does, its targets, and its duration.
    pub what: String,
}

/// The plan in words.
pub fn plan_words(plan: &Plan) -> PlanWords {
    let file: Value = serde_yaml::from_str(&plan.to_yaml()).unwrap_or_default();
    let spec = &file["spec"];
    let mut setting = cluster(&spec["cluster"]);
    for (key, name) in [("network", "Every link"), ("disk", "Every disk")] {
        if let Some(map) = spec[key].as_object().filter(|map| !map.is_empty()) {
            setting.push(format!("{name}: {}.", pairs(map, &[])));
        }
    }
    setting.extend(alerts(spec));
    setting.push(last_act(spec));
    let list = |key: &str| spec[key].as_array().cloned().unwrap_or_default();
    PlanWords {
        setting,
        clients: list("workloads").iter().map(workload).collect(),
        faults: list("faults").iter().map(fault).collect(),
        kinds: kinds(plan),
    }
}

fn kinds(plan: &Plan) -> Vec<(String, String)> {
    let there = |action: &&Action| plan.faults.iter().any(|fault| fault.action() == **action);
    let words = |action: &Action| (action.name().to_owned(), action.about().to_owned());
    Action::ALL.iter().filter(there).map(words).collect()
}

fn cluster(cluster: &Value) -> Vec<String> {
    let defaults = serde_json::to_value(Cluster::default()).unwrap_or_default();
    let Some(map) = cluster.as_object() else { return Vec::new() };
    let changed: Map<String, Value> = map
        .iter()
        .filter(|(key, value)| {
            defaults[key.as_str()] != **value && !["members", "plantedBug"].contains(&key.as_str())
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let members = match map.get("members").and_then(Value::as_u64) {
        Some(1) => "One member".to_owned(),
        Some(count) => format!("{count} members, m1 to m{count}"),
        None => "Members".to_owned(),
    };
    let mut sentences = vec![match changed.is_empty() {
        true => format!("{members}, with etcd's settings."),
        false => format!("{members}, with etcd's settings but for {}.", pairs(&changed, &[])),
    }];
    if let Some(name) = map.get("plantedBug").and_then(Value::as_str) {
        let what = Bug::named(name).map_or("", Bug::what);
        sentences.push(format!("An error is planted in the store, {name}: {what}"));
    }
    sentences
}

/// Prometheus's rules, and which alerts must and must not fire.
fn alerts(spec: &Value) -> Vec<String> {
    let Some(map) = spec["alerts"].as_object() else { return Vec::new() };
    let rules = map.get("rules").and_then(Value::as_array).into_iter().flatten();
    let rules: Vec<String> = rules.map(|rule| text(rule.get("path").unwrap_or(rule))).collect();
    let mut sentences = vec![format!(
        "A Prometheus scrapes the members every {} and evaluates every {}, by {}.",
        text(&spec["alerts"]["scrapeInterval"]),
        text(&spec["alerts"]["evaluationInterval"]),
        rules.join(", "),
    )];
    let expected = &spec["expect"]["alerts"];
    let named = |key: &str| expected[key].as_array().filter(|names| !names.is_empty());
    if named("firing").is_some() {
        let within = match text(&expected["within"]).as_str() {
            "none" | "0s" => String::new(),
            within => format!(" within {within} of the first fault"),
        };
        sentences.push(format!("Must fire{within}: {}.", text(&expected["firing"])));
    }
    if named("notFiring").is_some() {
        sentences.push(format!("Must not fire: {}.", text(&expected["notFiring"])));
    }
    sentences
}

fn last_act(spec: &Value) -> String {
    let limit = text(&spec["timeLimit"]);
    let settle = text(&spec["final"]["settle"]);
    match spec["final"]["heal"].as_bool() {
        Some(false) => {
            format!("After {limit} nothing is mended, and the cluster has {settle} to serve again.")
        }
        _ => format!("After {limit} everything heals, and the cluster has {settle} to settle."),
    }
}

fn workload(workload: &Value) -> String {
    let Some(map) = workload.as_object() else { return String::new() };
    let get = |key: &str| text(&workload[key]);
    let name = workload["name"].as_str().map(|name| format!(" ({name})")).unwrap_or_default();
    let clients = match workload["clients"].as_u64() {
        Some(1) => "1 client".to_owned(),
        _ => format!("{} clients", get("clients")),
    };
    let flight = match workload["inFlight"].as_u64() {
        Some(1) | None => String::new(),
        Some(count) => format!(", {count} requests in flight each"),
    };
    let mut sentence = format!(
        "{clients} of type {}{name}{flight}: {} requests a second together over {} keys; a request is given up after {}.",
        get("type"),
        get("rate"),
        get("keys"),
        get("requestTimeout"),
    );
    let told = ["type", "name", "clients", "inFlight", "rate", "keys", "requestTimeout", "mix"];
    let rest = pairs(map, &told);
    if !rest.is_empty() {
        sentence.push_str(&format!(" Also {rest}."));
    }
    if let Some(mix) = workload["mix"].as_object() {
        let weights: Map<String, Value> =
            mix.iter().filter(|(_, weight)| **weight != 0).map(|(k, v)| (k.clone(), v.clone())).collect();
        sentence.push_str(&format!(" Weights: {}.", pairs(&weights, &[])));
    }
    sentence
}

fn fault(fault: &Value) -> FaultWords {
    let empty = Map::new();
    let map = fault.as_object().unwrap_or(&empty);
    let name = fault["action"].as_str().unwrap_or("?");
    let mut what = name.to_owned();
    let whom = whom(fault);
    if !whom.is_empty() {
        what.push_str(&format!(" {whom}"));
    }
    if let Some(duration) = fault["duration"].as_str() {
        what.push_str(&format!(" for {}", rounded(duration)));
    }
    let told = ["name", "at", "after", "action", "selector", "mode", "value", "duration", "draw"];
    let mut rest: Vec<String> = Vec::new();
    for (key, value) in map.iter().filter(|(key, _)| !told.contains(&key.as_str())) {
        match value.as_object() {
            // The fault's own block, without its name, which would only repeat the action.
            Some(block) if key == name => rest.extend((!block.is_empty()).then(|| pairs(block, &[]))),
            _ => rest.push(format!("{key} {}", text(value))),
        }
    }
    if !rest.is_empty() {
        what.push_str(&format!(" ({})", rest.join("; ")));
    }
    FaultWords { id: fault["name"].as_str().unwrap_or(name).to_owned(), at: when(fault), what }
}

/// When a fault strikes: `2s`, `once save is over`, `200ms after the 3rd leaderChange`.
fn when(fault: &Value) -> String {
    let at = fault["at"].as_str().map(rounded).unwrap_or_default();
    let Some(after) = fault["after"].as_object() else { return at };
    let names: Vec<String> = after
        .get("fault")
        .into_iter()
        .chain(after.get("faults").and_then(Value::as_array).into_iter().flatten())
        .map(text)
        .collect();
    let says = |key: &str| after.get(key).and_then(Value::as_bool) == Some(true);
    let verb = match (says("over"), says("ended"), names.len()) {
        (true, _, 1) => "is over",
        (true, ..) => "are over",
        (false, true, _) => "ended",
        (false, false, _) => "struck",
    };
    let mut parts = Vec::new();
    if !names.is_empty() {
        parts.push(format!("{} {verb}", names.join(", ")));
    }
    if let Some(since) = after.get("since").and_then(Value::as_str) {
        parts.push(format!("{} have passed", rounded(since)));
    }
    if let Some(event) = after.get("event") {
        let times = match after.get("count").and_then(Value::as_u64).unwrap_or(1) {
            1 => String::new(),
            count => format!(" {count} times"),
        };
        parts.push(format!("{} happened{times}", text(event)));
    }
    let moment = parts.join(" and ");
    match at.as_str() {
        "0s" | "" => format!("once {moment}"),
        at => format!("{at} after {moment}"),
    }
}

/// A fault's target: `the leader`, `a minority of the followers`, `m1 or m2`.
fn whom(fault: &Value) -> String {
    let Some(mode) = fault["mode"].as_str() else { return String::new() };
    let selector = fault["selector"].as_object().cloned().unwrap_or_default();
    let value = text(&fault["value"]);
    let kind = match selector.get("role").and_then(Value::as_str) {
        Some("leader") if mode == "one" => return "the leader".to_owned(),
        Some(role @ ("leader" | "follower")) => role.to_owned(),
        Some(role) => format!("{role} member"),
        None => "member".to_owned(),
    };
    let mut words = match mode {
        "one" => format!("one {kind}"),
        "all" => format!("all {kind}s"),
        "fixed" => format!("{value} {kind}s"),
        "fixed-percent" => format!("{value} % of the {kind}s"),
        "minority" | "majority" => format!("a {mode} of the {kind}s"),
        other => format!("{other} {kind}s"),
    };
    for (key, value) in selector.iter().filter(|(key, _)| *key != "role") {
        match key.as_str() {
            "names" => words.push_str(&format!(" of {}", text(value))),
            "sameAs" => words.push_str(&format!(" of those that `{}` hit", text(value))),
            other => words.push_str(&format!(" with {other} {}", text(value))),
        }
    }
    words
}

/// `key value, key value`, without the keys in `told`.
fn pairs(map: &Map<String, Value>, told: &[&str]) -> String {
    let rest = map.iter().filter(|(key, _)| !told.contains(&key.as_str()));
    rest.map(|(key, value)| format!("{key} {}", text(value))).collect::<Vec<_>>().join(", ")
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(map) => format!("{{{}}}", pairs(map, &[])),
        other => other.to_string(),
    }
}

/// A duration rounded for readers: drawn durations are exact to the nanosecond.
fn rounded(duration: &str) -> String {
    let Ok(exact) = parse_duration(duration) else { return duration.to_owned() };
    let unit = if exact >= Duration::from_secs(1) { 1_000_000 } else { 1_000 };
    let nanos = exact.as_nanos() as u64;
    match nanos {
        ..1_000_000 => duration.to_owned(),
        _ => format_duration(Duration::from_nanos((nanos + unit / 2) / unit * unit)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::plan::parse_plan;

    #[test]
    fn the_alerts_that_are_expected_are_told() {
        let spec = serde_json::json!({
            "alerts": { "rules": [{ "path": "a.yaml", "text": "…" }], "scrapeInterval": "15s", "evaluationInterval": "30s" },
            "expect": { "alerts": { "firing": ["Down"], "within": "5m0s" } },
        });
        assert_eq!(
            alerts(&spec),
            [
                "A Prometheus scrapes the members every 15s and evaluates every 30s, by a.yaml.",
                "Must fire within 5m0s of the first fault: Down.",
            ]
        );
        assert_eq!(alerts(&serde_json::json!({})), [] as [&str; 0]);
    }

    #[test]
    fn what_a_fault_waits_for_is_told_in_words() {
        let text = "apiVersion: squall/v1\nkind: Plan\nscenario: words\nspec:\n  seeds: [7]\n  workloads: [{type: kv}]\n  \
                    timeLimit: 20s\n  faults:\n    - {name: a, at: 1500ms, action: pause, duration: 1s}\n    \
                    - {name: b, at: 0s, after: {fault: a, over: true}, action: restart}\n    \
                    - {name: c, at: 200ms, after: {faults: [a, b], over: true}, action: compact}\n    \
                    - {name: d, at: 0s, after: {fault: a, ended: true, event: leaderChange}, action: restart}\n    \
                    - {name: e, at: 1s, after: {since: 5s, event: applied, count: 9}, action: restart}\n";
        let plan = parse_plan(Path::new("plan.yaml"), text).expect("it is good");
        let mut told: Vec<(String, String)> =
            plan_words(&plan).faults.into_iter().map(|fault| (fault.id, fault.at)).collect();
        told.sort();
        let told: Vec<String> = told.into_iter().map(|(id, at)| format!("{id}: {at}")).collect();
        assert_eq!(
            told,
            [
                "a: 1.5s",
                "b: once a is over",
                "c: 200ms after a, b are over",
                "d: once a ended and leaderChange happened",
                "e: 1s after 5s have passed and applied happened 9 times",
            ]
        );
    }
}
