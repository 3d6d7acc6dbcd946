//! Answers that contradict themselves, whatever the state was: found in one pass, before anything is replayed.
//!
//! A range says how many keys its interval holds, shows some of them, and says whether a limit left any out. A delete
//! says how many keys it took, and shows them where it was asked to. The parts of one such answer must fit each other:
//! [`super::compare`] demands the same of every state. What it takes a state to see is left to the search.

use super::answers::{each_delete, each_range};
use super::eval::Dialect;
use super::layout::{Prepared, Role};
use crate::history::{DeleteRange, DeleteRangeResult, Range, RangeResult, SortOrder, SortTarget};

/// An answer that no state gives.
#[derive(Debug)]
pub(super) struct Odd {
    /// Who was answered so.
    pub(super) item: u32,
    pub(super) what: What,
}

/// How its parts contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It shows so many keys, and by its count and limit it should show another number.
    Shown { shown: i64, should: i64 },
    /// More keys than its interval can hold.
    Count { count: i64, at_most: i64 },
    /// It says wrongly whether the limit left any keys out.
    More { should: bool },
    /// Its keys come in a wrong order, or one comes twice.
    Order,
    /// It took so many keys and shows another number.
    Deleted { deleted: i64, shown: i64 },
    /// It took more keys than its interval can hold.
    DeletedTooMany { deleted: i64 },
}

/// The first such answer to return, if there is one.
pub(super) fn contradiction(prepared: &Prepared<'_>) -> Option<Odd> {
    let mut found: Option<(u64, Odd)> = None;
    for (index, item) in prepared.items.iter().enumerate() {
        if !matches!(item.role, Role::Reader | Role::Creator | Role::Either | Role::Local)
            || found.as_ref().is_some_and(|(ret, _)| *ret <= item.ret)
        {
            continue;
        }
        let operation = prepared.operation(index as u32).expect("it was answered");
        let mut odd = None;
        each_range(operation, &mut |range, answer| {
            odd = odd.or_else(|| of_range(range, answer, prepared.dialect))
        });
        each_delete(operation, &mut |delete, answer| {
            odd = odd.or_else(|| of_delete(delete, answer, prepared.dialect));
        });
        if let Some(what) = odd {
            found = Some((item.ret, Odd { item: index as u32, what }));
        }
    }
    found.map(|(_, odd)| odd)
}

fn of_range(range: &Range, answer: &RangeResult, dialect: Dialect) -> Option<What> {
    let shown = answer.kvs.len() as i64;
    if range.range_end.is_empty() && answer.count > 1 {
        return Some(What::Count { count: answer.count, at_most: 1 });
    }
    if range.count_only {
        let more = dialect == Dialect::Etcd && answer.more == Some(true);
        return (shown > 0)
            .then_some(What::Shown { shown, should: 0 })
            .or(more.then_some(What::More { should: false }));
    }
    let filters = [
        range.min_mod_revision,
        range.max_mod_revision,
        range.min_create_revision,
        range.max_create_revision,
    ];
    if filters.iter().all(|bound| bound.0 == 0) {
        let should = if range.limit > 0 { range.limit.min(answer.count) } else { answer.count };
        if shown != should {
            return Some(What::Shown { shown, should });
        }
        let left_out = range.limit > 0 && answer.count > range.limit;
        if dialect == Dialect::Etcd && answer.more.unwrap_or(false) != left_out {
            return Some(What::More { should: left_out });
        }
    } else if shown > answer.count {
        return Some(What::Shown { shown, should: answer.count });
    }
    if range.sort_target == SortTarget::Key {
        let ordered = answer.kvs.windows(2).all(|pair| match range.sort_order {
            SortOrder::Descend => pair[0].key > pair[1].key,
            SortOrder::None | SortOrder::Ascend => pair[0].key < pair[1].key,
        });
        return (!ordered).then_some(What::Order);
    }
    None
}

fn of_delete(delete: &DeleteRange, answer: &DeleteRangeResult, dialect: Dialect) -> Option<What> {
    let (deleted, shown) = (answer.deleted, answer.prev_kvs.len() as i64);
    if delete.range_end.is_empty() && deleted > 1 {
        return Some(What::DeletedTooMany { deleted });
    }
    (delete.prev_kv && dialect == Dialect::Etcd && shown != deleted)
        .then_some(What::Deleted { deleted, shown })
}
