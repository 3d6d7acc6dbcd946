//! What a request does in a state, and whether that is what was answered.
//!
//! This is the judge's own account of etcd's MVCC semantics (`reference/etcd-api.md`, section 2), on numbered keys.
//! [`crate::model::etcd`] is a second one, written plainly over whole maps; witnesses are verified with that, and the
//! property tests hold the two against each other.
//!
//! A txn is decided before it does anything: all compares, those of nested txns too, look at the state before it, and
//! so do the checks for leases, kept values and named revisions. Its own reads then see its earlier writes.

use super::action::{Action, TxnAction};
use super::keyspace::{Key, KeySpace, NO_LEASE, Span};
use super::store::{Entry, NO_GRANTER, Store};
use crate::history::{
    Bytes, Compare, CompareResult, CompareTarget, DeleteRangeResult, ErrorKind, KeyValue, LeaseId, OpResult,
    Put, PutResult, Range, RangeResult, ResponseOp, SortOrder, SortTarget, TxnResult,
};

/// Whose semantics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Etcd's own.
    #[default]
    Etcd,
    /// Those of the model in etcd's robustness tests, which differs in corners: a put with an unknown lease is
    /// skipped, revoking an unknown lease and granting a known one succeed; its reports tell neither creation
    /// revisions nor leases of keys, nor whether a limit cut the answer.
    Robustness,
}

/// How an answer differs from what the state demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// A key.
    Key(Box<KeyDiffers>),
    /// Keys in another order than asked for.
    Order,
    /// How many keys an interval holds.
    Count { state: i64, answer: i64 },
    /// Whether a limit cut the answer.
    More { state: bool },
    /// How many keys were deleted.
    Deleted { state: i64, answer: i64 },
    /// Which branch a txn takes.
    Branch { state: bool },
    /// The state demands an error.
    Error(ErrorKind),
    /// The response is not of the request's kind.
    Shape,
}

/// A key: what the state has, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyDiffers {
    pub(super) name: Bytes,
    pub(super) state: Option<KeyValue>,
    pub(super) answer: Option<KeyValue>,
}

impl Mismatch {
    fn key(name: &Bytes, state: Option<KeyValue>, answer: Option<&KeyValue>) -> Mismatch {
        Mismatch::Key(Box::new(KeyDiffers { name: name.clone(), state, answer: answer.cloned() }))
    }
}

/// What the replay needs of an operation's evaluation.
pub(super) struct Done {
    /// Whether it changed keys, and so makes a revision.
    pub(super) creates: bool,
}

/// What an evaluation is done with.
pub(super) struct Eval<'e, 'a> {
    pub(super) space: &'e KeySpace<'a>,
    pub(super) store: &'e mut Store<'a>,
    pub(super) dialect: Dialect,
    /// The item that acts; a grant is remembered by it.
    pub(super) item: u32,
}

impl<'a> Eval<'_, 'a> {
    /// Lets the action take effect at the next revision, and compares what comes of it with the answer, where there
    /// is one. The state may be changed in part where it fails: undo to a mark.
    pub(super) fn run(&mut self, action: &Action<'a>, answer: Option<&OpResult>) -> Result<Done, Mismatch> {
        let mut creates = false;
        match (action, answer) {
            (Action::Range(span, range), answer) => {
                self.check_revision(range).map_err(Mismatch::Error)?;
                match answer {
                    Some(OpResult::Range(answer)) => self.compare_range(*span, range, answer)?,
                    Some(_) => return Err(Mismatch::Shape),
                    None => {}
                }
            }
            (Action::Put(key, lease, put), answer) => {
                self.check_put(*key, *lease, put).map_err(Mismatch::Error)?;
                let answer = match answer {
                    Some(OpResult::Put(answer)) => Some(answer),
                    Some(_) => return Err(Mismatch::Shape),
                    None => None,
                };
                self.put(action, answer, &mut creates)?;
            }
            (Action::Delete(..), answer) => {
                let answer = match answer {
                    Some(OpResult::DeleteRange(answer)) => Some(answer),
                    Some(_) => return Err(Mismatch::Shape),
                    None => None,
                };
                self.delete(action, answer, &mut creates)?;
            }
            (Action::Txn(txn), answer) => {
                let answer = match answer {
                    Some(OpResult::Txn(answer)) => Some(answer),
                    Some(_) => return Err(Mismatch::Shape),
                    None => None,
                };
                let mut path = Vec::new();
                self.decide(txn, &mut path);
                // A wrong branch is told as such, before the errors that the right one might have had.
                if let Some(answer) = answer {
                    compare_branches(&path, &mut 0, answer)?;
                }
                self.check_txn(txn, &path, &mut 0).map_err(Mismatch::Error)?;
                self.txn(txn, &path, &mut 0, answer, &mut creates)?;
            }
            (Action::Compact(revision), _) => {
                if *revision <= self.store.compacted() {
                    return Err(Mismatch::Error(ErrorKind::Compacted));
                }
                if *revision > self.store.revision() {
                    return Err(Mismatch::Error(ErrorKind::FutureRevision));
                }
                self.store.set_compacted(*revision);
            }
            (Action::Grant(lease), answer) => match (self.store.lease_exists(*lease), self.dialect) {
                (_, Dialect::Etcd) if is_other_lease(answer, self.space.lease_name(*lease)) => {
                    return Err(Mismatch::Shape);
                }
                (true, Dialect::Etcd) => return Err(Mismatch::Error(ErrorKind::LeaseExists)),
                (true, Dialect::Robustness) => {}
                (false, _) => self.store.set_granter(*lease, self.item),
            },
            (Action::Revoke(lease), _) => match (self.store.lease_exists(*lease), self.dialect) {
                (true, _) => self.end_lease(*lease, &mut creates),
                (false, Dialect::Robustness) => {}
                (false, Dialect::Etcd) => return Err(Mismatch::Error(ErrorKind::LeaseNotFound)),
            },
            (Action::Expire(lease, granter), _) => {
                if self.store.granter(*lease) != *granter {
                    return Err(Mismatch::Error(ErrorKind::LeaseNotFound));
                }
                self.end_lease(*lease, &mut creates);
            }
            (Action::Nothing, _) => {}
        }
        if creates {
            self.store.set_revision(self.store.revision() + 1);
        }
        Ok(Done { creates })
    }

    /// Whether the action may be refused with this error in this state. Of several errors that apply, etcd may give
    /// any. Changes nothing.
    pub(super) fn fails_with(&self, action: &Action<'a>, kind: ErrorKind) -> bool {
        match action {
            Action::Range(_, range) => self.check_revision(range) == Err(kind),
            Action::Put(key, lease, put) => self.put_fails_with(*key, *lease, put, kind),
            Action::Txn(txn) => {
                let mut path = Vec::new();
                self.decide(txn, &mut path);
                self.txn_fails_with(txn, &path, &mut 0, kind)
            }
            Action::Compact(revision) => match kind {
                ErrorKind::Compacted => *revision <= self.store.compacted(),
                ErrorKind::FutureRevision => *revision > self.store.revision(),
                _ => false,
            },
            Action::Grant(lease) => kind == ErrorKind::LeaseExists && self.store.lease_exists(*lease),
            Action::Revoke(lease) => kind == ErrorKind::LeaseNotFound && !self.store.lease_exists(*lease),
            Action::Delete(..) | Action::Expire(..) | Action::Nothing => false,
        }
    }

    fn put_fails_with(&self, key: Key, lease: u32, put: &Put, kind: ErrorKind) -> bool {
        match kind {
            ErrorKind::LeaseNotFound => {
                lease != NO_LEASE && self.dialect == Dialect::Etcd && !self.store.lease_exists(lease)
            }
            ErrorKind::KeyNotFound => {
                (put.ignore_value || put.ignore_lease) && !self.store.entry(key).is_present()
            }
            _ => false,
        }
    }

    fn txn_fails_with(&self, txn: &TxnAction<'a>, path: &[bool], place: &mut usize, kind: ErrorKind) -> bool {
        let branch = if path[*place] { &txn.success } else { &txn.failure };
        *place += 1;
        let mut fails = false;
        for part in branch {
            fails |= match part {
                Action::Range(_, range) => self.check_revision(range) == Err(kind),
                Action::Put(key, lease, put) => self.put_fails_with(*key, *lease, put, kind),
                Action::Txn(nested) => self.txn_fails_with(nested, path, place, kind),
                _ => false,
            };
        }
        fails
    }

    fn end_lease(&mut self, lease: u32, creates: &mut bool) {
        let keys: Vec<Key> = self.store.attached(lease).iter().copied().collect();
        for key in keys {
            self.store.set_key(key, Entry::ABSENT);
            *creates = true;
        }
        self.store.set_granter(lease, NO_GRANTER);
    }

    fn check_revision(&self, range: &Range) -> Result<(), ErrorKind> {
        let revision = range.revision.0;
        if revision <= 0 {
            Ok(())
        } else if revision > self.store.revision() {
            Err(ErrorKind::FutureRevision)
        } else if revision < self.store.compacted() {
            Err(ErrorKind::Compacted)
        } else {
            Ok(())
        }
    }

    fn check_put(&self, key: Key, lease: u32, put: &Put) -> Result<(), ErrorKind> {
        if lease != NO_LEASE && self.dialect == Dialect::Etcd && !self.store.lease_exists(lease) {
            return Err(ErrorKind::LeaseNotFound);
        }
        if (put.ignore_value || put.ignore_lease) && !self.store.entry(key).is_present() {
            return Err(ErrorKind::KeyNotFound);
        }
        Ok(())
    }

    /// The branches that a txn and its nested ones take, in the order in which they are met.
    fn decide(&self, txn: &TxnAction<'a>, path: &mut Vec<bool>) {
        let succeeds = txn.compares.iter().all(|(span, compare)| self.holds(*span, compare));
        path.push(succeeds);
        for part in if succeeds { &txn.success } else { &txn.failure } {
            if let Action::Txn(nested) = part {
                self.decide(nested, path);
            }
        }
    }

    fn check_txn(&self, txn: &TxnAction<'a>, path: &[bool], place: &mut usize) -> Result<(), ErrorKind> {
        let branch = if path[*place] { &txn.success } else { &txn.failure };
        *place += 1;
        for part in branch {
            match part {
                Action::Range(_, range) => self.check_revision(range)?,
                Action::Put(key, lease, put) => self.check_put(*key, *lease, put)?,
                Action::Txn(nested) => self.check_txn(nested, path, place)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn txn(
        &mut self,
        txn: &TxnAction<'a>,
        path: &[bool],
        place: &mut usize,
        answer: Option<&TxnResult>,
        creates: &mut bool,
    ) -> Result<(), Mismatch> {
        let branch = if path[*place] { &txn.success } else { &txn.failure };
        *place += 1;
        for (index, part) in branch.iter().enumerate() {
            let answer = match answer {
                Some(answer) => Some(answer.responses.get(index).ok_or(Mismatch::Shape)?),
                None => None,
            };
            match (part, answer) {
                (Action::Range(span, range), Some(ResponseOp::Range(answer))) => {
                    self.compare_range(*span, range, answer)?;
                }
                (Action::Put(..), Some(ResponseOp::Put(answer))) => self.put(part, Some(answer), creates)?,
                (Action::Delete(..), Some(ResponseOp::DeleteRange(answer))) => {
                    self.delete(part, Some(answer), creates)?;
                }
                (Action::Txn(nested), Some(ResponseOp::Txn(answer))) => {
                    self.txn(nested, path, place, Some(answer), creates)?;
                }
                (Action::Put(..), None) => self.put(part, None, creates)?,
                (Action::Delete(..), None) => self.delete(part, None, creates)?,
                (Action::Txn(nested), None) => self.txn(nested, path, place, None, creates)?,
                (Action::Range(..), None) => {}
                _ => return Err(Mismatch::Shape),
            }
        }
        Ok(())
    }

    fn put(
        &mut self,
        action: &Action<'a>,
        answer: Option<&PutResult>,
        creates: &mut bool,
    ) -> Result<(), Mismatch> {
        let Action::Put(key, lease, put) = *action else { unreachable!("only called with a put") };
        let old = *self.store.entry(key);
        if let Some(answer) = answer
            && put.prev_kv
        {
            self.compare_kv(key, &old, answer.prev_kv.as_ref(), false)?;
        }
        if lease != NO_LEASE && !self.store.lease_exists(lease) {
            // Only in the robustness model: etcd itself refused the whole request.
            return Ok(());
        }
        let revision = self.store.revision() + 1;
        let entry = Entry {
            value: if put.ignore_value && old.is_present() { old.value } else { Some(&put.value) },
            create: if old.is_present() { old.create } else { revision },
            modified: revision,
            version: old.version + 1,
            lease: if put.ignore_lease && old.is_present() { old.lease } else { lease },
        };
        self.store.set_key(key, entry);
        *creates = true;
        Ok(())
    }

    fn delete(
        &mut self,
        action: &Action<'a>,
        answer: Option<&DeleteRangeResult>,
        creates: &mut bool,
    ) -> Result<(), Mismatch> {
        let Action::Delete(span, delete) = *action else { unreachable!("only called with a delete") };
        let count = self.store.count(span);
        if let Some(answer) = answer {
            if answer.deleted != count {
                return Err(Mismatch::Deleted { state: count, answer: answer.deleted });
            }
            if delete.prev_kv {
                self.compare_list(self.store.present(span), &answer.prev_kvs, false)?;
            }
        }
        if count > 0 {
            let keys: Vec<Key> = self.store.present(span).collect();
            for key in keys {
                self.store.set_key(key, Entry::ABSENT);
            }
            *creates = true;
        }
        Ok(())
    }

    fn holds(&self, span: Span, compare: &Compare) -> bool {
        let mut keys = self.store.present(span).peekable();
        if keys.peek().is_none() {
            return !matches!(compare.target, CompareTarget::Value(_))
                && compare_entry(self.space, &Entry::ABSENT, compare);
        }
        keys.all(|key| compare_entry(self.space, self.store.entry(key), compare))
    }

    /// Compares the answer of a range with the state. That of a range at a named revision is compared when the replay
    /// passes that revision ([`super::gaps::parts`]).
    fn compare_range(&self, span: Span, range: &Range, answer: &RangeResult) -> Result<(), Mismatch> {
        if range.revision.0 > 0 {
            return Ok(());
        }
        self.compare_current(span, range, answer)
    }

    /// Compares the answer of a range with the present state, whatever revision it names.
    pub(super) fn compare_current(
        &self,
        span: Span,
        range: &Range,
        answer: &RangeResult,
    ) -> Result<(), Mismatch> {
        let count = self.store.count(span);
        let plain = range.limit <= 0
            && range.sort_order == SortOrder::None
            && range.sort_target == SortTarget::Key
            && range.min_mod_revision.0 <= 0
            && range.max_mod_revision.0 <= 0
            && range.min_create_revision.0 <= 0
            && range.max_create_revision.0 <= 0;
        let told_more = self.dialect == Dialect::Etcd;
        if range.count_only {
            if let Some(kv) = answer.kvs.first() {
                return Err(Mismatch::key(&kv.key, None, Some(kv)));
            }
        } else if plain {
            self.compare_list(self.store.present(span), &answer.kvs, range.keys_only)?;
            if told_more && answer.more == Some(true) {
                return Err(Mismatch::More { state: false });
            }
        } else {
            self.compare_sorted(span, range, answer, told_more)?;
        }
        if answer.count != count {
            return Err(Mismatch::Count { state: count, answer: answer.count });
        }
        Ok(())
    }

    fn compare_sorted(
        &self,
        span: Span,
        range: &Range,
        answer: &RangeResult,
        told_more: bool,
    ) -> Result<(), Mismatch> {
        let within = |revision: i64, min: i64, max: i64| {
            (min <= 0 || revision >= min) && (max <= 0 || revision <= max)
        };
        let mut keys: Vec<Key> = self
            .store
            .present(span)
            .filter(|&key| {
                let entry = self.store.entry(key);
                within(entry.modified, range.min_mod_revision.0, range.max_mod_revision.0)
                    && within(entry.create, range.min_create_revision.0, range.max_create_revision.0)
            })
            .collect();
        let ordering = |a: Key, b: Key| {
            let (left, right) = (self.store.entry(a), self.store.entry(b));
            match range.sort_target {
                SortTarget::Key => a.cmp(&b),
                SortTarget::Version => left.version.cmp(&right.version),
                SortTarget::Create => left.create.cmp(&right.create),
                SortTarget::Mod => left.modified.cmp(&right.modified),
                SortTarget::Value => left.value.cmp(&right.value),
            }
        };
        if range.sort_order == SortOrder::Descend {
            keys.sort_by(|&a, &b| ordering(b, a));
        } else {
            keys.sort_by(|&a, &b| ordering(a, b));
        }
        let limit = if range.limit > 0 { range.limit as usize } else { usize::MAX };
        let more = keys.len() > limit;
        if range.sort_target == SortTarget::Key {
            keys.truncate(limit);
            if range.sort_order == SortOrder::Descend {
                // Compared from the smallest key up, so that a difference is told by the key that it is about.
                let answers: Vec<KeyValue> = answer.kvs.iter().rev().cloned().collect();
                self.compare_list(keys.into_iter().rev(), &answers, range.keys_only)?;
            } else {
                self.compare_list(keys.into_iter(), &answer.kvs, range.keys_only)?;
            }
        } else {
            // Etcd's sort is not stable: keys that tie may come in any order, and a limit may keep any of them.
            let wanted = keys.len().min(limit);
            let mut seen = Vec::with_capacity(wanted);
            for (place, kv) in answer.kvs.iter().enumerate() {
                let Some(key) =
                    self.space.key(&kv.key).filter(|key| keys.contains(key) && !seen.contains(key))
                else {
                    return Err(Mismatch::key(&kv.key, None, Some(kv)));
                };
                self.compare_kv(key, self.store.entry(key), Some(kv), range.keys_only)?;
                if place >= wanted || ordering(key, keys[place]).is_ne() {
                    return Err(Mismatch::Order);
                }
                seen.push(key);
            }
            if seen.len() < wanted {
                let missing = keys.into_iter().find(|key| !seen.contains(key)).expect("fewer than wanted");
                let state = Some(self.kv(missing, self.store.entry(missing)));
                return Err(Mismatch::key(self.space.name(missing), state, None));
            }
        }
        if told_more && answer.more.unwrap_or(false) != more {
            return Err(Mismatch::More { state: more });
        }
        Ok(())
    }

    fn compare_list(
        &self,
        keys: impl Iterator<Item = Key>,
        kvs: &[KeyValue],
        keys_only: bool,
    ) -> Result<(), Mismatch> {
        let mut answers = kvs.iter();
        for key in keys {
            let name = self.space.name(key);
            match answers.next() {
                Some(kv) if kv.key == *name => {
                    self.compare_kv(key, self.store.entry(key), Some(kv), keys_only)?
                }
                // The smaller of the two names is the one that is there too much, or missing.
                Some(kv) if kv.key < *name => {
                    return Err(Mismatch::key(&kv.key, None, Some(kv)));
                }
                _ => {
                    let state = Some(self.kv(key, self.store.entry(key)));
                    return Err(Mismatch::key(name, state, None));
                }
            }
        }
        match answers.next() {
            Some(kv) => Err(Mismatch::key(&kv.key, None, Some(kv))),
            None => Ok(()),
        }
    }

    fn compare_kv(
        &self,
        key: Key,
        entry: &Entry<'a>,
        answer: Option<&KeyValue>,
        keys_only: bool,
    ) -> Result<(), Mismatch> {
        let told = self.dialect == Dialect::Etcd;
        let same = match answer {
            None => !entry.is_present(),
            Some(kv) => {
                entry.is_present()
                    && kv.key == *self.space.name(key)
                    && kv.mod_revision.0 == entry.modified
                    && kv.version == entry.version
                    && (if keys_only { kv.value.is_empty() } else { Some(&kv.value) == entry.value })
                    && (!told
                        || (kv.create_revision.0 == entry.create
                            && kv.lease == self.space.lease_name(entry.lease)))
            }
        };
        if same {
            return Ok(());
        }
        let state = entry.is_present().then(|| self.kv(key, entry));
        Err(Mismatch::key(self.space.name(key), state, answer))
    }

    pub(super) fn kv(&self, key: Key, entry: &Entry<'a>) -> KeyValue {
        KeyValue {
            key: self.space.name(key).clone(),
            value: entry.value.cloned().unwrap_or_default(),
            create_revision: crate::history::Revision(entry.create),
            mod_revision: crate::history::Revision(entry.modified),
            version: entry.version,
            lease: self.space.lease_name(entry.lease),
        }
    }
}

/// Whether a grant was answered with another lease than it asked for.
fn is_other_lease(answer: Option<&OpResult>, asked: LeaseId) -> bool {
    matches!(answer, Some(OpResult::LeaseGrant(answer)) if answer.id != asked)
}

fn compare_branches(path: &[bool], place: &mut usize, answer: &TxnResult) -> Result<(), Mismatch> {
    let Some(&state) = path.get(*place) else { return Err(Mismatch::Shape) };
    if answer.succeeded != state {
        return Err(Mismatch::Branch { state });
    }
    *place += 1;
    for response in &answer.responses {
        if let ResponseOp::Txn(nested) = response {
            compare_branches(path, place, nested)?;
        }
    }
    Ok(())
}

fn compare_entry(space: &KeySpace<'_>, entry: &Entry<'_>, compare: &Compare) -> bool {
    let ordering = match &compare.target {
        CompareTarget::Version(wanted) => entry.version.cmp(wanted),
        CompareTarget::Create(wanted) => entry.create.cmp(&wanted.0),
        CompareTarget::Mod(wanted) => entry.modified.cmp(&wanted.0),
        CompareTarget::Value(wanted) => match entry.value {
            Some(value) => value.cmp(wanted),
            None => return false,
        },
        CompareTarget::Lease(wanted) => space.lease_name(entry.lease).cmp(wanted),
    };
    match compare.result {
        CompareResult::Equal => ordering.is_eq(),
        CompareResult::Greater => ordering.is_gt(),
        CompareResult::Less => ordering.is_lt(),
        CompareResult::NotEqual => ordering.is_ne(),
    }
}
