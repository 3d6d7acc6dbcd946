//! Which keys certainly hung on a lease when the store judged a request.
//!
//! A key that an answer shows with a lease has hung there since its mod revision, and hung there up to the answer's revision:
//! anything that takes it off, or deletes it, would have given it another mod revision.

use std::collections::BTreeMap;

use crate::history::{Bytes, LeaseId, Op, OpResult, Operation, RequestOp, RunHistory};

/// By lease, key and mod revision: the last revision at which the key is seen so.
pub(super) struct Hung<'a>(BTreeMap<LeaseId, BTreeMap<(&'a Bytes, i64), i64>>);

impl<'a> Hung<'a> {
    pub(super) fn of(history: &'a RunHistory) -> Self {
        let mut hung: BTreeMap<LeaseId, BTreeMap<(&Bytes, i64), i64>> = BTreeMap::new();
        for operation in &history.operations {
            let (Op::Range(range), Some(OpResult::Range(found))) = (&operation.op, &operation.result) else {
                continue;
            };
            let Some(header) = operation.revision() else { continue };
            let seen_at = if range.revision.0 > 0 { range.revision } else { header };
            for kv in found.kvs.iter().filter(|kv| !kv.lease.is_none()) {
                let keys = hung.entry(kv.lease).or_default();
                let last = keys.entry((&kv.key, kv.mod_revision.0)).or_default();
                *last = seen_at.0.max(*last);
            }
        }
        Hung(hung)
    }

    /// The keys that hung on the leases which an answered operation names, just before it.
    pub(super) fn on_leases_of(&self, operation: &Operation) -> impl Iterator<Item = &'a Bytes> + '_ {
        // What it did itself stands at its own revision.
        let own = i64::from(operation.made_revision());
        let before = operation.revision().map_or(0, |revision| revision.0) - own;
        let keys = leases(&operation.op).into_iter().filter_map(|lease| self.0.get(&lease)).flatten();
        keys.filter(move |((_, changed), seen_at)| *changed <= before && **seen_at >= before)
            .map(|((key, _), _)| *key)
    }
}

/// The leases that an operation hangs keys on.
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
    use super::super::check;
    use crate::history::{OpId, ReadLimits, RunHistory, jsonl};

    /// User `u` may write `a`, and `root` everything; `b` hangs on lease 7 when `u` does something at revision 5.
    fn history(lease_of_b: i64, seen_at: i64, done: &str) -> RunHistory {
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
        // Whoever reads it: root, after auth is off.
        add(8, 5, r#"{"auth":"disable"}"#, empty, "");
        let read = format!("{{\"range\":{{\"key\":\"b\",\"revision\":{seen_at}}}}}");
        add(9, 9, &read, &seen, "");
        lines.push(r#"{"end":{"at":1000}}"#.to_owned());
        let text = lines.join("\n") + "\n";
        jsonl::read(text.as_bytes(), "test", &ReadLimits::default())
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// Whether what the user did is held against the store.
    fn is_denied(lease_of_b: i64, seen_at: i64, done: &str) -> bool {
        let failures = check(&history(lease_of_b, seen_at, done));
        // Auth is changed without root's token here, which is another matter.
        failures.iter().any(|failure| failure.blamed == [OpId(7)])
    }

    #[test]
    fn who_may_not_write_the_keys_of_a_lease_hangs_no_other_on_it() {
        let put = r#"{"put":{"key":"a","value":"v","lease":7}}"#;
        assert!(is_denied(7, 5, put));
        // Another lease, or a key of which nobody knows whether it hung there by then.
        assert!(!is_denied(8, 5, put));
        assert!(!is_denied(7, 3, put));
        assert!(!is_denied(7, 5, r#"{"put":{"key":"a","value":"v"}}"#));
    }
}
