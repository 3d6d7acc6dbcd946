//! Suspicions: what one order of the operations contradicts, and whether another order acquits.
//!
//! The replay of watches and locks follows one order among those that explain the answers. A write without an answer,
//! or the end of a lease, may have a place in it at which it did not happen. Then the replay contradicts a watcher or a lock's
//! holder that saw the truth. So the search runs again and takes as facts what the watchers received
//! ([`Seen`](crate::revision::Seen)) and what the services answered ([`locks::with_facts`]).
//! First it takes all of them at once. A sound run passes there, mostly in the order of the members' logs. If no such
//! order is found, the search tries each suspect alone, and only those that no order acquits are accused. If each can be
//! explained alone, but not all together, they contradict each other, and all suspects are named.
//!
//! A search that runs out of its budget neither acquits nor accuses.

use super::changes::Changes;
use super::{Failure, Judgement, locks, watches};
use crate::history::RunHistory;
use crate::revision::{self, Budgets, Dialect, Seen, Verdict, Witness};

/// How many suspected watches are tried alone at the most.
const MOST_ALONE: usize = 16;
/// The part of the budget that a suspect who is tried alone may use up.
const PART_ALONE: u64 = 10;

/// Accuses the suspects that no order acquits.
pub(super) fn suspicions(
    history: &RunHistory,
    changes: &Changes,
    budgets: &Budgets,
    judgement: &mut Judgement,
) {
    let watches = watches::suspect(history, changes);
    let locks = locks::suspect(history, changes);
    if watches.is_empty() && locks.is_empty() {
        return;
    }
    let told = watches::seen(history);
    let with_locks = locks::any(history).then(|| locks::with_facts(history));
    let with_facts = with_locks.as_ref().unwrap_or(history);
    let together = explain(with_facts, &told, budgets);
    if let Explained::Yes(witness) = &together {
        // The facts of a lock say less than its rules where the place's create revision is not known.
        if !watches::suspect(history, &Changes::of(with_facts, witness)).is_empty() {
            let reason = "THE JUDGES DISAGREE, and one of them has a bug: an order that is said to explain all that was told \
                          contradicts it";
            judgement.unknown.get_or_insert(reason.to_owned());
        }
        return;
    }
    let alone = Budgets { steps: budgets.steps / PART_ALONE, ..*budgets };
    let mut accused: Vec<Failure> = Vec::new();
    let known = |accused: &[Failure], failure: &Failure| {
        accused.iter().any(|before| before.guarantee == failure.guarantee)
    };
    for suspect in watches.iter().take(MOST_ALONE) {
        // One for each guarantee: a broken hub breaks every watch.
        if !known(&accused, &suspect.failure)
            && let Explained::No = explain(history, std::slice::from_ref(&suspect.seen), &alone)
        {
            accused.push(suspect.failure.clone());
        }
    }
    if let Some(with_locks) = with_locks.filter(|_| !locks.is_empty())
        && let Explained::No = explain(&with_locks, &[], budgets)
    {
        accused.extend(locks.iter().cloned());
    }
    match together {
        Explained::No if accused.is_empty() => {
            for failure in watches.into_iter().map(|suspect| suspect.failure).chain(locks) {
                if !known(&accused, &failure) {
                    let message = format!("{} (no order explains all that was told)", failure.message);
                    accused.push(Failure { message, ..failure });
                }
            }
        }
        Explained::OutOf(reason) if accused.is_empty() => {
            judgement.unknown.get_or_insert(reason);
        }
        _ => {}
    }
    judgement.failures.extend(accused);
}

enum Explained {
    Yes(Witness),
    No,
    OutOf(String),
}

fn explain(history: &RunHistory, seen: &[Seen], budgets: &Budgets) -> Explained {
    match revision::check_seen(history, Dialect::Etcd, seen, budgets) {
        Verdict::Valid(valid) => Explained::Yes(valid.witness),
        Verdict::Invalid(_) => Explained::No,
        Verdict::Unknown(unknown) => Explained::OutOf(format!(
            "watch, lock: out of {} after {} steps, with what watchers were told and what the locks' answers say; the furthest \
             revision that was explained is {}",
            unknown.ran_out_of, unknown.steps, unknown.frontier.consistent_revision
        )),
    }
}
