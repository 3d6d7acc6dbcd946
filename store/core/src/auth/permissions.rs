//! What one user may read and write by all its roles: disjoint intervals of keys, merged as far as possible. Two
//! permissions that touch allow a range across both (etcd's `getMergedPerms` and `IntervalTree.Contains`).

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;

use super::{Permission, PermissionKind};
use crate::planted::planted;

/// The end that stands for "every key from there on", in a request and in a permission.
const OPEN_END: &[u8] = &[0];

/// Whether a permission may be given on this range. It must have a key, and be a single key, or end after its key,
/// or be open.
pub(crate) fn is_valid(key: &[u8], range_end: &[u8]) -> bool {
    !key.is_empty() && (range_end.is_empty() || range_end == OPEN_END || key < range_end)
}

/// What a user may read, and what it may write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Permissions {
    read: Intervals,
    write: Intervals,
}

impl Permissions {
    pub(super) fn of<'a>(permissions: impl Iterator<Item = &'a Permission> + Clone) -> Permissions {
        let with = |excluded: PermissionKind| {
            let allows = move |kind| kind != excluded && !matches!(kind, PermissionKind::Unknown(_));
            Intervals::of(permissions.clone().filter(move |permission| allows(permission.kind)))
        };
        Permissions { read: with(PermissionKind::Write), write: with(PermissionKind::Read) }
    }

    pub(super) fn may_read(&self, key: &[u8], range_end: &[u8]) -> bool {
        self.read.cover(key, range_end)
    }

    pub(super) fn may_write(&self, key: &[u8], range_end: &[u8]) -> bool {
        self.write.cover(key, range_end)
    }
}

/// The intervals' ends by their first keys; `None` is an end after all keys. No two intervals touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Intervals(BTreeMap<Bytes, Option<Bytes>>);

impl Intervals {
    fn of<'a>(permissions: impl Iterator<Item = &'a Permission>) -> Intervals {
        let mut all: Vec<(&Bytes, Option<Bytes>)> =
            permissions.map(|one| (&one.key, end_of(&one.key, &one.range_end))).collect();
        all.sort();
        let mut merged: BTreeMap<Bytes, Option<Bytes>> = BTreeMap::new();
        for (key, end) in all {
            if let Some(mut last) = merged.last_entry()
                && last.get().as_ref().is_none_or(|last_end| last_end >= key)
            {
                let longer = match (last.get(), &end) {
                    (None, _) | (_, None) => None,
                    (Some(_), Some(other)) if planted!(AuthMergedEndIsLast) => Some(other.clone()),
                    (Some(one), Some(other)) => Some(one.max(other).clone()),
                };
                last.insert(longer);
            } else {
                merged.insert(key.clone(), end);
            }
        }
        Intervals(merged)
    }

    fn cover(&self, key: &[u8], range_end: &[u8]) -> bool {
        let up_to_key = (Bound::Unbounded, Bound::Included(key));
        let Some((_, end)) = self.0.range::<[u8], _>(up_to_key).next_back() else { return false };
        let Some(end) = end else { return true };
        let within = key < &end[..];
        if range_end.is_empty() || planted!(AuthRangeByItsStart) {
            within
        } else {
            within && range_end != OPEN_END && range_end <= &end[..]
        }
    }
}

/// Where an interval ends; `None` means after all keys. A single key's interval ends at the next possible key.
fn end_of(key: &Bytes, range_end: &Bytes) -> Option<Bytes> {
    if range_end.is_empty() {
        Some([key.as_ref(), &[0]].concat().into())
    } else {
        (range_end.as_ref() != OPEN_END).then(|| range_end.clone())
    }
}
