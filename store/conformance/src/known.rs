//! The intended differences, each with its reason. `docs/squalld.md` lists them for the users of the server.

use squall_store::proto::etcdserverpb::{AlarmType, RangeRequest, TxnRequest, request_op::Request};

use crate::{
    answer::Answer,
    draw::is_overlooked,
    neutral::{MEMBERS, OWN_PEER},
    operation::{Call, Caller, Operation},
    world::World,
};

/// An intended difference.
pub struct Known {
    /// What it is called.
    pub name: &'static str,
    /// Why squalld differs from etcd 3.5.1 here.
    pub reason: &'static str,
    /// Whether it explains these two answers.
    pub explains: fn(&World, &Operation, &Answer, &Answer) -> bool,
}

/// All intended differences.
pub const KNOWN: &[Known] = &[
    Known {
        name: "a token while auth is off",
        reason: "etcd 3.5.1 looks tokens up even then; later ones ask nobody who it is",
        explains: |world, operation, etcd, _| {
            let ended = matches!(operation.call, Call::Observe(_))
                && etcd.said.as_ref().is_ok_and(|said| said == "\"the stream has ended\"");
            let unknown =
                ended || etcd.refusal().is_some_and(|refusal| refusal.ends_with("invalid auth token"));
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
            world.auth_is_on && questions && !etcd.is_refused() && squalld.refusal().is_some_and(is_denial)
        },
    },
    Known {
        name: "a transaction of reads within another, under the alarm CORRUPT",
        reason: "reads are served then; etcd takes only a flat transaction for a read",
        explains: |_, operation, etcd, squalld| {
            matches!(&operation.call, Call::Txn(txn) if only_reads(txn))
                && etcd.refusal() == Some("etcdserver: corrupt cluster")
                && squalld.refusal() != etcd.refusal()
        },
    },
    Known {
        name: "a hash at the compacted revision",
        reason: "that revision is still readable, and can be hashed as from etcd 3.5.5 on",
        explains: |world, operation, etcd, squalld| {
            let compacted = etcd.refusal() == Some("etcdserver: mvcc: required revision has been compacted");
            operation.call == Call::HashKv(world.compacted) && compacted && !squalld.is_refused()
        },
    },
    Known {
        name: "maintenance by who may not",
        reason: "it is refused with the code and words of all other calls, as in later etcd; etcd 3.5.1 lets its inner words out",
        explains: |world, _, etcd, squalld| {
            let inner = etcd.refusal().and_then(|refusal| refusal.strip_prefix("auth: "));
            let outer = squalld.refusal().and_then(|refusal| refusal.strip_prefix("etcdserver: "));
            world.auth_is_on && inner.is_some() && inner == outer
        },
    },
    Known {
        name: "MoveLeader by who may not",
        reason: "root alone may, as in later etcd; etcd 3.5.1 asks nobody",
        explains: |world, operation, _, squalld| {
            world.auth_is_on
                && matches!(operation.call, Call::MoveLeader(_))
                && squalld.refusal().is_some_and(is_denial)
        },
    },
    Known {
        name: "a range that ends where it begins or before, by a user",
        reason: "it holds no key, so that its begin decides; in etcd the shape of a tree does",
        explains: |world, operation, etcd, squalld| {
            let denied = |answer: &Answer| match &answer.said {
                Ok(said) => said.contains("etcdserver: permission denied"),
                Err(refused) => refused.message == "etcdserver: permission denied",
            };
            let empty = match &operation.call {
                Call::Range(range) => is_empty(&range.key, &range.range_end),
                Call::DeleteRange(delete) => is_empty(&delete.key, &delete.range_end),
                Call::WatchCreate { request, .. } => is_empty(&request.key, &request.range_end),
                _ => false,
            };
            world.auth_is_on && empty && denied(etcd) != denied(squalld)
        },
    },
    Known {
        name: "Downgrade",
        reason: "there is nothing to go back to",
        explains: |_, operation, _, squalld| {
            let missing = |refusal| refusal == "squall: Downgrade is not supported" || is_denial(refusal);
            matches!(operation.call, Call::Downgrade(_)) && squalld.refusal().is_some_and(missing)
        },
    },
    Known {
        name: "a method's name without a service",
        reason: "there is no such method, as later versions of gRPC say; the one that etcd 3.5.1 was built with says that something is exhausted",
        explains: |_, operation, etcd, squalld| {
            let malformed = |answer: &Answer| {
                answer.refusal().is_some_and(|text| text.starts_with("malformed method name: "))
            };
            matches!(operation.call, Call::Wire { .. }) && malformed(etcd) && malformed(squalld)
        },
    },
    Known {
        name: "bytes that are no message, by who may not ask",
        reason: "who may ask is looked at before the bytes are read; etcd reads them first",
        explains: |world, operation, etcd, squalld| {
            matches!(operation.call, Call::Wire { .. })
                && world.auth_is_on
                && etcd.refusal() == Some("(this is no message)")
                && squalld.refusal().is_some_and(is_denial)
        },
    },
    Known {
        name: "a text that is no UTF-8",
        reason: "protobuf asks for it, and decoders that are made by its rules refuse anything else; etcd's does not look",
        explains: |_, operation, etcd, squalld| {
            let refused = squalld.refusal() == Some("(this is no message)");
            matches!(&operation.call, Call::Wire { path: "/etcdserverpb.Auth/UserGet", bytes } if bytes.ends_with(b"\xff\xfe"))
                && refused
                && etcd.refusal() != squalld.refusal()
        },
    },
    Known {
        name: "an update of an unknown member to URLs that are none",
        reason: "what the request alone shows to be wrong is refused first; etcd takes any text",
        explains: |_, operation, etcd, squalld| {
            matches!(operation.call, Call::MemberUpdate { .. })
                && etcd.refusal() == Some("etcdserver: member not found")
                && squalld.refusal() == Some("etcdserver: given member URLs are invalid")
        },
    },
];

/// An operation that is sent to squalld alone: etcd 3.5.1 crashes at it, or accepts it and so has another content
/// afterwards. squalld must refuse it.
pub struct Alone {
    /// What it is called.
    pub name: &'static str,
    /// Why squalld differs from etcd 3.5.1 here.
    pub reason: &'static str,
    /// Whether this is such an operation.
    pub applies: fn(&World, &Operation) -> bool,
}

/// All operations that are sent to squalld alone.
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
        name: "a transaction that etcd overlooks, by nobody, while auth is on",
        reason: "all that it does is looked at, as in later etcd; etcd 3.5.1 does not look into nested transactions",
        applies: |world, operation| match (&operation.call, &operation.caller) {
            (Call::Txn(txn), Caller::Token(place)) => {
                world.auth_is_on && !world.tokens.contains_key(place) && is_overlooked(txn) && asks(txn)
            }
            _ => false,
        },
    },
    Alone {
        name: "transactions more than 49 deep",
        reason: "protobuf's decoders go 100 messages deep, so that no client fills the stack; etcd's goes on",
        applies: |_, operation| matches!(&operation.call, Call::Txn(txn) if depth(txn) > 49),
    },
    Alone {
        name: "a permission on a range that is none",
        reason: "it would allow nothing, or all; refused as from etcd 3.5.8 on",
        applies: |_, operation| match &operation.call {
            Call::RoleGrantPermission { permission: Some(permission), .. } => {
                permission.key.is_empty() || is_empty(&permission.key, &permission.range_end)
            }
            _ => false,
        },
    },
    Alone {
        name: "a transaction that puts inside another alone, under the alarm NOSPACE",
        reason: "it makes the store larger; etcd 3.5 overlooks nested puts",
        applies: |world, operation| match &operation.call {
            Call::Txn(txn) => {
                let full = world.alarms.iter().any(|(kind, _)| *kind == AlarmType::Nospace as i32);
                full && puts(txn, true) && !puts(txn, false)
            }
            _ => false,
        },
    },
    Alone {
        name: "a new member at a URL without a host, or with a query",
        reason: "nobody could reach it; etcd looks at scheme, port and path alone",
        applies: |_, operation| match &operation.call {
            Call::MemberAdd { peer_urls, .. } => {
                peer_urls.iter().any(|url| url.contains('?') || url.starts_with("http://:"))
            }
            _ => false,
        },
    },
    Alone {
        name: "an update of a member to URLs that are none",
        reason: "nobody could reach it; etcd takes any text, and crashes where the member is another",
        applies: |world, operation| match &operation.call {
            Call::MemberUpdate { id, peer_urls } => {
                let is_member = *id == MEMBERS || world.learners.contains(id);
                let good = !peer_urls.is_empty() && peer_urls.iter().all(|url| draws_good_url(url));
                is_member && !good
            }
            _ => false,
        },
    },
];

/// Whether a URL is one of the drawn URLs that are valid.
fn draws_good_url(url: &str) -> bool {
    url == OWN_PEER || url.strip_prefix("http://127.0.0.1:").is_some_and(|port| port.parse::<u16>().is_ok())
}

/// An intended difference in the events of watchers: its name and reason.
pub const LOST_DELETIONS: (&str, &str) = (
    "a watch from the compacted revision, at which keys were deleted",
    "that revision is still readable, so its deletions are told, as from etcd 3.5.16 on (#18089)",
);

fn has_unknown_target(range: &RangeRequest) -> bool {
    (0..3).contains(&range.sort_order) && !(0..5).contains(&range.sort_target)
}

/// Whether a range ends where it begins, or before.
pub fn is_empty(key: &[u8], range_end: &[u8]) -> bool {
    !matches!(range_end, [] | [0]) && key >= range_end
}

/// Whether a refusal says that the caller lacks permission.
fn is_denial(refusal: &str) -> bool {
    [
        "etcdserver: user name is empty",
        "etcdserver: user name not found",
        "etcdserver: permission denied",
        "etcdserver: invalid auth token",
    ]
    .contains(&refusal)
}

/// Whether anything in the transaction, at any depth, needs a permission.
fn asks(txn: &TxnRequest) -> bool {
    !txn.compare.is_empty()
        || txn.success.iter().chain(&txn.failure).any(|op| match &op.request {
            Some(Request::RequestTxn(txn)) => asks(txn),
            other => other.is_some(),
        })
}

/// How deep transactions are nested.
fn depth(txn: &TxnRequest) -> usize {
    let inner = txn.success.iter().chain(&txn.failure).filter_map(|op| match &op.request {
        Some(Request::RequestTxn(txn)) => Some(depth(txn)),
        _ => None,
    });
    1 + inner.max().unwrap_or(0)
}

/// Whether the transaction has a put, on its own level or on any.
fn puts(txn: &TxnRequest, nested: bool) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match &op.request {
        Some(Request::RequestPut(_)) => true,
        Some(Request::RequestTxn(txn)) => nested && puts(txn, true),
        _ => false,
    })
}

/// Whether nothing in the transaction, at any depth, writes.
fn only_reads(txn: &TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).all(|op| match &op.request {
        Some(Request::RequestPut(_) | Request::RequestDeleteRange(_)) => false,
        Some(Request::RequestTxn(txn)) => only_reads(txn),
        Some(Request::RequestRange(_)) | None => true,
    })
}

/// Whether any range in the transaction, at any depth, meets this condition.
fn any_range(txn: &TxnRequest, is: &impl Fn(&RangeRequest) -> bool) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match &op.request {
        Some(Request::RequestRange(range)) => is(range),
        Some(Request::RequestTxn(txn)) => any_range(txn, is),
        _ => false,
    })
}
