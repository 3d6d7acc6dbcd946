//! Ranges: the keys of an interval at a revision.
//!
//! The order of work is etcd's (`txn/range.go`): look up, filter, sort, cut. The result shows it in two places.
//! First, `count` counts the whole interval, including keys that filters and limit drop. Second, the look-up stops
//! at limit plus one keys if there is no filter and no order was asked for. A request that names a sort target
//! without an order asks for no order, and is still sorted. So `limit 2, sort by value` without an order sorts the
//! first three *keys* and returns two of them.

use std::cmp::Ordering;

use super::Mvcc;
use crate::planted::planted;
use crate::{KeyValue, RangeRequest, RangeResponse, Refusal, Revision, SortOrder, SortTarget};

impl Mvcc {
    /// Answer a range; `now` is the revision that counts as the newest (within a transaction that has written, its own).
    pub fn range(&self, request: &RangeRequest, now: Revision) -> Result<RangeResponse, Refusal> {
        if request.revision > now {
            return Err(Refusal::FutureRev);
        }
        let mut at = if request.revision.0 > 0 { request.revision.0 } else { now.0 };
        if at < self.compacted && !planted!(ReadsBelowCompaction)
            || at == self.compacted && request.revision.0 > 0 && planted!(CompactRevisionUnreadable)
        {
            return Err(Refusal::Compacted);
        }
        if planted!(HistoricalReadsNow) {
            at = now.0;
        }
        if planted!(HistoricalOffByOne) {
            at = (at + 1).min(now.0);
        }
        let mut response = RangeResponse { revision: now, ..RangeResponse::default() };
        if request.count_only {
            let at = if planted!(CountOnlyOfNow) { now.0 } else { at };
            self.index.scan(&request.key, &request.range_end, at, |_| response.count += 1);
            return Ok(response);
        }

        let mut limit = usize::try_from(request.limit).unwrap_or(0);
        if planted!(LimitOffByOne) && limit > 0 {
            limit += 1;
        }
        let by_key_ascending = request.sort_order == SortOrder::None
            || request.sort_order == SortOrder::Ascend && request.sort_target == SortTarget::Key;
        let by_key_ascending = by_key_ascending || planted!(LimitBeforeSort);
        let fetch = if limit > 0 && by_key_ascending && (!filters(request) || planted!(LimitBeforeFilter)) {
            limit.saturating_add(1)
        } else {
            usize::MAX
        };
        let kvs = &mut response.kvs;
        self.index.scan(&request.key, &request.range_end, at, |rev| {
            response.count += i64::from(kvs.len() < fetch || !planted!(CountStopsAtLimit));
            if kvs.len() < fetch {
                let kv = self.kv(rev);
                if passes(request, &kv) {
                    kvs.push(kv);
                }
            }
        });
        if planted!(KeysOnlyBeforeSort) && request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        sort(kvs, request.sort_order, request.sort_target);
        if limit > 0 && kvs.len() > limit || planted!(MoreWhenExact) && kvs.len() == limit {
            kvs.truncate(limit);
            response.more = !planted!(MoreNeverSaid);
        }
        if planted!(CountOfReturned) {
            response.count = kvs.len() as i64;
        }
        if request.keys_only && !planted!(KeysOnlyKeepsValues) {
            for kv in kvs {
                kv.value.clear();
            }
        }
        Ok(response)
    }
}

fn filters(request: &RangeRequest) -> bool {
    let bounds = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    bounds.iter().any(|bound| bound.0 != 0)
}

fn passes(request: &RangeRequest, kv: &KeyValue) -> bool {
    let within = |value: Revision, min: Revision, max: Revision| {
        let from_min = if planted!(FilterMinExclusive) { value > min } else { value >= min };
        (min.0 == 0 || from_min) && (max.0 == 0 || value <= max || planted!(FilterMaxIgnored))
    };
    if planted!(FilterCreateIgnored) {
        return within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision);
    }
    within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
}

/// Sort records that are in key order. The sort is stable, so ties stay in key order, even if the sort is
/// descending.
fn sort(kvs: &mut [KeyValue], order: SortOrder, target: SortTarget) {
    let descend = order == SortOrder::Descend && !planted!(SortDescendIgnored);
    let target = match target {
        SortTarget::Value if planted!(SortByValueIsByKey) => SortTarget::Key,
        SortTarget::Version if planted!(SortByVersionIsByMod) => SortTarget::Mod,
        SortTarget::Create if planted!(SortByCreateIsByMod) => SortTarget::Mod,
        target => target,
    };
    match target {
        SortTarget::Key if descend => kvs.reverse(),
        SortTarget::Key => {}
        SortTarget::Version => sort_by(kvs, descend, |a, b| a.version.cmp(&b.version)),
        SortTarget::Create => sort_by(kvs, descend, |a, b| a.create_revision.cmp(&b.create_revision)),
        SortTarget::Mod => sort_by(kvs, descend, |a, b| a.mod_revision.cmp(&b.mod_revision)),
        SortTarget::Value => sort_by(kvs, descend, |a, b| a.value.cmp(&b.value)),
    }
}

fn sort_by(kvs: &mut [KeyValue], descend: bool, compare: impl Fn(&KeyValue, &KeyValue) -> Ordering) {
    if descend {
        kvs.sort_by(|a, b| compare(b, a));
    } else {
        kvs.sort_by(compare);
    }
}
