//! The check of etcd histories in the order of their revisions.
//!
//! # Why revisions remove the search
//!
//! Every answered operation carries the store's revision r at which it was evaluated. An operation that changes keys
//! *creates* r, the one after the revision before it; any other *sees* r. So every legal order sorts by (r, creator
//! first), and with every write answered a history is linearizable if and only if
//! 1. each revision up to the last has exactly one creator;
//! 2. nothing returned with a larger revision before something with a smaller one was called, and no operation that sees r
//!    returned before r's creator was called (one pass: [`sweep`]);
//! 3. replaying the creators in order reproduces every answer ([`search`], which then searches nothing).
//!
//! *Sound*: an order that is found respects real time and the model, and [`witness`] verifies it again. *Complete*:
//! a legal order is sorted as above, and operations that see the same revision commute, except those that touch
//! leases or the compaction. [`within`] finds their order within a revision without loss (its essay has the argument).
//!
//! # Where search remains
//!
//! **Gaps**: revisions that no answered operation is known to have made. Ambiguous writes, revokes and leases that
//! ended by themselves may fill them; [`gaps`] narrows the candidates down by facts that hold in every legal order.
//! Where the gaps are many and the search is long, [`pairs`] finds two answers that contradict each other without it.
//! **Breaks**: after a restore or a forced new cluster the store is again what the creators up to a stated revision
//! made. What was acknowledged after that is an *expected loss*; a missing write at or below it is a violation.
//! **Failures** that tell about the state (compacted, future revision, lease or key not found, lease exists) must hold
//! at some point between call and return.
//!
//! # What a break does not end
//!
//! *Ambiguous operations.* One that was called before a break may take effect after it. A break is something that the
//! operator did to the members, and a client that got no answer was promised nothing by it: its request may wait in a
//! socket, in the client's own retries, or in the log of the member that survived, and linearizability lets it take
//! effect at any time from its call on. To forbid it would be a false alarm for every store in which one of these
//! happens; to allow it hides no broken promise, since no client learned that the write had failed. It takes effect once,
//! though. If it was seen before the break, at a revision that the break took, it is lost and cannot come back. If it was
//! kept, it cannot happen again. An *acknowledged* operation stays at its revision, and is lost if the break takes that
//! revision: it never moves to the other side.
//!
//! *Leases.* A lease that ended after the revision that is kept is there again after the break, and may end by itself
//! once more, not before its first deadline.
//!
//! *Answers that were open at the break.* If the header's cluster id shows which side gave them, they count there. If it
//! does not (a forced new cluster keeps its id), either side may have answered: a write counts as ambiguous, and a read
//! counts as nothing. Only here the check does not use all of an answer.
//!
//! *Copies.* Breaks form a tree: a copy that was saved before an earlier break brings back what that break had cut off.
//! The break's line says which era it continues. If it does not say, the restored copy is taken to be of the era before it;
//! below that era's first revision, of the era that it continues. What an abandoned branch acknowledged is an expected
//! loss.
//!
//! A revision that is kept need not be one state, for lease operations without keys and compactions share one: the
//! break keeps whichever state of that revision lets the rest be explained.
//!
//! # Watches
//!
//! If no answered operation is known to have made a revision, what a watch saw of it narrows down who made it. Nothing else
//! follows from a watch: not when the revision was made (a watch may lag), and nothing against an answer (the watch checker
//! judges that). A response of a watch counts for the era in which it was recorded. So a response that was on its way during
//! a break must not be recorded after it.
//!
//! Sources: Wing and Gong 1993, Gibbons and Korach 1997 (the order of writes makes it O(n log n)), and etcd's source
//! for what its headers say. Budgets are steps and bytes, never seconds: out of budget is Unknown, with the furthest
//! place that was reached.
//!
//! What it leaves out: a snapshot restored with bumped revisions; a lease that was renewed may here end as early as
//! one that was not (the lease checker knows better).

mod action;
mod answers;
mod blame;
mod compare;
mod core;
mod diagnose;
mod eval;
mod fill;
mod follow;
mod gaps;
mod general;
mod guide;
mod keyspace;
mod layout;
mod levels;
mod local;
mod pairs;
mod prepare;
mod recheck;
mod search;
mod seen;
mod shortage;
mod sights;
mod store;
mod sweep;
mod trouble;
mod violation;
mod within;
mod witness;

#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod costs;
#[cfg(test)]
mod hinted;
#[cfg(test)]
mod mutation;
#[cfg(test)]
mod property;
#[cfg(test)]
pub(crate) mod random;
#[cfg(test)]
mod script;
#[cfg(test)]
pub(crate) mod spoil;

pub use self::core::Core;
pub use eval::Dialect;
pub use layout::Start;
pub use recheck::Recheck;
pub use search::Budgets;
pub(crate) use seen::{Seen, SeenChange, check as check_seen, fits_steps};
pub use violation::{Rule, Violation};
pub use witness::{Step, Witness};

use crate::history::{OpId, RunHistory};
use guide::Guide;
use layout::{Input, Role};
use search::Found;
use trouble::Frontier;

/// The check's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The history is linearizable.
    Valid(Valid),
    /// It is not.
    Invalid(Box<Violation>),
    /// The budget ran out.
    Unknown(Unknown),
}

/// Why a history is linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid {
    /// The order. It was verified by an independent replay before it was returned.
    pub witness: Witness,
    /// Writes that were acknowledged and lost as expected, at breaks.
    pub expected_losses: Vec<OpId>,
    /// How much work it was.
    pub steps: u64,
}

/// How far the check came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What ran out: `steps` or `memory`; `agreement` where two judges disagree.
    pub ran_out_of: &'static str,
    /// What the two judges say that disagree. It is a bug of one of them.
    pub disagreement: Option<String>,
    /// The furthest revision that was reached, and what stood in the way there.
    pub frontier: Box<Violation>,
    /// How much work it was.
    pub steps: u64,
}

/// Decides whether a history of an etcd store is linearizable. Hints are tried first, and change no verdict.
///
/// # Panics
/// If a witness does not stand up to its verification, which would be a bug of this checker.
pub fn check(history: &RunHistory, dialect: Dialect, budgets: &Budgets) -> Verdict {
    let (verdict, steps) = with_input(history, dialect, |input| decide_whole(input, budgets, true));
    let Verdict::Invalid(violation) = verdict else { return verdict };
    if history.hints().next().is_none() {
        return second_opinion(history, dialect, violation, steps);
    }
    // Hints accuse no one: an accusation that was found with them must be found without them. Where the search without
    // them does not end, the general search must agree.
    let alone =
        with_input(history, dialect, |input| decide_whole(Input { hints: &[], ..input }, budgets, true));
    match alone {
        (Verdict::Invalid(violation), steps) => second_opinion(history, dialect, violation, steps),
        (Verdict::Valid(witness), _) => Verdict::Valid(witness),
        (Verdict::Unknown(unknown), steps) => match second_opinion(history, dialect, violation, steps) {
            Verdict::Invalid(violation) if violation.recheck == Recheck::Agrees => {
                Verdict::Invalid(violation)
            }
            _ => Verdict::Unknown(unknown),
        },
    }
}

/// What is left of an accusation once the general search has judged it again.
fn second_opinion(
    history: &RunHistory,
    dialect: Dialect,
    mut violation: Box<Violation>,
    steps: u64,
) -> Verdict {
    match recheck::confirm(history, dialect, violation.core.as_ref()) {
        Ok(recheck) => {
            violation.recheck = recheck;
            Verdict::Invalid(violation)
        }
        // One of the two is wrong, so this accuses no one.
        Err(order) => Verdict::Unknown(Unknown {
            ran_out_of: "agreement",
            disagreement: Some(format!(
                "THE JUDGES DISAGREE, and one of them has a bug: the check by revisions says {}; the general search \
                 finds an order of the same operations: {order}",
                violation.message
            )),
            frontier: violation,
            steps,
        }),
    }
}

/// A whole history, as the checks take it.
fn with_input<T>(history: &RunHistory, dialect: Dialect, f: impl FnOnce(Input<'_>) -> T) -> T {
    let breaks: Vec<_> = history.breaks().collect();
    let watches: Vec<_> = history.watches().collect();
    let hints: Vec<_> = history.hints().collect();
    let start = Start::default();
    let input = Input {
        operations: &history.operations,
        breaks: &breaks,
        watches: &watches,
        hints: &hints,
        seen: &[],
        start: &start,
        dialect,
        drift_ppm: history.drift_ppm(),
    };
    f(input)
}

/// Steps of the search for each operation, after which cheaper ways are tried: a history without gaps takes about two.
const QUICK_STEPS: u64 = 20;

/// Everything that may decide a history, the cheapest first: what answers contradict by themselves, the order that the
/// hints give, a short search, answers that contradict each other, the search to the end of its budget. The steps are
/// those of the search alone. `explain`: an accusation comes with its core.
fn decide_whole(input: Input<'_>, budgets: &Budgets, explain: bool) -> (Verdict, u64) {
    let accuse = |mut violation: Violation| {
        if explain {
            violation.core = self::core::find(input, &violation.blamed, budgets);
        }
        Verdict::Invalid(Box::new(violation))
    };
    let prepared = match prepare::prepare(input) {
        Ok(prepared) => prepared,
        Err(conflict) => return (accuse(diagnose::layout(input, &conflict)), 0),
    };
    if let Some(violation) = at_once(&prepared) {
        return (accuse(violation), 0);
    }
    let quick = QUICK_STEPS.saturating_mul(prepared.items.len() as u64 + 1_000).min(budgets.steps);
    let quick = Budgets { steps: quick, ..*budgets };
    let guide = Guide::new(&prepared, input.hints);
    let mut stuck = Frontier::default();
    let mut steps = 0;
    let mut attempt = |budgets: Budgets, guide: Option<&Guide>| {
        let mut machine = search::Machine::new(&prepared, budgets);
        machine.guide = guide;
        let found = machine.solve();
        steps += machine.steps();
        match found {
            Found::Valid => Attempt::Decided(valid(&prepared, machine, steps), steps),
            Found::Invalid => Attempt::Decided(accuse(diagnose::replay(&prepared, &machine.frontier)), steps),
            Found::OutOf(ran_out_of) => Attempt::OutOf(ran_out_of, machine.frontier, steps),
        }
    };
    for guide in guide.iter().map(Some).chain([None]) {
        match attempt(quick, guide) {
            Attempt::Decided(verdict, steps) => return (verdict, steps),
            Attempt::OutOf(_, frontier, _) => stuck = frontier,
        }
    }
    if let Some(pair) = pairs::contradiction(&prepared) {
        return (accuse(diagnose::pair(&prepared, &pair, &stuck)), 0);
    }
    let mut last = None;
    for guide in [None].into_iter().chain(guide.iter().map(Some)) {
        match attempt(*budgets, guide) {
            Attempt::Decided(verdict, steps) => return (verdict, steps),
            Attempt::OutOf(ran_out_of, frontier, steps) => last = Some((ran_out_of, frontier, steps)),
        }
    }
    let (ran_out_of, frontier, steps) = last.expect("it was searched");
    let frontier = Box::new(diagnose::replay(&prepared, &frontier));
    (Verdict::Unknown(Unknown { ran_out_of, disagreement: None, frontier, steps }), steps)
}

/// What one search came to, and the steps of all so far.
enum Attempt {
    Decided(Verdict, u64),
    OutOf(&'static str, Frontier, u64),
}

/// What needs no search: real time against revisions, answers that contradict themselves, too few makers.
fn at_once(prepared: &layout::Prepared<'_>) -> Option<Violation> {
    if let Some(conflict) = sweep::sweep(prepared) {
        return Some(diagnose::time(prepared, conflict));
    }
    if let Some(odd) = local::contradiction(prepared) {
        return Some(diagnose::odd(prepared, &odd));
    }
    shortage::find(prepared).map(|shortage| diagnose::shortage(prepared, &shortage))
}

/// The verdict with the order that the search found, once that is verified.
fn valid(prepared: &layout::Prepared<'_>, machine: search::Machine<'_, '_>, steps: u64) -> Verdict {
    let witness = machine.witness();
    drop(machine);
    if let Err(what) = witness::verify(prepared, &witness) {
        panic!("the witness of a valid history does not hold: {what}");
    }
    Verdict::Valid(Valid { expected_losses: expected_losses(prepared), witness, steps })
}

/// Decides a smaller history for the sake of a core: what is found at once first, then the search. The verdict, and the
/// steps of the search.
fn decide(input: Input<'_>, budgets: &Budgets) -> (Verdict, u64) {
    let invalid = |violation: Violation| Verdict::Invalid(Box::new(violation));
    let prepared = match prepare::prepare(input) {
        Ok(prepared) => prepared,
        Err(conflict) => return (invalid(diagnose::layout(input, &conflict)), 0),
    };
    if let Some(violation) = at_once(&prepared) {
        return (invalid(violation), 0);
    }
    if let Some(pair) = pairs::contradiction(&prepared) {
        return (invalid(diagnose::pair(&prepared, &pair, &Frontier::default())), 0);
    }
    let mut machine = search::Machine::new(&prepared, *budgets);
    let found = machine.solve();
    let steps = machine.steps();
    let verdict = match found {
        Found::Valid => valid(&prepared, machine, steps),
        Found::Invalid => invalid(diagnose::replay(&prepared, &machine.frontier)),
        Found::OutOf(ran_out_of) => Verdict::Unknown(Unknown {
            ran_out_of,
            disagreement: None,
            frontier: Box::new(diagnose::replay(&prepared, &machine.frontier)),
            steps,
        }),
    };
    (verdict, steps)
}

/// The acknowledged writes that are not on the line of events that the last era continues.
fn expected_losses(prepared: &layout::Prepared<'_>) -> Vec<OpId> {
    let end = prepared.creators.len() as u32 - 1;
    let lost = prepared.items.iter().filter(|item| {
        item.role == Role::Creator
            && prepared.segment_of(end, prepared.revision(item.segment), true) != Some(item.segment)
    });
    lost.map(|item| prepared.operations[item.operation as usize].id).collect()
}
