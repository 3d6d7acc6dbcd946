//! The order that proves a history valid, and its verification.
//!
//! The verification shares nothing with the search but the history: it walks the order, checks real time with a
//! running maximum of calls, and lets the plain model ([`crate::model::etcd`]) act and compare every answer.

use super::action::Action;
use super::layout::{Item, NONE, Prepared, Role};
use crate::history::{LeaseId, OpId, Operation, Outcome};
use crate::model::etcd::Etcd;
use std::collections::BTreeMap;

/// In the trail, this number means an operation outside this history.
pub(super) const ELSEWHERE: u32 = (1 << 31) - 1;

/// One step of a witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The operation at this place in the history takes effect.
    Operation(u32),
    /// The server ends a lease that the operation at this place had granted, at this instant or later.
    Expired {
        /// The lease.
        lease: LeaseId,
        /// The earliest instant at which it can have happened.
        not_before: u64,
    },
    /// A revision was made by something outside this history.
    Elsewhere,
    /// A break: the store is again what the first so many steps made, and those after them are lost.
    Break {
        /// How many steps are kept.
        kept: usize,
    },
}

/// A total order that explains a history of an etcd store. Beside operations it has steps that no client called. The general
/// search's order has operations alone ([`crate::search::Linearization`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// The steps. Operations that constrain nothing, or that did not happen, are not among them.
    pub steps: Vec<Step>,
}

impl Witness {
    /// The operations' ids, in order.
    pub fn ids<'a>(&'a self, operations: &'a [Operation]) -> impl Iterator<Item = OpId> + 'a {
        self.steps.iter().filter_map(|step| match step {
            Step::Operation(index) => Some(operations[*index as usize].id),
            _ => None,
        })
    }
}

/// Makes the order out of the search's trail: the readers of a segment go between the items that were placed in it,
/// each just before the first that was called after it returned.
pub(super) fn order(prepared: &Prepared<'_>, trail: &[u32], kept: &[usize], mark: u32) -> Witness {
    let mut steps = Vec::with_capacity(prepared.items.len());
    let mut kept_steps = vec![0; kept.len()];
    let mut at = 0;
    while at < trail.len() {
        let segment = trail[at] & !mark;
        let real = (segment as usize) < prepared.creators.len();
        let end = trail[at + 1..]
            .iter()
            .position(|code| code & mark != 0)
            .map_or(trail.len(), |next| at + 1 + next);
        if let Some(era) = prepared.eras.iter().position(|era| era.first == segment)
            && era > 0
        {
            steps.push(Step::Break { kept: kept_steps[era] });
        }
        for (era, position) in kept.iter().enumerate() {
            if *position == at + 1 {
                kept_steps[era] = steps.len();
            }
        }
        let mut readers = if real { prepared.readers.get(segment).to_vec() } else { Vec::new() };
        readers.sort_by_key(|item| std::cmp::Reverse((prepared.items[*item as usize].call, *item)));
        let placed = &trail[at + 1..end];
        // For each reader, the place before which it goes; later calls go to the same place or a later one.
        let mut slots: Vec<(usize, u32)> = Vec::with_capacity(readers.len());
        while let Some(reader) = readers.pop() {
            let ret = prepared.items[reader as usize].ret;
            let slot = placed
                .iter()
                .position(|item| *item != ELSEWHERE && prepared.items[*item as usize].call > ret);
            slots.push((slot.unwrap_or(placed.len()), reader));
        }
        slots.sort_by_key(|(slot, _)| *slot);
        let mut slots = slots.into_iter().peekable();
        for (place, item) in placed.iter().chain([&NONE]).enumerate() {
            while let Some((_, reader)) = slots.next_if(|(slot, _)| *slot == place) {
                steps.push(Step::Operation(prepared.items[reader as usize].operation));
            }
            if *item == NONE {
                break;
            }
            steps.push(match prepared.items.get(*item as usize) {
                None => Step::Elsewhere,
                Some(Item { action: Action::Expire(lease, _), call, .. }) => {
                    Step::Expired { lease: prepared.space.lease_name(*lease), not_before: *call }
                }
                Some(entry) => Step::Operation(entry.operation),
            });
            for (era, position) in kept.iter().enumerate() {
                if *position == at + place + 2 {
                    kept_steps[era] = steps.len();
                }
            }
        }
        at = end;
    }
    Witness { steps }
}

/// Checks a witness against the history.
///
/// # Errors
/// What is wrong with it, for people: a wrong witness is a bug of this checker.
pub(super) fn verify(prepared: &Prepared<'_>, witness: &Witness) -> Result<(), String> {
    let mut model = Etcd::start(prepared.dialect, prepared.start);
    let kept_steps: Vec<usize> = (witness.steps.iter())
        .filter_map(|step| match step {
            Step::Break { kept } => Some(*kept),
            _ => None,
        })
        .collect();
    let mut states: BTreeMap<usize, Etcd> = BTreeMap::new();
    let mut latest_call = 0;
    let mut era = 0;
    let mut times_used = vec![0u8; prepared.operations.len()];
    for (place, step) in witness.steps.iter().enumerate() {
        if kept_steps.contains(&place) {
            states.insert(place, model.clone());
        }
        match step {
            Step::Break { kept } => {
                model = states.get(kept).ok_or("a break keeps more than there was")?.clone();
                latest_call = latest_call.max(prepared.eras[era].end);
                era += 1;
            }
            Step::Elsewhere => model.skip_revision(),
            Step::Expired { lease, not_before } => {
                latest_call = latest_call.max(*not_before);
                if !model.expire(*lease) {
                    return Err(format!("step {place}: lease {lease} ended, and was not there"));
                }
            }
            Step::Operation(index) => {
                let item = &prepared.items[*index as usize];
                let operation = &prepared.operations[*index as usize];
                times_used[*index as usize] += 1;
                if item.ret < latest_call {
                    return Err(format!(
                        "operation {} returned before something ordered before it",
                        operation.id
                    ));
                }
                latest_call = latest_call.max(item.call);
                let answered = item.role != Role::Ambiguous && operation.outcome == Outcome::Ok;
                if operation.outcome == Outcome::Fail {
                    let kind = operation.fact().ok_or("an operation that failed is ordered")?;
                    if !model.fails_with(&operation.op, kind) {
                        return Err(format!("operation {} cannot have failed with: {kind}", operation.id));
                    }
                    continue;
                }
                let result = model
                    .apply(&operation.op, operation.result.as_ref())
                    .map_err(|kind| format!("operation {} meets: {kind}", operation.id))?;
                if answered {
                    let revision = operation.revision().map_or(0, |revision| revision.0);
                    if model.revision() != revision {
                        return Err(format!(
                            "operation {} has revision {revision}, the model {}",
                            operation.id,
                            model.revision()
                        ));
                    }
                    if !model.same(&operation.op, &result, operation.result.as_ref()) {
                        return Err(format!("operation {}: the model answers {result:?}", operation.id));
                    }
                }
            }
        }
    }
    for (index, item) in prepared.items.iter().enumerate() {
        let wanted =
            matches!(item.role, Role::Reader | Role::Creator | Role::Either | Role::Local | Role::Fact);
        if item.operation == NONE {
            continue;
        }
        let times = times_used[index];
        if times > 1 || (wanted && times == 0) {
            return Err(format!("operation {} is ordered {times} times", prepared.operations[index].id));
        }
    }
    Ok(())
}
