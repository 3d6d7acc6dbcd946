//! The general check: is there an order of the operations that respects real time and that the model accepts?
//!
//! # The algorithm
//! Wing and Gong's search (1993) as Lowe gave it (2017): linearize, one after another, an operation that was called
//! before the first return among those not linearized yet; go back when none fits; remember every configuration (the
//! set of operations linearized, and the state) that was tried. The history is linearizable as soon as the
//! *completed* operations are all linearized. The problem is NP-complete (Gibbons and Korach 1997), so all depends on
//! not trying what need not be tried.
//!
//! # The reductions, and why they lose nothing
//! Let `C` be a configuration from which the completed operations that remain can be linearized, and `L` such an
//! order. Each reduction replaces `L` by another such order that the search does try. They hold for every model that
//! keeps the four promises of [`crate::model`].
//!
//! - **(e)** *A read-only operation that is legal now is committed at once, and never taken back.* It may come next,
//!   so nothing has to come before it; moved to the front of `L` it changes no state, and what is left of `L` changes
//!   none either, since it was read-only at its old place, too. (A write of the value that is there already will not
//!   do: at its old place in `L` it may have changed the state.)
//! - **(k)** *An ambiguous operation is never taken where it changes nothing.* Leave it out of `L`: it need not happen.
//! - **(y)** *Of ambiguous operations with equal inputs the one called first is taken first.* Swap them in `L`: they
//!   have the same effect, none has a return that has to come before anything, and the one called first may stand
//!   wherever the other may.
//! - **(d)** *Of completed operations with equal inputs and outputs that both may come next, the one that returned
//!   first is taken first.* Swap them in `L`. What was called after the other's return was called after its return,
//!   too, and comes after both.
//! - **(j)** *An ambiguous operation is taken only right before an operation that needs it.* Let `w` lead from `s` to
//!   `s'`, and let `x` come next in `L` and lead to `s''`. Where `x` is legal in `s` as well and leads to `s''`, `w`
//!   was overwritten: leave it out. Where `x` is legal in `s` and `w` after it leads to `s''`, swap the two: nothing
//!   has to come after an ambiguous operation. Where `x` is ambiguous itself, they are swapped only if `x` has the
//!   lower class. Where `x` is ambiguous and leads back to `s`, leave both out. Each such replacement makes fewer
//!   ambiguous operations, or has one of them later, or sorts two neighbours; so an order that is least in that sense
//!   exists, and it passes (j) everywhere. The rule uses nothing but the model's steps; that a register's write needs
//!   its value to be read, or a lock's release to be followed by an acquisition, comes out of it.
//! - **(o)** *A configuration is given up if the read-only operation that returned first can never become legal.* All
//!   that may come before it was called before it returned; [`Model::can_become_legal`](crate::model::Model) gets
//!   those operations. If it says no, `L` does not exist. This one cuts short how far an illegal history is followed,
//!   see below.
//! - **partition**: operations on keys that never meet are judged apart (locality, Herlihy and Wing 1990).
//!
//! Together: by induction over the number of completed operations that remain. If (e) applies, it leads to a
//! configuration with one fewer and an order for the rest. If not, take a least `L` and its first completed operation
//! `x`; the ambiguous operations before it and `x` pass (k), (y), (d) and (j). If on the way through them (e)
//! applies, the operation that it commits may be moved there from its place in `L`, and again one fewer remains. Else
//! the search gets to `x`. A configuration right after an ambiguous operation is remembered with that operation and
//! the state before it, since (j) depends on them.
//!
//! # Blame
//! The blamed operation is a completed one. No order gets past its return: all that returned before it can be
//! covered by one, together with it they cannot. That is a property of the history, and Knossos blames the same one.
//! All replacements but (o) hold for an order that only covers what returned before a given instant, too, so the
//! greatest first return that a search without (o) meets is the blamed one's, in whichever order it tries things. With
//! (o) it may give up a configuration early; then the blamed return lies between the greatest that it met and the
//! greatest that it found out of reach, and searches for an order up to a return between the two close in on it.
//!
//! # Budgets and threads
//! A budget counts steps (operations tried), states and bytes, never seconds. Parts are searched in rounds, each with
//! a larger allowance of steps, the parts of a round side by side. If one turns out illegal, those after it are
//! cancelled at once, those before it finish the round; the first illegal part of the first round that has one is
//! reported. A hard part therefore never holds up an easy counterexample by more than a constant factor, and no
//! verdict, blame or figure depends on threads or time. Out of budget is *Unknown*, with the deepest point reached.
//!
//! # Sources
//! Wing and Gong, *Testing and verifying concurrent objects*, 1993; Lowe, *Testing for linearizability*, 2017; Horn
//! and Kroening, *Faster linearizability checking via P-compositionality*, 2015; the designs of Porcupine and Knossos.

mod layout;
mod linearization;
mod memo;
mod minimize;
mod part;
pub(crate) mod partition;
mod table;
mod transitions;
mod verdict;

#[cfg(test)]
pub(crate) mod brute;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

pub use linearization::{ReplayError, replay};
pub use minimize::{Core, minimize, overwriter};
pub use verdict::{Budget, Effort, Exhausted, Linearization, Options, Resource, Verdict, Violation};

use crate::model::{ConcurrentHistory, Model};
use part::{PartSearch, Status};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Steps that each part may do in the first round; eight times as many in each round that follows.
const FIRST_ROUND: u64 = 4096;

/// Bytes that states may take, however small the budget is.
const LEAST_BYTES: usize = 4 << 20;

/// Decides whether `history` is linearizable with respect to `model`.
///
/// # Panics
/// If the model breaks a promise that the replay of the linearization can see: see [`crate::model`].
pub fn check<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    options: &Options,
) -> Verdict<M::State> {
    let parts = partition::partition(model, history);
    let operations = history.operations();
    let budget = options.budget;
    let memo_bytes = budget.memo_bytes / parts.len().max(1);
    let searches: Vec<Mutex<PartSearch<'_, M>>> = parts
        .iter()
        .map(|part| Mutex::new(PartSearch::new(model, operations, part, budget.states, memo_bytes)))
        .collect();

    let illegal = search_in_rounds(&searches, options);
    let mut searches: Vec<PartSearch<'_, M>> =
        searches.into_iter().map(|search| search.into_inner().expect("no search panicked")).collect();

    if let Some(index) = illegal {
        let search = searches.swap_remove(index);
        drop(searches);
        let part = &parts[index];
        let again =
            |goal| PartSearch::new(model, operations, part, budget.states, memo_bytes).with_goal(goal);
        return Verdict::Illegal(blame(search, part, budget, again));
    }
    let effort = effort(&searches);
    if let Some(index) = searches.iter().position(|search| search.status() != Status::Valid) {
        let search = &searches[index];
        let resource = match search.status() {
            Status::OutOfStates => Resource::States,
            _ if search.memo_is_full() || search.steps() < budget.steps => Resource::Memory,
            _ => Resource::Steps,
        };
        let (prefix, states, waiting_for) = match search.deepest() {
            Some(deepest) => (deepest.prefix, deepest.states, Some(deepest.blamed)),
            None => (Vec::new(), vec![model.initial()], None),
        };
        return Verdict::Unknown(Exhausted {
            resource,
            part: parts[index].clone(),
            prefix,
            states,
            waiting_for,
            effort,
        });
    }
    let orders: Vec<Vec<usize>> = searches.iter().map(PartSearch::order).collect();
    let (order, points) = linearization::merge(operations, &orders);
    if let Err(error) = replay(model, history, &order) {
        panic!("the linearization does not replay, so the model breaks a promise: {error}");
    }
    Verdict::Valid(Linearization { order, points, effort })
}

/// Runs all searches to the end or out of budget; the first illegal one of the first round that has one.
fn search_in_rounds<M: Model>(searches: &[Mutex<PartSearch<'_, M>>], options: &Options) -> Option<usize> {
    let mut allowance = FIRST_ROUND;
    let mut running: Vec<usize> = (0..searches.len()).collect();
    loop {
        allowance = allowance.min(options.budget.steps);
        let bytes = bytes_for_states(searches, running.len(), options);
        // The first round is done here, since starting threads takes longer than most histories.
        let threads = if allowance == FIRST_ROUND { 1 } else { options.threads.min(running.len()).max(1) };
        let illegal = AtomicUsize::new(usize::MAX);
        let turn = AtomicUsize::new(0);
        let work = || {
            while let Some(&index) = running.get(turn.fetch_add(1, Ordering::Relaxed)) {
                let overtaken = || illegal.load(Ordering::Relaxed) < index;
                if overtaken() {
                    continue;
                }
                let mut search = searches[index].lock().expect("no search panicked");
                let most = search.state_bytes() + bytes;
                if search.run(allowance, most, overtaken) == Status::Illegal {
                    illegal.fetch_min(index, Ordering::Relaxed);
                }
            }
        };
        if threads == 1 {
            work();
        } else {
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(work);
                }
                work();
            });
        }
        match illegal.load(Ordering::Relaxed) {
            usize::MAX => {}
            index => return Some(index),
        }
        let still =
            |index: &usize| searches[*index].lock().expect("no search panicked").status() == Status::Running;
        running.retain(still);
        if running.is_empty() || allowance == options.budget.steps {
            return None;
        }
        allowance = allowance.saturating_mul(8);
    }
}

/// How many bytes of new states each running part may take in a round: its share of what is left of the budget. It depends
/// on the rounds before and not on threads.
fn bytes_for_states<M: Model>(
    searches: &[Mutex<PartSearch<'_, M>>],
    running: usize,
    options: &Options,
) -> usize {
    let held: usize =
        searches.iter().map(|search| search.lock().expect("no search panicked").state_bytes()).sum();
    let left = most_bytes(options.budget).saturating_sub(held);
    left / running.max(1)
}

/// How many bytes the states of all parts may take.
fn most_bytes(budget: Budget) -> usize {
    (budget.memo_bytes / 2).max(LEAST_BYTES)
}

/// Finds the blamed operation of an illegal part between the deepest point that its search met and the latest return
/// that it found impossible to cover. `again` makes a search for an order up to a return.
fn blame<'h, M: Model>(
    search: PartSearch<'h, M>,
    part: &[usize],
    budget: Budget,
    again: impl Fn(u32) -> PartSearch<'h, M>,
) -> Violation<M::State> {
    let mut effort = effort(std::slice::from_ref(&search));
    let mut deepest = search.deepest().expect("an illegal part has an operation that does not fit");
    let mut impossible = search.impossible();
    drop(search);
    let mut exact = true;
    while deepest.limit < impossible {
        let goal = deepest.limit + (impossible - deepest.limit) / 2;
        let mut search = again(goal);
        let status = search.run(budget.steps, most_bytes(budget), || false);
        effort.steps += search.steps();
        match status {
            Status::Illegal => impossible = search.impossible().min(goal),
            Status::Valid => {}
            Status::Running | Status::OutOfStates => {
                exact = false;
                break;
            }
        }
        if let Some(found) = search.deepest()
            && found.limit > deepest.limit
        {
            deepest = found;
        }
    }
    Violation {
        part: part.to_vec(),
        blamed: deepest.blamed,
        exact,
        prefix: deepest.prefix,
        states: deepest.states,
        effort,
    }
}

fn effort<M: Model>(searches: &[PartSearch<'_, M>]) -> Effort {
    searches.iter().fold(Effort::default(), |sum, search| Effort {
        steps: sum.steps + search.steps(),
        states: sum.states + search.states(),
        configurations: sum.configurations + search.configurations(),
        bytes: sum.bytes + search.bytes(),
    })
}
