//! Which keys were certainly attached to a lease when the store judged a request.
//!
//! For a request that attaches another key to the lease, answers show it. A key that an answer shows with a lease was
//! attached from its mod revision up to the answer's revision: a detachment or a delete would have given it another mod
//! revision.
//!
//! For a request that ends or renews a lease, writes show it: a put was acknowledged before the request was called, and no other
//! request may have touched the key by the time of the answer. A renewal asks one member, which must have applied that put by then.

use std::collections::BTreeMap;

use crate::checks::durability::covers;
use crate::history::{Bytes, DeleteRange, LeaseId, Op, OpResult, Operation, Outcome, RequestOp, RunHistory};

/// The keys that were certainly attached to the lease that an answered operation ended or renewed.
pub(super) fn on_lease_of<'a>(operation: &Operation, history: &'a RunHistory) -> Vec<&'a Bytes> {
    let (lease, ret) = match (&operation.op, &operation.result) {
        (Op::LeaseRevoke(lease), Some(_)) => (lease.id, operation.ret),
        // etcd 3.5.1 lets everybody renew a lease; later ones do not.
        (Op::LeaseKeepAlive(lease), Some(OpResult::LeaseKeepAlive(kept)))
            if kept.ttl > 0 && !history.members_are_silent() =>
        {
            (lease.id, operation.ret)
        }
        _ => return Vec::new(),
    };
    let (Some(ret), Some(shown)) = (ret, operation.revision()) else { return Vec::new() };
    let attaches = |put: &&'a Operation| {
        let done = put.is_ok() && put.ret.is_some_and(|ret| ret < operation.call);
        done && put.revision().is_some_and(|made| made <= shown)
    };
    let puts = history.operations.iter().filter(attaches).filter_map(|write| match &write.op {
        Op::Put(put) if put.lease == lease => Some((write, &put.key)),
        _ => None,
    });
    puts.filter(|(write, key)| {
        !history.operations.iter().any(|other| {
            other.id != write.id
                && other.id != operation.id
                && other.outcome != Outcome::Fail
                && other.call <= ret
                && (other.outcome == Outcome::Info || other.ret.is_none_or(|ret| ret >= write.call))
                && may_touch(&other.op, key, lease)
        })
    })
    .map(|(_, key)| key)
    .collect()
}

/// Whether a request may write or delete a key, or end the lease that it is attached to.
fn may_touch(op: &Op, key: &Bytes, lease: LeaseId) -> bool {
    let deletes = |delete: &DeleteRange| covers(&delete.key, &delete.range_end, key);
    match op {
        Op::Put(put) => put.key == *key,
        Op::DeleteRange(delete) => deletes(delete),
        Op::Txn(txn) => txn.has_step(&|step| match step {
            RequestOp::Put(put) => put.key == *key,
            RequestOp::DeleteRange(delete) => deletes(delete),
            RequestOp::Range(_) | RequestOp::Txn(_) => false,
        }),
        Op::LeaseRevoke(ended) => ended.id == lease,
        Op::LeaseGrant(granted) => granted.id == lease,
        _ => false,
    }
}

/// By lease, key and mod revision: the last revision at which the key is seen so.
pub(super) struct Attached<'a>(BTreeMap<LeaseId, BTreeMap<(&'a Bytes, i64), i64>>);

impl<'a> Attached<'a> {
    pub(super) fn of(history: &'a RunHistory) -> Self {
        let mut attached: BTreeMap<LeaseId, BTreeMap<(&Bytes, i64), i64>> = BTreeMap::new();
        for operation in &history.operations {
            let (Op::Range(range), Some(OpResult::Range(found))) = (&operation.op, &operation.result) else {
                continue;
            };
            let Some(header) = operation.revision() else { continue };
            let seen_at = if range.revision.0 > 0 { range.revision } else { header };
            for kv in found.kvs.iter().filter(|kv| !kv.lease.is_none()) {
                let keys = attached.entry(kv.lease).or_default();
                let last = keys.entry((&kv.key, kv.mod_revision.0)).or_default();
                *last = seen_at.0.max(*last);
            }
        }
        Attached(attached)
    }

    /// The keys attached to the leases that an answered operation names, just before it.
    pub(super) fn on_leases_of(&self, operation: &Operation) -> impl Iterator<Item = &'a Bytes> + '_ {
        // What it did itself stands at its own revision.
        let own = i64::from(operation.made_revision());
        let before = operation.revision().map_or(0, |revision| revision.0) - own;
        let keys = leases(&operation.op).into_iter().filter_map(|lease| self.0.get(&lease)).flatten();
        keys.filter(move |((_, changed), seen_at)| *changed <= before && **seen_at >= before)
            .map(|((key, _), _)| *key)
    }
}

/// The leases that an operation attaches keys to.
pub(super) fn leases(op: &Op) -> Vec<LeaseId> {
    fn collect(op: &RequestOp, all: &mut Vec<LeaseId>) {
        match op {
            RequestOp::Put(put) => all.push(put.lease),
            RequestOp::Txn(txn) => txn.success.iter().chain(&txn.failure).for_each(|op| collect(op, all)),
            RequestOp::Range(_) | RequestOp::DeleteRange(_) => {}
        }
    }
    let mut all = Vec::new();
    match op {
        Op::Put(put) => all.push(put.lease),
        Op::Txn(txn) => txn.success.iter().chain(&txn.failure).for_each(|op| collect(op, &mut all)),
        _ => {}
    }
    all.retain(|lease| !lease.is_none());
    all
}

#[cfg(test)]
mod tests {
    use super::super::{DENIED, check};
    use crate::history::{OpId, ReadLimits, RunHistory, jsonl};

    /// User `u` may write `a`, and `root` everything; `b` is attached to lease 7 when `u` does something at revision 5.
    fn history(lease_of_b: i64, seen_at: i64, done: &str) -> RunHistory {
        let text = history_text(lease_of_b, seen_at, done);
        jsonl::read(text.as_bytes(), "test", &ReadLimits::default())
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn history_text(lease_of_b: i64, seen_at: i64, done: &str) -> String {
        let mut lines = vec![r#"{"meta":{"format":1,"scenario":"s","seed":1}}"#.to_owned()];
        let mut add = |id: u64, revision: i64, op: &str, result: &str, caller: &str| {
            lines.push(format!(
                "{{\"id\":{id},\"client\":{id},\"call\":{},\"return\":{},\"op\":{op},\"outcome\":\"ok\",\"header\":\
                 {{\"cluster_id\":1,\"member_id\":1,\"revision\":{revision},\"raft_term\":2}},\"result\":{result}{caller}}}",
                10 * id,
                10 * id + 1
            ));
        };
        let empty = r#"{"empty":{}}"#;
        let may = r#"{"auth":{"grant_permission":{"role":"r","key":"a","read":true,"write":true}}}"#;
        add(1, 1, r#"{"auth":{"user_add":{"user":"u","password":"p"}}}"#, empty, "");
        add(2, 1, r#"{"auth":{"role_add":"r"}}"#, empty, "");
        add(3, 1, may, empty, "");
        add(4, 1, r#"{"auth":{"grant_role":{"user":"u","role":"r"}}}"#, empty, "");
        add(5, 1, r#"{"auth":"enable"}"#, empty, "");
        add(6, 1, r#"{"auth":{"authenticate":{"user":"u","password":"p"}}}"#, empty, "");
        add(7, 5, done, r#"{"put":{}}"#, r#","caller":{"user":"u","token":6}"#);
        let seen = format!(
            "{{\"range\":{{\"kvs\":[{{\"key\":\"b\",\"value\":\"\",\"create_revision\":3,\"mod_revision\":3,\"version\":1,\
             \"lease\":{lease_of_b}}}],\"count\":1}}}}"
        );
        // Root reads it, after auth is off.
        add(8, 5, r#"{"auth":"disable"}"#, empty, "");
        let read = format!("{{\"range\":{{\"key\":\"b\",\"revision\":{seen_at}}}}}");
        add(9, 9, &read, &seen, "");
        lines.push(r#"{"end":{"at":1000}}"#.to_owned());
        lines.join("\n") + "\n"
    }

    /// Whether what the user did is held against the store.
    fn is_denied(lease_of_b: i64, seen_at: i64, done: &str) -> bool {
        let failures = check(&history(lease_of_b, seen_at, done));
        // Auth is changed without root's token here, which is another matter.
        failures.iter().any(|failure| failure.blamed == [OpId(7)])
    }

    /// The history. Before it, root attached `b` to lease 7, and no operation has touched it since.
    fn with_a_put(done: &str, result: &str, more: &str) -> Vec<String> {
        let text = history_text(8, 3, done).replacen(
            "\"result\":{\"put\":{}},\"caller\"",
            &format!("\"result\":{result},\"caller\""),
            1,
        );
        let put = r#"{"id":20,"client":20,"call":41,"return":42,"op":{"put":{"key":"b","value":"v","lease":7}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":4,"raft_term":2},"result":{"put":{}}}"#;
        // It tells that a member at revision 5 knows of auth.
        let later = r#"{"id":22,"client":22,"call":65,"return":66,"op":{"put":{"key":"a","value":"w"}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":5,"raft_term":2},"result":{"put":{}},"caller":{"user":"u","token":6}}"#;
        let text = text.replacen("{\"end\"", &format!("{put}\n{later}\n{more}{{\"end\""), 1);
        let read = jsonl::read(text.as_bytes(), "test", &ReadLimits::default());
        let failures = check(&read.unwrap_or_else(|error| panic!("{error}\n{text}")));
        let of_user = failures.into_iter().filter(|failure| failure.blamed == [OpId(7)]);
        of_user.map(|failure| failure.guarantee).collect()
    }

    #[test]
    fn who_may_not_write_the_keys_of_a_lease_neither_ends_nor_renews_it() {
        let (revoke, keep) = (r#"{"lease_revoke":{"id":7}}"#, r#"{"lease_keep_alive":{"id":7}}"#);
        let (empty, kept) = (r#"{"lease_revoke":{}}"#, r#"{"lease_keep_alive":{"ttl":5}}"#);
        assert_eq!(with_a_put(revoke, empty, ""), [DENIED]);
        assert_eq!(with_a_put(keep, kept, ""), [DENIED]);
        // Another lease; one that was not there; and a key that an operation may have taken off it.
        assert_eq!(with_a_put(&revoke.replace('7', "8"), empty, ""), [""; 0]);
        assert_eq!(with_a_put(keep, r#"{"lease_keep_alive":{}}"#, ""), [""; 0]);
        let delete = r#"{"id":21,"client":21,"call":45,"op":{"delete_range":{"key":"a","range_end":"c"}},"outcome":"info"}"#;
        assert_eq!(with_a_put(revoke, empty, &format!("{delete}\n")), [""; 0]);
        assert_eq!(with_a_put(revoke, empty, &format!("{}\n", delete.replace("info", "fail"))), [DENIED]);
    }

    #[test]
    fn a_user_that_may_not_write_the_keys_of_a_lease_attaches_no_other_key() {
        let put = r#"{"put":{"key":"a","value":"v","lease":7}}"#;
        assert!(is_denied(7, 5, put));
        // Another lease, or a key that possibly was not attached yet.
        assert!(!is_denied(8, 5, put));
        assert!(!is_denied(7, 3, put));
        assert!(!is_denied(7, 5, r#"{"put":{"key":"a","value":"v"}}"#));
    }
}
