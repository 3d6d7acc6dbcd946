//! Whether an answer is what the state demands, and how it differs.

use super::eval::{Dialect, Eval};
use super::keyspace::{Key, Span};
use super::store::Entry;
use crate::history::{
    Bytes, ErrorKind, KeyValue, Range, RangeResult, ResponseOp, SortOrder, SortTarget, TxnResult,
};

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
    pub(super) fn key(name: &Bytes, state: Option<KeyValue>, answer: Option<&KeyValue>) -> Mismatch {
        Mismatch::Key(Box::new(KeyDiffers { name: name.clone(), state, answer: answer.cloned() }))
    }
}

impl<'a> Eval<'_, 'a> {
    /// Compares the answer of a range with the state. That of a range at a named revision is compared when the replay
    /// passes that revision ([`super::gaps::parts`]).
    pub(super) fn compare_range(
        &self,
        span: Span,
        range: &Range,
        answer: &RangeResult,
    ) -> Result<(), Mismatch> {
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
        let plain =
            range.holds_all() && range.sort_order == SortOrder::None && range.sort_target == SortTarget::Key;
        let told_more = self.dialect == Dialect::Etcd;
        if range.count_only {
            if let Some(kv) = answer.kvs.first() {
                return Err(Mismatch::key(&kv.key, None, Some(kv)));
            }
            if told_more && answer.more == Some(true) {
                return Err(Mismatch::More { state: false });
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
            (min == 0 || revision >= min) && (max == 0 || revision <= max)
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
        if range.limits_before_sorting() {
            keys.truncate(range.limit as usize + 1);
        }
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
                // Compared from the smallest key up, so that a difference names the key that it is about.
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

    pub(super) fn compare_list(
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

    pub(super) fn compare_kv(
        &self,
        key: Key,
        entry: &Entry<'a>,
        answer: Option<&KeyValue>,
        keys_only: bool,
    ) -> Result<(), Mismatch> {
        let reports_all = self.dialect == Dialect::Etcd;
        let same = match answer {
            None => !entry.is_present(),
            Some(kv) => {
                entry.is_present()
                    && kv.key == *self.space.name(key)
                    && kv.mod_revision.0 == entry.modified
                    // The oldest reports have no versions.
                    && (kv.version == entry.version || !reports_all && kv.version == 0)
                    && (if keys_only { kv.value.is_empty() } else { Some(&kv.value) == entry.value })
                    && (!reports_all
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

pub(super) fn compare_branches(path: &[bool], place: &mut usize, answer: &TxnResult) -> Result<(), Mismatch> {
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
