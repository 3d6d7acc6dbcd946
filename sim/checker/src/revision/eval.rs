//! What a request does in a state; [`super::compare`] has whether that is what was answered.
//!
//! This is the judge's own account of etcd's MVCC semantics (`reference/etcd-api.md`, section 2), on numbered keys.
//! [`crate::model::etcd`] is a second one, written plainly over whole maps; witnesses are verified with that, and the
//! property tests hold the two against each other.
//!
//! A txn is decided before it does anything: all compares, those of nested txns too, look at the state before it, and
//! so do the checks for leases, kept values and named revisions. Its own reads then see its earlier writes. It may delete a
//! key and put it, or put it and delete it, all in one revision: etcd refuses most such requests, but not a delete from a
//! key on (#22445), nor what nested txns beside each other do (#16380). A kept value that the txn itself deletes is not
//! there to be kept (etcd 3.5 panics).

use super::action::{Action, TxnAction};
use super::compare::{Mismatch, compare_branches};
use super::keyspace::{Key, KeySpace, NO_LEASE, Span};
use super::store::{Entry, NO_GRANTER, Store};
use crate::history::{
    Compare, CompareResult, CompareTarget, DeleteRangeResult, ErrorKind, LeaseId, OpResult, Put, PutResult,
    Range, ResponseOp, TxnResult,
};

/// The semantics to judge by.
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

/// What the replay needs of an operation's evaluation.
pub(super) struct Done {
    /// Whether it changed keys, and so makes a revision.
    pub(super) creates: bool,
}

/// The context of an evaluation.
pub(super) struct Eval<'e, 'a> {
    pub(super) space: &'e KeySpace<'a>,
    pub(super) store: &'e mut Store<'a>,
    pub(super) dialect: Dialect,
    /// The item that acts; a grant is remembered by it.
    pub(super) item: u32,
}

impl<'a> Eval<'_, 'a> {
    /// Lets the action take effect at the next revision, and compares the result with the answer, if there is one. If it
    /// fails, the state may be changed in part: undo to a mark.
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
                self.check_put(*key, *lease, put, &[]).map_err(Mismatch::Error)?;
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
                // A wrong branch is named as such, before the errors that the right one might have had.
                if let Some(answer) = answer {
                    compare_branches(&path, &mut 0, answer)?;
                }
                self.check_txn(txn, &path, &mut 0, &mut Vec::new()).map_err(Mismatch::Error)?;
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
            Action::Put(key, lease, put) => self.put_fails_with(*key, *lease, put, &[], kind),
            Action::Txn(txn) => {
                let mut path = Vec::new();
                self.decide(txn, &mut path);
                self.txn_fails_with(txn, &path, &mut 0, &mut Vec::new(), kind)
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

    /// `deleted` are the keys that the txn deletes before it.
    fn put_fails_with(&self, key: Key, lease: u32, put: &Put, deleted: &[Span], kind: ErrorKind) -> bool {
        match kind {
            ErrorKind::LeaseNotFound => {
                lease != NO_LEASE && self.dialect == Dialect::Etcd && !self.store.lease_exists(lease)
            }
            ErrorKind::KeyNotFound => (put.ignore_value || put.ignore_lease) && !self.is_kept(key, deleted),
            _ => false,
        }
    }

    fn is_kept(&self, key: Key, deleted: &[Span]) -> bool {
        self.store.entry(key).is_present() && !deleted.iter().any(|span| span.overlaps(Span::one(key)))
    }

    fn txn_fails_with(
        &self,
        txn: &TxnAction<'a>,
        path: &[bool],
        place: &mut usize,
        deleted: &mut Vec<Span>,
        kind: ErrorKind,
    ) -> bool {
        let branch = if path[*place] { &txn.success } else { &txn.failure };
        *place += 1;
        let mut fails = false;
        for part in branch {
            fails |= match part {
                Action::Range(_, range) => self.check_part(range) == Err(kind),
                Action::Put(key, lease, put) => self.put_fails_with(*key, *lease, put, deleted, kind),
                Action::Txn(nested) => self.txn_fails_with(nested, path, place, deleted, kind),
                Action::Delete(span, _) => {
                    deleted.push(*span);
                    false
                }
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

    /// In a txn the compaction bounds negative revisions, too (etcd's `checkRequestRange`).
    fn check_part(&self, range: &Range) -> Result<(), ErrorKind> {
        if range.revision.0 < 0 && range.revision.0 < self.store.compacted() {
            return Err(ErrorKind::Compacted);
        }
        self.check_revision(range)
    }

    fn check_put(&self, key: Key, lease: u32, put: &Put, deleted: &[Span]) -> Result<(), ErrorKind> {
        let kinds = [ErrorKind::LeaseNotFound, ErrorKind::KeyNotFound];
        let fails = |kind: &ErrorKind| self.put_fails_with(key, lease, put, deleted, *kind);
        kinds.into_iter().find(fails).map_or(Ok(()), Err)
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

    fn check_txn(
        &self,
        txn: &TxnAction<'a>,
        path: &[bool],
        place: &mut usize,
        deleted: &mut Vec<Span>,
    ) -> Result<(), ErrorKind> {
        let branch = if path[*place] { &txn.success } else { &txn.failure };
        *place += 1;
        for part in branch {
            match part {
                Action::Range(_, range) => self.check_part(range)?,
                Action::Put(key, lease, put) => self.check_put(*key, *lease, put, deleted)?,
                Action::Delete(span, _) => deleted.push(*span),
                Action::Txn(nested) => self.check_txn(nested, path, place, deleted)?,
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
}

/// Whether a grant was answered with another lease than it asked for.
fn is_other_lease(answer: Option<&OpResult>, asked: LeaseId) -> bool {
    matches!(answer, Some(OpResult::LeaseGrant(answer)) if answer.id != asked)
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
