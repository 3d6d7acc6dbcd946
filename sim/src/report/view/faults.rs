//! Faults as spans: each strike with the heal that ended it.

use serde::Serialize;
use squall_checker::history::{Event, RunHistory};
use std::collections::{BTreeMap, VecDeque};

/// One fault, from its strike to its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultSpan {
    /// Its name in the plan.
    pub id: String,
    /// What it did.
    pub action: String,
    /// The members that it hit; empty if there was no target.
    pub targets: Vec<String>,
    /// When it struck.
    pub from: u64,
    /// When it ended; null if it lasted to the end of the run, or was over at once.
    pub to: Option<u64>,
    /// How often it took effect, if that is known.
    pub bit: Option<u64>,
    /// How it ended, if that is not obvious.
    pub detail: String,
}

/// The faults of a history, by instant.
///
/// A heal does not name its fault, only action and targets. So if two faults are alike, the older one is taken to end
/// first.
pub(super) fn spans(history: &RunHistory) -> Vec<FaultSpan> {
    let mut spans: Vec<FaultSpan> = Vec::new();
    let mut open: BTreeMap<(String, String), VecDeque<usize>> = BTreeMap::new();
    for event in in_order(history) {
        match event {
            Event::Fault(fault) => {
                let id = fault.detail.get("id").and_then(serde_json::Value::as_str).unwrap_or(&fault.action);
                let key = (fault.action.clone(), fault.target.clone());
                if !fault.target.is_empty() {
                    open.entry(key).or_default().push_back(spans.len());
                }
                spans.push(FaultSpan {
                    id: id.to_owned(),
                    action: fault.action.clone(),
                    targets: fault
                        .target
                        .split(',')
                        .filter(|name| !name.is_empty())
                        .map(Into::into)
                        .collect(),
                    from: fault.at,
                    to: if fault.target.is_empty() { Some(fault.at) } else { None },
                    bit: None,
                    detail: String::new(),
                });
            }
            Event::Heal(heal) if heal.action.is_empty() => {}
            Event::Heal(heal) => {
                let key = (heal.action.clone(), heal.target.clone());
                if let Some(index) = open.get_mut(&key).and_then(VecDeque::pop_front) {
                    spans[index].to = Some(heal.at);
                    spans[index].bit = heal.bit;
                    spans[index].detail.clone_from(&heal.detail);
                }
            }
            _ => {}
        }
    }
    spans
}

/// Faults and heals, ordered by instant and then as they were recorded.
fn in_order(history: &RunHistory) -> Vec<&Event> {
    let wanted = |event: &&Event| matches!(event, Event::Fault(_) | Event::Heal(_));
    let mut events: Vec<&Event> = history.events.iter().filter(wanted).collect();
    events.sort_by_key(|event| event.at());
    events
}
