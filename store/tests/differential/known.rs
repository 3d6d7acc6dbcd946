//! The differences that are meant, each with its reason. `docs/squalld.md` tells them to those who use the server.

use squall_store::proto::etcdserverpb::{RangeRequest, TxnRequest, request_op::Request};

use crate::{
    answer::Answer,
    operation::{Call, Caller, Operation},
    world::World,
};

/// A difference that is meant.
pub struct Known {
    pub name: &'static str,
    /// Why squalld is not like etcd 3.5.1 here.
    pub reason: &'static str,
    /// Whether this is what has happened.
    pub explains: fn(&World, &Operation, &Answer, &Answer) -> bool,
}

/// All that are known.
pub const KNOWN: &[Known] = &[
    Known {
        name: "a token while auth is off",
        reason: "etcd 3.5.1 looks tokens up even then; later ones ask nobody who it is",
        explains: |world, operation, etcd, _| {
            let unknown = etcd.refusal() == Some("etcdserver: invalid auth token");
            !world.auth_is_on && operation.caller != Caller::Nobody && unknown
        },
    },
    Known {
        name: "a transaction with a wrong put after a wrong read",
        reason: "steps are checked in their order, as from etcd 3.6 on; etcd 3.5 checks all puts first",
        explains: |_, operation, etcd, squalld| {
            let of_put = ["etcdserver: requested lease not found", "etcdserver: key not found"];
            let of_read = [
                "etcdserver: mvcc: required revision has been compacted",
                "etcdserver: mvcc: required revision is a future revision",
            ];
            matches!(operation.call, Call::Txn(_))
                && etcd.refusal().is_some_and(|refusal| of_put.contains(&refusal))
                && squalld.refusal().is_some_and(|refusal| of_read.contains(&refusal))
        },
    },
    Known {
        name: "progress of a stream that watches nothing, or that has a watcher of the future",
        reason: "there is nothing to say that would be true, as in later etcd (#15220); etcd 3.5.1 answers any question at once",
        explains: |world, operation, etcd, squalld| match operation.call {
            Call::WatchProgress { stream } => {
                !world.tells_progress(stream)
                    && !etcd.is_refused()
                    && squalld.said.as_ref().is_ok_and(|said| said.ends_with("\n[]"))
            }
            _ => false,
        },
    },
    Known {
        name: "a watch by who may not",
        reason: "it is said why, and under no watcher's id, as in later etcd; etcd 3.5.1 says that permission is denied, under \
                 the id that was asked for, and then forgets another watcher with that id",
        explains: |world, operation, etcd, squalld| {
            let says =
                |answer: &Answer, text: &str| answer.said.as_ref().is_ok_and(|said| said.contains(text));
            let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
            matches!(operation.call, Call::WatchCreate { .. })
                && world.auth_is_on
                && says(etcd, denied)
                && says(squalld, "rpc error: code = ")
                && says(squalld, "watch_id: -1,")
        },
    },
    Known {
        name: "a question about leases by who may not ask",
        reason: "users are asked for, as in the last patches of etcd 3.5; etcd 3.5.1 tells everybody",
        explains: |world, operation, etcd, squalld| {
            let questions = matches!(operation.call, Call::LeaseTimeToLive(_) | Call::LeaseLeases);
            let denied = [
                "etcdserver: user name is empty",
                "etcdserver: permission denied",
                "etcdserver: invalid auth token",
            ];
            world.auth_is_on
                && questions
                && !etcd.is_refused()
                && squalld.refusal().is_some_and(|refusal| denied.contains(&refusal))
        },
    },
];

/// What is sent to squalld alone, since etcd 3.5.1 does not outlive it, or does what squalld refuses and is another store
/// afterwards. squalld must refuse it.
pub struct Alone {
    pub name: &'static str,
    /// Why squalld is not like etcd 3.5.1 here.
    pub reason: &'static str,
    /// Whether this is such an operation.
    pub applies: fn(&World, &Operation) -> bool,
}

/// All that squalld must refuse by itself.
pub const ALONE: &[Alone] = &[
    Alone {
        name: "an unknown sort target",
        reason: "etcd 3.5 crashes (#13554); it is refused from 3.6 on",
        applies: |_, operation| match &operation.call {
            Call::Range(range) => has_unknown_target(range),
            Call::Txn(txn) => any_range(txn, &has_unknown_target),
            _ => false,
        },
    },
    Alone {
        name: "a watch from a negative revision",
        reason: "it is cancelled as compacted, as from etcd 3.5.24 on; etcd 3.5.1 takes it where nothing was compacted",
        applies: |_, operation| matches!(&operation.call, Call::WatchCreate { request, .. } if request.start_revision < 0),
    },
    Alone {
        name: "leases and compactions by nobody, while auth is on",
        reason: "users are asked for, as in the last patches of etcd 3.5; etcd 3.5.1 lets everybody",
        applies: |world, operation| {
            let changes = matches!(
                operation.call,
                Call::Compact(_) | Call::LeaseGrant(_) | Call::LeaseRevoke(_) | Call::LeaseKeepAlive(_)
            );
            world.auth_is_on && operation.caller == Caller::Nobody && changes
        },
    },
    Alone {
        name: "a permission on a range that is none",
        reason: "it would allow nothing, or all; refused as from etcd 3.5.5 on",
        applies: |_, operation| match &operation.call {
            Call::RoleGrantPermission { permission: Some(permission), .. } => {
                let (key, end) = (&permission.key, &permission.range_end);
                key.is_empty() || !matches!(&end[..], [] | [0]) && key >= end
            }
            _ => false,
        },
    },
];

/// One that shows in what watchers are told: its name and reason.
pub const LOST_DELETIONS: (&str, &str) = (
    "a watch from the compacted revision, at which keys were deleted",
    "that revision is still readable, so its deletions are told, as from etcd 3.5.16 on (#18089)",
);

fn has_unknown_target(range: &RangeRequest) -> bool {
    (0..3).contains(&range.sort_order) && !(0..5).contains(&range.sort_target)
}

/// Whether any range in the transaction, at any depth, is like that.
fn any_range(txn: &TxnRequest, is: &impl Fn(&RangeRequest) -> bool) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match &op.request {
        Some(Request::RequestRange(range)) => is(range),
        Some(Request::RequestTxn(txn)) => any_range(txn, is),
        _ => false,
    })
}
