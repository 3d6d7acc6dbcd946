//! A raft entry's bytes: the client's own message and an id (`proto/raft.proto`).

use bytes::Bytes;
use prost::Message as _;
use protobuf::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeType, Entry, EntryType};
use squall_core::{
    Attributes, Caller, Command, LeaseCheckpoint, LeaseId, Member, MemberId, MembershipChange,
};

use super::input::Decoded;
use crate::{
    api::convert,
    auth,
    proto::squall::raft::{self as pb, ConfChangeContext, MemberAttributes},
};

pub(crate) use pb::entry::Request;

/// The data of a normal entry without a caller.
pub(crate) fn encode(id: u64, request: Request) -> Bytes {
    encode_as(id, Caller::NOBODY, request)
}

/// The data of a normal entry on the caller's behalf.
pub(crate) fn encode_as(id: u64, caller: Caller, request: Request) -> Bytes {
    let Caller { user, revision } = caller;
    pb::Entry { id, request: Some(request), user, auth_revision: revision }.encode_to_vec().into()
}

/// The request by which a member publishes its name and client URLs.
pub(crate) fn publish(id: MemberId, name: String, client_urls: Vec<String>) -> Request {
    Request::Publish(MemberAttributes { member_id: id.0, name, client_urls })
}

/// The conf change that carries a membership change.
pub(crate) fn encode_change(id: u64, change: &MembershipChange) -> ConfChange {
    let mut conf_change = ConfChange::default();
    let member = match change {
        MembershipChange::Add(member) => {
            conf_change.set_change_type(match member.is_learner {
                true => ConfChangeType::AddLearnerNode,
                false => ConfChangeType::AddNode,
            });
            conf_change.node_id = member.id.0;
            Some(convert::member(member))
        }
        MembershipChange::Remove(member) => {
            conf_change.set_change_type(ConfChangeType::RemoveNode);
            conf_change.node_id = member.0;
            None
        }
        MembershipChange::Promote(id) => {
            conf_change.set_change_type(ConfChangeType::AddNode);
            conf_change.node_id = id.0;
            None
        }
        // raft is given a change of node 0, which changes nothing.
        MembershipChange::Update { id, peer_urls } => {
            conf_change.set_change_type(ConfChangeType::AddNode);
            let member = Member { id: *id, peer_urls: peer_urls.clone(), ..Member::default() };
            Some(convert::member(&member))
        }
    };
    let promote = matches!(change, MembershipChange::Promote(_));
    conf_change.context = ConfChangeContext { id, member, promote }.encode_to_vec().into();
    conf_change
}

/// What a committed entry says.
///
/// # Panics
/// If the entry cannot be read, or if no member could have proposed it. Raft has then agreed on something that no
/// member wrote.
pub(crate) fn decode(entry: &Entry) -> Decoded {
    let broken = |what: &dyn std::fmt::Display| -> ! { panic!("committed entry {}: {what}", entry.index) };
    match entry.get_entry_type() {
        EntryType::EntryNormal if entry.data.is_empty() => Decoded::Empty,
        EntryType::EntryNormal => {
            let decoded = pb::Entry::decode(entry.data.clone()).unwrap_or_else(|error| broken(&error));
            let command = match decoded.request {
                Some(Request::Put(request)) => Command::Put(convert::put(request)),
                Some(Request::DeleteRange(request)) => Command::DeleteRange(convert::delete_range(request)),
                Some(Request::Txn(request)) => Command::Txn(convert::txn(request)),
                Some(Request::Compaction(request)) => Command::Compact(convert::compaction(request)),
                Some(Request::Publish(attributes)) => Command::Publish(Attributes {
                    id: MemberId(attributes.member_id),
                    name: attributes.name,
                    client_urls: attributes.client_urls,
                }),
                Some(Request::LeaseGrant(request)) => {
                    Command::LeaseGrant { id: LeaseId(request.id), ttl_secs: request.ttl }
                }
                Some(Request::Alarm(request)) => Command::Alarm(convert::alarm(&request)),
                Some(Request::LeaseRevoke(request)) => Command::LeaseRevoke(LeaseId(request.id)),
                Some(Request::LeaseCheckpoint(request)) => {
                    let left = request.leases.into_iter().map(|left| LeaseCheckpoint {
                        id: LeaseId(left.id),
                        remaining_secs: left.remaining_secs,
                    });
                    Command::LeaseCheckpoint(left.collect())
                }
                Some(Request::Auth(request)) => Command::Auth(
                    auth::convert::command(request).unwrap_or_else(|| broken(&"an empty request about auth")),
                ),
                None => broken(&"no request"),
            };
            let caller = Caller { user: decoded.user, revision: decoded.auth_revision };
            Decoded::Command { id: decoded.id, caller, command }
        }
        EntryType::EntryConfChange => {
            let raft = ConfChange::parse_from_bytes(&entry.data).unwrap_or_else(|error| broken(&error));
            let context =
                ConfChangeContext::decode(raft.context.clone()).unwrap_or_else(|error| broken(&error));
            let change = match (raft.get_change_type(), context.member) {
                // This arm comes before the next one: an update carries node id 0, and adds no member.
                (ConfChangeType::AddNode, Some(member)) if raft.node_id == 0 => {
                    MembershipChange::Update { id: MemberId(member.id), peer_urls: member.peer_urls }
                }
                (kind @ (ConfChangeType::AddNode | ConfChangeType::AddLearnerNode), Some(member))
                    if member.id == raft.node_id
                        && member.is_learner == (kind == ConfChangeType::AddLearnerNode) =>
                {
                    MembershipChange::Add(convert::member_from_wire(member))
                }
                (ConfChangeType::AddNode, None) if context.promote => {
                    MembershipChange::Promote(MemberId(raft.node_id))
                }
                (ConfChangeType::RemoveNode, _) => MembershipChange::Remove(MemberId(raft.node_id)),
                (kind, member) => {
                    broken(&format_args!("conf change {kind:?} of {} with {member:?}", raft.node_id))
                }
            };
            Decoded::Membership { id: context.id, change, raft: Box::new(raft) }
        }
        EntryType::EntryConfChangeV2 => broken(&"a joint conf change, which no member proposes"),
    }
}

/// A hash of an entry's content, equal on all members for an equal entry (FNV-1a over type and data).
pub(crate) fn digest(entry: &Entry) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ entry.get_entry_type() as u64;
    for byte in entry.data.iter() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::etcdserverpb::PutRequest;

    #[test]
    fn a_put_survives_the_log() {
        let request = PutRequest { key: "k".into(), value: "v".into(), prev_kv: true, ..Default::default() };
        let entry = Entry { index: 7, term: 2, data: encode(9, Request::Put(request)), ..Default::default() };
        let Decoded::Command { id: 9, caller, command: Command::Put(put) } = decode(&entry) else { panic!() };
        assert_eq!(caller, Caller::NOBODY);
        assert_eq!((put.key, put.value, put.prev_kv), ("k".into(), "v".into(), true));
    }

    #[test]
    fn auth_commands_and_their_caller_survive_the_log() {
        let caller = Caller { user: "alice".into(), revision: 7 };
        let asked = auth::convert::authenticated("bob".into(), "prefix".into());
        let entry = Entry { index: 7, data: encode_as(9, caller.clone(), asked), ..Default::default() };
        let Decoded::Command { id: 9, caller: decoded, command: Command::Auth(command) } = decode(&entry)
        else {
            panic!()
        };
        let authenticate =
            squall_core::AuthCommand::Authenticate { user: "bob".into(), token_prefix: "prefix".into() };
        assert_eq!((decoded, command), (caller, authenticate));
    }

    #[test]
    fn a_membership_change_survives_the_log() {
        let member = squall_core::Member {
            id: MemberId(5),
            peer_urls: vec!["http://m5:2380".into()],
            ..Default::default()
        };
        let learner = squall_core::Member { is_learner: true, ..member.clone() };
        let update =
            |id| MembershipChange::Update { id: MemberId(id), peer_urls: vec!["http://m6:2380".into()] };
        for (change, node) in [
            (MembershipChange::Add(member), 5),
            (MembershipChange::Add(learner), 5),
            (MembershipChange::Promote(MemberId(5)), 5),
            (MembershipChange::Remove(MemberId(5)), 5),
            (update(5), 0),
            // An update that names no member carries id 0, which no member has.
            (update(0), 0),
        ] {
            let mut entry = Entry { index: 7, ..Default::default() };
            entry.set_entry_type(EntryType::EntryConfChange);
            entry.data = encode_change(3, &change).write_to_bytes().unwrap().into();
            let Decoded::Membership { id: 3, change: decoded, raft } = decode(&entry) else { panic!() };
            assert_eq!((decoded, raft.node_id), (change, node));
        }
    }

    #[test]
    #[should_panic(expected = "committed entry 7")]
    fn garbage_in_the_log_is_a_broken_invariant() {
        decode(&Entry { index: 7, data: vec![0xff; 9].into(), ..Default::default() });
    }
}
