//! A history in the form of the general search: the plain store, with breaks and watches, as a separate model.
//!
//! This is the second judge. The property tests compare the fast check with it, and [`super::recheck`] lets it judge the core of
//! every accusation.
//!
//! A break is two operations of its own. *Keep* copies the store at some moment of the era in which the
//! revision that the break keeps is made, and is legal only while the store is at that revision. *Break* stands at the
//! break's instant and puts the copy back. Every other operation is moved into its era's span of time, so that real
//! time keeps it on its side. The operation that makes a revision must change what a watch saw of it, unless an
//! answered operation is known to have made it: watches show who filled a gap and nothing else.
//!
//! This module knows no segments, gaps or candidates.

use std::collections::BTreeMap;

use super::{Dialect, Start};
use crate::history::{
    Bytes, Event, LeaseId, Op, OpResult, Operation, Outcome, RunHistory, WatchEventKind, WatchLine,
};
use crate::model::etcd::{Etcd, EtcdOutput};
use crate::model::{ConcurrentHistory, HistoryError, Model, Operation as Plain};

/// What happens to the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Input {
    /// A client's request, and for a grant its number: it distinguishes leases of one id.
    Op(Op, u64),
    /// A lease of that grant ends by itself, in that era.
    Expire { lease: LeaseId, grant: u64, era: usize },
    /// The store as it is now is what that break will put back. At a break's own revision it may be from either side.
    Keep { number: usize, eras: Vec<usize>, revision: i64 },
    /// The break itself, after a watch has seen `top`.
    Break { number: usize, top: i64 },
    /// Something that is not in the history makes a revision, and touches nothing that is.
    Elsewhere,
    /// A watch has seen that revision by now.
    Reach(i64),
}

/// The store, which era it is in, and what breaks will put back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    store: Granted,
    era: usize,
    kept: BTreeMap<usize, Granted>,
}

/// A store, and which grant each of its leases is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Granted {
    etcd: Etcd,
    grants: BTreeMap<LeaseId, u64>,
}

impl Granted {
    fn apply(&mut self, op: &Op, number: u64, answer: Option<&OpResult>) -> Option<OpResult> {
        let result = self.etcd.apply(op, answer).ok()?;
        match &result {
            // Where granting twice is legal, the first grant's lease goes on.
            OpResult::LeaseGrant(grant) => _ = self.grants.entry(grant.id).or_insert(number),
            OpResult::LeaseRevoke(_) => {
                if let Op::LeaseRevoke(lease) = op {
                    self.grants.remove(&lease.id);
                }
            }
            _ => {}
        }
        Some(result)
    }
}

/// What a revision of an era is known to have made of a key, if not for long: its value, or nothing.
type Delivered = BTreeMap<(usize, i64), Vec<(Bytes, Option<Bytes>)>>;

/// The model.
pub(super) struct Reference {
    dialect: Dialect,
    delivered: Delivered,
}

impl Model for Reference {
    type State = State;
    type Input = Input;
    type Output = EtcdOutput;

    fn initial(&self) -> State {
        let etcd = Etcd::start(self.dialect, &Start::default());
        State { store: Granted { etcd, grants: BTreeMap::new() }, era: 0, kept: BTreeMap::new() }
    }

    fn step(&self, state: &State, input: &Input, output: Option<&EtcdOutput>) -> Option<State> {
        let mut next = state.clone();
        match (input, output) {
            (Input::Expire { lease, grant, era }, _) => {
                if state.era != *era
                    || next.store.grants.remove(lease) != Some(*grant)
                    || !next.store.etcd.expire(*lease)
                {
                    return None;
                }
            }
            (Input::Op(op, number), None) => _ = next.store.apply(op, *number, None)?,
            (Input::Op(op, _), Some(EtcdOutput::Refused(kind))) => {
                return state.store.etcd.fails_with(op, *kind).then_some(next);
            }
            (Input::Op(op, number), Some(EtcdOutput::Answer(revision, answer))) => {
                let result = next.store.apply(op, *number, answer.as_ref())?;
                let etcd = &next.store.etcd;
                if etcd.revision() != *revision || !etcd.same(op, &result, answer.as_ref()) {
                    return None;
                }
            }
            (Input::Elsewhere, _) => next.store.etcd.skip_revision(),
            (Input::Keep { number, eras, revision }, _) => {
                if !eras.contains(&state.era) || state.store.etcd.revision() != *revision {
                    return None;
                }
                next.kept.insert(*number, state.store.clone());
            }
            (Input::Break { number, top }, _) => {
                if state.store.etcd.revision() < *top {
                    return None;
                }
                next.store = next.kept.remove(number)?;
                next.era += 1;
                return Some(next);
            }
            (Input::Reach(top), _) => return (state.store.etcd.revision() >= *top).then_some(next),
        }
        let known =
            matches!((input, output), (Input::Op(op, _), Some(_)) if !matches!(op, Op::LeaseRevoke(_)));
        let revision = next.store.etcd.revision();
        if revision > state.store.etcd.revision() && !known {
            let facts = self.delivered.get(&(state.era, revision)).map_or(&[][..], Vec::as_slice);
            let holds = |(key, value): &(Bytes, Option<Bytes>)| {
                let mut made = next.store.etcd.made(key, revision);
                made.any(|made| made.map(|kv| &kv.value) == value.as_ref())
            };
            if !facts.iter().all(holds) {
                return None;
            }
        }
        Some(next)
    }

    fn is_read_only(&self, input: &Input, output: Option<&EtcdOutput>) -> bool {
        match (input, output) {
            (_, Some(EtcdOutput::Refused(_))) | (Input::Reach(_), _) => true,
            (Input::Op(op, _), _) => !op.may_change(),
            _ => false,
        }
    }
}

/// A break: its instant, the revision that it keeps, the new cluster's id where that is another, and an instant of the
/// era that the new one continues.
struct Cut {
    at: u64,
    revision: i64,
    cluster: Option<u64>,
    continues: u64,
}

/// The spans between breaks.
struct Eras {
    cuts: Vec<Cut>,
}

impl Eras {
    fn of(history: &RunHistory) -> Eras {
        let cut = |line: &crate::history::Break| Cut {
            at: line.at,
            revision: line.revision.0,
            cluster: line.cluster_id,
            continues: line.continues.unwrap_or(line.at),
        };
        Eras { cuts: history.breaks().map(cut).collect() }
    }

    fn at(&self, instant: u64) -> usize {
        self.cuts.iter().filter(|cut| cut.at < instant).count()
    }

    fn base(&self, era: usize) -> i64 {
        if era == 0 { 1 } else { self.cuts[era - 1].revision }
    }

    /// The era that an era continues; none for the first.
    fn parent(&self, era: usize) -> Option<usize> {
        era.checked_sub(1).map(|before| self.at(self.cuts[before].continues).min(before))
    }

    /// The first and the last instant within an era.
    fn span(&self, era: usize) -> (u64, u64) {
        let start = if era == 0 { 0 } else { self.cuts[era - 1].at + 1 };
        (start, self.cuts.get(era).map_or(u64::MAX - 2, |cut| cut.at.saturating_sub(1)))
    }

    /// The era in which a revision was made, as it is seen in `era`: its own, or the latest before it that had not yet
    /// come so far when it began. `made`: at the base nothing was made.
    fn of_revision(&self, mut era: usize, revision: i64, made: bool) -> Option<usize> {
        while revision < self.base(era) + i64::from(made) {
            era = self.parent(era)?;
        }
        Some(era)
    }

    /// The cluster's id in an era, if a break says it.
    fn cluster(&self, era: usize) -> Option<u64> {
        self.cuts[..era].iter().rev().find_map(|cut| cut.cluster)
    }

    /// The era of an operation that returned; none if it could be one or the other, and for what a member that is
    /// left over from another cluster answered from its own state.
    fn of_operation(&self, operation: &Operation) -> Option<usize> {
        let (from, to) = (self.at(operation.call), self.at(operation.ret?));
        let own_state = matches!(&operation.op, Op::Range(range) if range.serializable);
        if from == to && !(own_state && operation.header.is_some()) {
            return Some(from);
        }
        let header = operation.header?.cluster_id;
        let later = |era: usize| (era + 1..=self.cuts.len()).any(|era| self.cluster(era) == Some(header));
        let mut fits = (from..=to).filter(|&era| match self.cluster(era) {
            _ if header == 0 => true,
            Some(cluster) => cluster == header,
            None => !later(era),
        });
        fits.next().filter(|_| fits.next().is_none())
    }
}

/// A history as the general search takes it, and the model to judge it by.
///
/// A serializable read may have happened at any time of its era before its return. A failure that says something about
/// the state is an answer. A lease with a lifetime may end by itself. If an operation was open at a break and either side
/// may have answered it, a write is ambiguous, and anything else is ignored. `elsewhere`: revisions may have been made
/// outside this history, which is a core.
///
/// # Errors
/// Where an operation has no place in its era: one that was called at the very instant of a break.
pub(super) fn plain(
    history: &RunHistory,
    dialect: Dialect,
    elsewhere: bool,
) -> Result<(Reference, ConcurrentHistory<Input, EtcdOutput>), HistoryError> {
    let eras = Eras::of(history);
    let mut list = Vec::new();
    for operation in &history.operations {
        each_plain(operation, &eras, history.drift_ppm(), &mut list);
    }
    let watches = history.events.iter().filter_map(|event| match event {
        Event::Watch(line) => Some(line),
        _ => None,
    });
    let mut tops: Vec<i64> = (0..=eras.cuts.len()).map(|era| eras.base(era)).collect();
    let mut delivered = Delivered::new();
    for line in watches {
        let era = eras.at(line.at);
        tops[era] = tops[era].max(line.revision.0);
        note_delivered(&eras, era, line, &mut delivered);
    }
    let done = || EtcdOutput::Answer(0, None);
    for (number, cut) in eras.cuts.iter().enumerate() {
        let client = 2_000_000 + number as u64;
        let continued = eras.parent(number + 1).expect("it is not the first");
        if let Some(last) = eras.of_revision(continued, cut.revision, false) {
            let mut among = vec![last];
            while eras.base(among[0]) == cut.revision
                && let Some(parent) = eras.parent(among[0])
            {
                among.insert(0, parent);
            }
            let (from, to) = (eras.span(among[0]).0, eras.span(last).1);
            let keep = Input::Keep { number, eras: among, revision: cut.revision };
            list.push(Plain::ok(client, from, to.max(from), keep, done()));
        }
        let input = Input::Break { number, top: tops[number] };
        list.push(Plain::ok(client, cut.at, cut.at, input, done()));
    }
    if elsewhere {
        let revisions = history.operations.iter().filter_map(Operation::revision).map(|revision| revision.0);
        // And some that only refusals name.
        for _ in 1..revisions.chain(tops.iter().copied()).max().unwrap_or(0) * tops.len() as i64 + 8 {
            list.push(Plain::info(4_000_000, 0, Input::Elsewhere));
        }
    }
    let top = tops[eras.cuts.len()];
    list.push(Plain::ok(3_000_000, u64::MAX - 1, u64::MAX - 1, Input::Reach(top), done()));
    Ok((Reference { dialect, delivered }, ConcurrentHistory::new(list)?))
}

fn each_plain(operation: &Operation, eras: &Eras, drift_ppm: u64, list: &mut Vec<Plain<Input, EtcdOutput>>) {
    let client = operation.client.0;
    let grant = if matches!(operation.op, Op::LeaseGrant(_)) { operation.id.0 } else { 0 };
    let input = Input::Op(operation.op.clone(), grant);
    let era = eras.of_operation(operation);
    let mut may_have_happened = operation.outcome != Outcome::Fail;
    let answer = match (operation.outcome, operation.fact()) {
        (Outcome::Ok, _) => {
            let revision = operation.revision().map_or(0, |revision| revision.0);
            Some(EtcdOutput::Answer(revision, operation.result.clone()))
        }
        (_, Some(kind)) => Some(EtcdOutput::Refused(kind)),
        _ => None,
    };
    match (answer, era, operation.ret) {
        (Some(answer), Some(era), Some(ret)) => {
            let (start, end) = eras.span(era);
            let call = if operation.op.is_serializable() { start } else { operation.call.max(start) };
            list.push(Plain::ok(client, call, ret.min(end), input, answer));
        }
        _ if operation.outcome == Outcome::Info || operation.is_ok() && operation.op.may_change() => {
            list.push(Plain::info(client, operation.call, Input::Op(with_chosen_lease(operation), grant)));
        }
        _ => may_have_happened = false,
    }
    if let Op::LeaseGrant(request) = &with_chosen_lease(operation)
        && request.ttl > 0
        && may_have_happened
    {
        let (lease, number) = (request.id, operation.id.0);
        let nanos = request.ttl as u128 * 1_000_000_000 * 1_000_000 / (1_000_000 + u128::from(drift_ppm));
        let ends = operation.call.saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX));
        for era in eras.at(operation.call)..=eras.cuts.len() {
            let call = ends.max(eras.span(era).0);
            list.push(Plain::info(1_000_000 + client, call, Input::Expire { lease, grant: number, era }));
        }
    }
}

/// The request, with the lease's id and lifetime as the store chose them, if that is known.
fn with_chosen_lease(operation: &Operation) -> Op {
    let mut op = operation.op.clone();
    if let (Op::LeaseGrant(grant), Some(OpResult::LeaseGrant(result))) = (&mut op, &operation.result) {
        grant.id = if grant.id.is_none() { result.id } else { grant.id };
        grant.ttl = if result.ttl > 0 { result.ttl } else { grant.ttl };
    }
    op
}

fn note_delivered(eras: &Eras, era: usize, line: &WatchLine, delivered: &mut Delivered) {
    for event in &line.events {
        let revision = event.kv.mod_revision.0;
        let Some(of) = eras.of_revision(era, revision, true) else { continue };
        let value = (event.kind == WatchEventKind::Put).then(|| event.kv.value.clone());
        delivered.entry((of, revision)).or_default().push((event.kv.key.clone(), value));
    }
}
