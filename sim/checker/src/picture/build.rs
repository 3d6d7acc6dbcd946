//! Pictures of what the general check found.

use std::collections::BTreeMap;

use super::{Bar, BarOutcome, Picture, Point, TimeUnit};
use crate::model::{ClientId, ConcurrentHistory, Model, Outcome};
use crate::search::{Core, Linearization, Violation, partition};

/// The most characters of a state or a label; the middle of a longer one is left out.
const MOST: usize = 200;

/// The picture of a linearizable history.
pub fn of_linearization<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    linearization: &Linearization,
) -> Picture {
    let left_out = history.len() - linearization.order.len();
    let headline =
        format!("linearizable: {} operations in order, {left_out} left out", linearization.order.len());
    draw(model, history, &linearization.order, "valid", headline)
}

/// The picture of a violation: the longest prefix with its points, the blamed operation, the core.
pub fn of_violation<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    violation: &Violation<M::State>,
    core: &Core,
    rule: &str,
) -> Picture {
    let mut picture = draw(model, history, &violation.prefix, "invalid", rule.to_owned());
    let states: Vec<String> =
        violation.states.iter().map(|state| shorten(&model.describe_state(state))).collect();
    let error = format!("fits nowhere. Last consistent state: {}", states.join(", or "));
    picture.bars[violation.blamed].error = Some(error);
    picture.essential = core.essential.clone();
    picture.possible = core.possible.clone();
    picture
}

/// The picture of an unfinished search: an order of some of the operations.
pub fn of_prefix<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    prefix: &[usize],
    why: &str,
) -> Picture {
    draw(model, history, prefix, "unknown", why.to_owned())
}

fn draw<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    order: &[usize],
    verdict: &str,
    headline: String,
) -> Picture {
    let operations = history.operations();
    let clients: BTreeMap<ClientId, usize> = {
        let mut ids: Vec<ClientId> = operations.iter().map(|operation| operation.client).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().enumerate().map(|(lane, id)| (id, lane)).collect()
    };
    let mut bars: Vec<Bar> = operations
        .iter()
        .map(|operation| Bar {
            lane: clients[&operation.client],
            call: operation.call,
            ret: operation.ret,
            label: shorten(&model.describe(&operation.input, operation.output())),
            outcome: match operation.outcome {
                Outcome::Ok(_) => BarOutcome::Ok,
                Outcome::Fail => BarOutcome::Fail,
                Outcome::Info => BarOutcome::Info,
            },
            keys: model.keys(&operation.input),
            point: None,
            error: None,
            note: String::new(),
        })
        .collect();

    // Each part has a state of its own.
    let parts = partition::partition(model, history);
    let mut part_of = vec![usize::MAX; operations.len()];
    for (part, members) in parts.iter().enumerate() {
        for &op in members {
            part_of[op] = part;
        }
    }
    let initial = model.initial();
    let described = shorten(&model.describe_state(&initial));
    let mut states = vec![(initial, described); parts.len()];
    let instants = instants(history, order);
    for (place, (&op, at)) in order.iter().zip(instants).enumerate() {
        let operation = &operations[op];
        let (state, words) = &mut states[part_of[op]];
        let Some(after) = model.step(state, &operation.input, operation.output()) else { break };
        let before = words.clone();
        if after != *state {
            *words = shorten(&model.describe_state(&after));
            *state = after;
        }
        bars[op].point = Some(Point { order: place, at, before, after: words.clone() });
    }
    Picture {
        verdict: verdict.to_owned(),
        headline,
        text: String::new(),
        unit: TimeUnit::Events,
        lanes: clients.keys().map(|client| format!("client {client}")).collect(),
        bars,
        marks: Vec::new(),
        essential: Vec::new(),
        possible: Vec::new(),
    }
}

fn instants<I, O>(history: &ConcurrentHistory<I, O>, order: &[usize]) -> Vec<f64> {
    let operations = history.operations();
    let end = operations.iter().map(|operation| operation.ret.unwrap_or(operation.call)).max().unwrap_or(0);
    let span = |op: &usize| {
        let operation = &operations[*op];
        (operation.call, operation.ret.filter(|_| operation.output().is_some()))
    };
    let spans: Vec<(u64, Option<u64>)> = order.iter().map(span).collect();
    instants_between(&spans, end)
}

/// An instant for each operation of an order, given by calls and returns: halfway between the earliest and the latest
/// that the order leaves it. Neither of these decreases along the order, so nor does their mean.
pub(super) fn instants_between(spans: &[(u64, Option<u64>)], end: u64) -> Vec<f64> {
    let mut latest = vec![end; spans.len()];
    let mut bound = end;
    for (place, (_, ret)) in spans.iter().enumerate().rev() {
        bound = bound.min(ret.unwrap_or(end));
        latest[place] = bound;
    }
    let mut earliest = 0;
    let mut instants = Vec::with_capacity(spans.len());
    for ((call, _), latest) in spans.iter().zip(latest) {
        earliest = earliest.max(*call);
        instants.push((earliest as f64 + latest.max(earliest) as f64) / 2.0);
    }
    instants
}

pub(super) fn shorten(text: &str) -> String {
    let count = text.chars().count();
    if count <= MOST {
        return text.to_owned();
    }
    let head: String = text.chars().take(MOST / 2).collect();
    let tail: String = text.chars().skip(count - MOST / 2).collect();
    format!("{head} ... {tail}")
}
