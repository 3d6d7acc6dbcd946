//! The store: what requests do to it, and which errors they meet.

use std::collections::{BTreeMap, BTreeSet};
use std::slice::Iter;

use crate::history::{
    Bytes, CompactResult, Compare, CompareResult, CompareTarget, DeleteRange, DeleteRangeResult, Empty,
    ErrorKind, KeyValue, LeaseGrantResult, LeaseId, Op, OpResult, Put, PutResult, Range, RangeResult,
    RequestOp, ResponseOp, Revision, SortOrder, SortTarget, Txn, TxnResult,
};
use crate::revision::{Dialect, Start};

/// What one revision made of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Version {
    modified: i64,
    /// None if it was deleted.
    live: Option<KeyValue>,
}

/// The store's whole state, its history included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Etcd {
    pub(super) robustness: bool,
    pub(super) revision: i64,
    compacted: i64,
    keys: BTreeMap<Bytes, Vec<Version>>,
    leases: BTreeMap<LeaseId, BTreeSet<Bytes>>,
}

impl Etcd {
    /// The state that a history starts from.
    pub fn start(dialect: Dialect, start: &Start) -> Self {
        let mut etcd = Etcd {
            robustness: dialect == Dialect::Robustness,
            revision: start.revision,
            compacted: start.compacted,
            keys: BTreeMap::new(),
            leases: start.leases.iter().map(|lease| (*lease, BTreeSet::new())).collect(),
        };
        for kv in &start.keys {
            let version = Version { modified: kv.mod_revision.0, live: Some(kv.clone()) };
            etcd.keys.insert(kv.key.clone(), vec![version]);
            if let Some(keys) = etcd.leases.get_mut(&kv.lease) {
                keys.insert(kv.key.clone());
            }
        }
        etcd
    }

    /// The newest revision.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Passes over a revision that something outside this history made.
    pub fn skip_revision(&mut self) {
        self.revision += 1;
    }

    /// What that revision made of the key, one after the other; none if it deleted it. A transaction may delete a key
    /// and put it, or put it and delete it.
    pub(crate) fn made<'s>(
        &'s self,
        key: &Bytes,
        revision: i64,
    ) -> impl Iterator<Item = Option<&'s KeyValue>> + use<'s> {
        let versions = self.keys.get(key).map_or(&[][..], Vec::as_slice);
        let versions = &versions[versions.partition_point(|version| version.modified < revision)..];
        versions
            .iter()
            .take_while(move |version| version.modified == revision)
            .map(|version| version.live.as_ref())
    }

    /// The keys that a revision touched.
    pub(crate) fn touched(&self, revision: i64) -> Vec<Bytes> {
        self.keys.keys().filter(|key| self.made(key, revision).next().is_some()).cloned().collect()
    }

    /// What a read at this revision sees of a key, whatever is compacted.
    pub(crate) fn live(&self, key: &Bytes, at: i64) -> Option<&KeyValue> {
        let versions = self.keys.get(key)?;
        let place = versions.partition_point(|version| version.modified <= at);
        versions[..place].last()?.live.as_ref()
    }

    fn all<'s>(&'s self, key: &Bytes, range_end: &Bytes, at: i64) -> impl Iterator<Item = &'s KeyValue> {
        let (key, range_end) = (key.clone(), range_end.clone());
        let from =
            if !range_end.is_empty() && key.as_slice() == [0] { Bytes::default() } else { key.clone() };
        self.keys
            .range(from..)
            .take_while(move |(name, _)| match range_end.as_slice() {
                [] => **name == key,
                [0] => true,
                end => name.as_slice() < end,
            })
            .filter_map(move |(name, _)| self.live(name, at))
    }

    /// Lets a request take effect. `answer` has the id that the store chose for a lease. The result holds *all* keys
    /// that a range's filters leave, in its order and with their values; [`Etcd::same`] cuts them as asked.
    ///
    /// # Errors
    /// The error that etcd answers; nothing has changed then.
    pub fn apply(&mut self, op: &Op, answer: Option<&OpResult>) -> Result<OpResult, ErrorKind> {
        let next = self.revision + 1;
        let mut changed = false;
        let result = match op {
            Op::Range(range) => {
                self.check_range(range)?;
                OpResult::Range(self.range(range, self.revision))
            }
            Op::Put(put) => {
                self.check_put(put, &[])?;
                OpResult::Put(self.put(put, next, &mut changed))
            }
            Op::DeleteRange(delete) => OpResult::DeleteRange(self.delete(delete, next, &mut changed)),
            Op::Txn(txn) => {
                let mut path = Vec::new();
                self.decide(txn, &mut path);
                self.check_txn(txn, &mut path.iter(), &mut Vec::new())?;
                OpResult::Txn(self.txn(txn, &mut path.iter(), next, &mut changed))
            }
            Op::Compact(compact) => {
                if compact.revision.0 <= self.compacted {
                    return Err(ErrorKind::Compacted);
                }
                if compact.revision.0 > self.revision {
                    return Err(ErrorKind::FutureRevision);
                }
                self.compacted = compact.revision.0;
                OpResult::Compact(CompactResult {})
            }
            Op::LeaseGrant(grant) => {
                let id = match answer {
                    Some(OpResult::LeaseGrant(answer)) if grant.id.is_none() => answer.id,
                    _ => grant.id,
                };
                if self.leases.contains_key(&id) && !self.robustness {
                    return Err(ErrorKind::LeaseExists);
                }
                if !id.is_none() {
                    self.leases.entry(id).or_default();
                }
                OpResult::LeaseGrant(LeaseGrantResult { id, ttl: 0 })
            }
            Op::LeaseRevoke(lease) => {
                if !self.leases.contains_key(&lease.id) && !self.robustness {
                    return Err(ErrorKind::LeaseNotFound);
                }
                self.end_lease(lease.id, next, &mut changed);
                OpResult::LeaseRevoke(Empty {})
            }
            Op::LeaseKeepAlive(_)
            | Op::Auth(_)
            | Op::Lock(_)
            | Op::Ask(_)
            | Op::Defragment(_)
            | Op::Opaque(_) => OpResult::Empty(Empty {}),
        };
        if changed {
            self.revision = next;
        }
        Ok(result)
    }

    /// A lease ends by itself. False if it is not there.
    pub fn expire(&mut self, lease: LeaseId) -> bool {
        let there = self.leases.contains_key(&lease);
        let mut changed = false;
        self.end_lease(lease, self.revision + 1, &mut changed);
        self.revision += i64::from(changed);
        there
    }

    /// Whether the request may be refused with this error here.
    pub fn fails_with(&self, op: &Op, kind: ErrorKind) -> bool {
        match op {
            Op::Range(range) => self.check_range(range) == Err(kind),
            Op::Put(put) => self.put_fails_with(put, &[], kind),
            Op::Txn(txn) => {
                let mut path = Vec::new();
                self.decide(txn, &mut path);
                self.txn_fails_with(txn, &mut path.iter(), &mut Vec::new(), kind)
            }
            Op::Compact(compact) => match kind {
                ErrorKind::Compacted => compact.revision.0 <= self.compacted,
                ErrorKind::FutureRevision => compact.revision.0 > self.revision,
                _ => false,
            },
            Op::LeaseGrant(grant) => kind == ErrorKind::LeaseExists && self.leases.contains_key(&grant.id),
            Op::LeaseRevoke(lease) => {
                kind == ErrorKind::LeaseNotFound && !self.leases.contains_key(&lease.id)
            }
            _ => false,
        }
    }

    // ---- requests -------------------------------------------------------------------------------------------------

    fn check_range(&self, range: &Range) -> Result<(), ErrorKind> {
        let revision = range.revision.0;
        if revision > self.revision {
            return Err(ErrorKind::FutureRevision);
        }
        if revision > 0 && revision < self.compacted {
            return Err(ErrorKind::Compacted);
        }
        Ok(())
    }

    /// A read within a transaction: there the oldest readable revision bounds negative revisions, too.
    fn check_part(&self, range: &Range) -> Result<(), ErrorKind> {
        if range.revision.0 < 0 && range.revision.0 < self.compacted {
            return Err(ErrorKind::Compacted);
        }
        self.check_range(range)
    }

    /// `deletes` are those that the transaction does before it.
    fn put_fails_with(&self, put: &Put, deletes: &[&DeleteRange], kind: ErrorKind) -> bool {
        match kind {
            ErrorKind::LeaseNotFound => {
                !put.lease.is_none() && !self.robustness && !self.leases.contains_key(&put.lease)
            }
            ErrorKind::KeyNotFound => {
                let is_gone = || deletes.iter().any(|delete| takes(delete, &put.key));
                (put.ignore_value || put.ignore_lease)
                    && (self.live(&put.key, self.revision).is_none() || is_gone())
            }
            _ => false,
        }
    }

    fn check_put(&self, put: &Put, deletes: &[&DeleteRange]) -> Result<(), ErrorKind> {
        let kinds = [ErrorKind::LeaseNotFound, ErrorKind::KeyNotFound];
        kinds.into_iter().find(|kind| self.put_fails_with(put, deletes, *kind)).map_or(Ok(()), Err)
    }

    fn range(&self, range: &Range, newest: i64) -> RangeResult {
        let at = if range.revision.0 > 0 { range.revision.0 } else { newest };
        let mut kvs: Vec<KeyValue> = self.all(&range.key, &range.range_end, at).cloned().collect();
        let count = kvs.len() as i64;
        let within = |revision: Revision, min: Revision, max: Revision| {
            (min.0 == 0 || revision >= min) && (max.0 == 0 || revision <= max)
        };
        kvs.retain(|kv| {
            within(kv.mod_revision, range.min_mod_revision, range.max_mod_revision)
                && within(kv.create_revision, range.min_create_revision, range.max_create_revision)
        });
        if range.limits_before_sorting() {
            kvs.truncate(range.limit as usize + 1);
        }
        kvs.sort_by(|a, b| match range.sort_target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        });
        if range.sort_order == SortOrder::Descend {
            kvs.reverse();
        }
        RangeResult { kvs, count, more: None }
    }

    fn put(&mut self, put: &Put, next: i64, changed: &mut bool) -> PutResult {
        let old = self.live(&put.key, next).cloned();
        if !put.lease.is_none() && !self.leases.contains_key(&put.lease) {
            return PutResult { prev_kv: old };
        }
        let new = KeyValue {
            key: put.key.clone(),
            value: match &old {
                Some(old) if put.ignore_value => old.value.clone(),
                _ => put.value.clone(),
            },
            create_revision: old.as_ref().map_or(Revision(next), |old| old.create_revision),
            mod_revision: Revision(next),
            version: old.as_ref().map_or(1, |old| old.version + 1),
            lease: match &old {
                Some(old) if put.ignore_lease => old.lease,
                _ => put.lease,
            },
        };
        self.attach(&put.key, old.as_ref(), new.lease);
        self.keys.entry(put.key.clone()).or_default().push(Version { modified: next, live: Some(new) });
        *changed = true;
        PutResult { prev_kv: old }
    }

    fn attach(&mut self, key: &Bytes, old: Option<&KeyValue>, lease: LeaseId) {
        if let Some(keys) = old.and_then(|old| self.leases.get_mut(&old.lease)) {
            keys.remove(key);
        }
        if let Some(keys) = self.leases.get_mut(&lease) {
            keys.insert(key.clone());
        }
    }

    fn remove(&mut self, kv: &KeyValue, next: i64) {
        self.attach(&kv.key, Some(kv), LeaseId::NONE);
        self.keys.entry(kv.key.clone()).or_default().push(Version { modified: next, live: None });
    }

    fn delete(&mut self, delete: &DeleteRange, next: i64, changed: &mut bool) -> DeleteRangeResult {
        let gone: Vec<KeyValue> = self.all(&delete.key, &delete.range_end, next).cloned().collect();
        for kv in &gone {
            self.remove(kv, next);
            *changed = true;
        }
        DeleteRangeResult { deleted: gone.len() as i64, prev_kvs: gone }
    }

    fn end_lease(&mut self, lease: LeaseId, next: i64, changed: &mut bool) {
        for key in self.leases.get(&lease).cloned().unwrap_or_default() {
            let kv = self.live(&key, next).cloned().expect("only keys that exist are attached to a lease");
            self.remove(&kv, next);
            *changed = true;
        }
        self.leases.remove(&lease);
    }

    // ---- txns -----------------------------------------------------------------------------------------------------

    fn holds(&self, compare: &Compare) -> bool {
        let one = |kv: Option<&KeyValue>| {
            let ordering = match &compare.target {
                CompareTarget::Version(wanted) => kv.map_or(0, |kv| kv.version).cmp(wanted),
                CompareTarget::Create(wanted) => kv.map_or(Revision(0), |kv| kv.create_revision).cmp(wanted),
                CompareTarget::Mod(wanted) => kv.map_or(Revision(0), |kv| kv.mod_revision).cmp(wanted),
                CompareTarget::Lease(wanted) => kv.map_or(LeaseId::NONE, |kv| kv.lease).cmp(wanted),
                CompareTarget::Value(wanted) => match kv {
                    Some(kv) => kv.value.cmp(wanted),
                    None => return false,
                },
            };
            match compare.result {
                CompareResult::Equal => ordering.is_eq(),
                CompareResult::Greater => ordering.is_gt(),
                CompareResult::Less => ordering.is_lt(),
                CompareResult::NotEqual => ordering.is_ne(),
            }
        };
        let mut kvs = self.all(&compare.key, &compare.range_end, self.revision).peekable();
        if kvs.peek().is_none() { one(None) } else { kvs.all(|kv| one(Some(kv))) }
    }

    fn decide(&self, txn: &Txn, path: &mut Vec<bool>) {
        let succeeds = txn.compares.iter().all(|compare| self.holds(compare));
        path.push(succeeds);
        for op in if succeeds { &txn.success } else { &txn.failure } {
            if let RequestOp::Txn(nested) = op {
                self.decide(nested, path);
            }
        }
    }

    fn check_txn<'t>(
        &self,
        txn: &'t Txn,
        path: &mut Iter<'_, bool>,
        deletes: &mut Vec<&'t DeleteRange>,
    ) -> Result<(), ErrorKind> {
        let succeeds = *path.next().expect("one for each txn");
        for op in if succeeds { &txn.success } else { &txn.failure } {
            match op {
                RequestOp::Range(range) => self.check_part(range)?,
                RequestOp::Put(put) => self.check_put(put, deletes)?,
                RequestOp::DeleteRange(delete) => deletes.push(delete),
                RequestOp::Txn(nested) => self.check_txn(nested, path, deletes)?,
            }
        }
        Ok(())
    }

    fn txn_fails_with<'t>(
        &self,
        txn: &'t Txn,
        path: &mut Iter<'_, bool>,
        deletes: &mut Vec<&'t DeleteRange>,
        kind: ErrorKind,
    ) -> bool {
        let succeeds = *path.next().expect("one for each txn");
        let mut fails = false;
        for op in if succeeds { &txn.success } else { &txn.failure } {
            fails |= match op {
                RequestOp::Range(range) => self.check_part(range) == Err(kind),
                RequestOp::Put(put) => self.put_fails_with(put, deletes, kind),
                RequestOp::DeleteRange(delete) => {
                    deletes.push(delete);
                    false
                }
                RequestOp::Txn(nested) => self.txn_fails_with(nested, path, deletes, kind),
            };
        }
        fails
    }

    fn txn(&mut self, txn: &Txn, path: &mut Iter<'_, bool>, next: i64, changed: &mut bool) -> TxnResult {
        let succeeded = *path.next().expect("one for each txn");
        let mut responses = Vec::new();
        for op in if succeeded { &txn.success } else { &txn.failure } {
            responses.push(match op {
                RequestOp::Range(range) => ResponseOp::Range(self.range(range, next)),
                RequestOp::Put(put) => ResponseOp::Put(self.put(put, next, changed)),
                RequestOp::DeleteRange(delete) => ResponseOp::DeleteRange(self.delete(delete, next, changed)),
                RequestOp::Txn(nested) => ResponseOp::Txn(self.txn(nested, path, next, changed)),
            });
        }
        TxnResult { succeeded, responses }
    }
}

/// Whether a delete takes a key, if it is there.
fn takes(delete: &DeleteRange, key: &Bytes) -> bool {
    match delete.range_end.as_slice() {
        [] => *key == delete.key,
        [0] => *key >= delete.key,
        _ => *key >= delete.key && *key < delete.range_end,
    }
}
