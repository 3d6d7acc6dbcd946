//! Converts between the wire's messages and the core's types, in both directions.
//!
//! From the wire: what the core's types cannot express (unknown sort targets, empty unions) is refused here with
//! etcd's error, or, in a transaction, marked as refused. Nothing else is checked here; the core's `validate` checks
//! limits and duplicates. The conversion to the wire cannot fail. Keys and values are [`bytes::Bytes`] on both sides
//! and are never copied.

use squall_core as core;
use squall_core::{Code, LeaseId, MemberId, Refusal, Revision};
use tonic::Status;

use crate::proto::{
    etcdserverpb::{self as pb, compare, range_request, request_op, response_op},
    mvccpb,
};

/// A refusal as a gRPC status: etcd's code and words.
pub(crate) fn status(refusal: Refusal) -> Status {
    let code = match refusal.code() {
        Code::Cancelled => tonic::Code::Cancelled,
        Code::Unknown => tonic::Code::Unknown,
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::DeadlineExceeded => tonic::Code::DeadlineExceeded,
        Code::NotFound => tonic::Code::NotFound,
        Code::ResourceExhausted => tonic::Code::ResourceExhausted,
        Code::FailedPrecondition => tonic::Code::FailedPrecondition,
        Code::OutOfRange => tonic::Code::OutOfRange,
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
        Code::Unimplemented => tonic::Code::Unimplemented,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::DataLoss => tonic::Code::DataLoss,
    };
    Status::new(code, refusal.message())
}

/// The refusal that another member's status stands for, if it stands for one.
pub(crate) fn refusal(status: &Status) -> Option<Refusal> {
    Refusal::ALL.iter().copied().find(|refusal| refusal.message() == status.message())
}

// From the wire.

/// With an order that etcd does not know the result is in key order, whatever the target, as in etcd 3.5.
///
/// # Errors
/// `InvalidSortOption` for a target that etcd does not know, as in etcd 3.6. etcd 3.5 crashes (#13554).
pub(crate) fn range(request: pb::RangeRequest) -> Result<core::RangeRequest, Refusal> {
    let sorted = sort(request.sort_order, request.sort_target);
    // If a request has both faults, etcd reports the missing key.
    let (sort_order, sort_target) =
        sorted.map_err(|refusal| if request.key.is_empty() { Refusal::EmptyKey } else { refusal })?;
    Ok(core::RangeRequest {
        key: request.key,
        range_end: request.range_end,
        limit: request.limit,
        revision: Revision(request.revision),
        sort_order,
        sort_target,
        serializable: request.serializable,
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: Revision(request.min_mod_revision),
        max_mod_revision: Revision(request.max_mod_revision),
        min_create_revision: Revision(request.min_create_revision),
        max_create_revision: Revision(request.max_create_revision),
    })
}

fn sort(order: i32, target: i32) -> Result<(core::SortOrder, core::SortTarget), Refusal> {
    use range_request::{SortOrder, SortTarget};
    let order = match SortOrder::try_from(order) {
        Ok(SortOrder::None) => core::SortOrder::None,
        Ok(SortOrder::Ascend) => core::SortOrder::Ascend,
        Ok(SortOrder::Descend) => core::SortOrder::Descend,
        Err(_) => return Ok((core::SortOrder::None, core::SortTarget::Key)),
    };
    let target = match SortTarget::try_from(target) {
        Ok(SortTarget::Key) => core::SortTarget::Key,
        Ok(SortTarget::Version) => core::SortTarget::Version,
        Ok(SortTarget::Create) => core::SortTarget::Create,
        Ok(SortTarget::Mod) => core::SortTarget::Mod,
        Ok(SortTarget::Value) => core::SortTarget::Value,
        Err(_) => return Err(Refusal::InvalidSortOption),
    };
    Ok((order, target))
}

pub(crate) fn put(request: pb::PutRequest) -> core::PutRequest {
    core::PutRequest {
        key: request.key,
        value: request.value,
        lease: LeaseId(request.lease),
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    }
}

pub(crate) fn delete_range(request: pb::DeleteRangeRequest) -> core::DeleteRangeRequest {
    core::DeleteRangeRequest { key: request.key, range_end: request.range_end, prev_kv: request.prev_kv }
}

/// An empty operation is kept in its place as a refusal with `KeyNotFound`, as in etcd. So is an operation that
/// [`range`] refuses.
pub(crate) fn txn(request: pb::TxnRequest) -> core::TxnRequest {
    core::TxnRequest {
        compare: request.compare.into_iter().map(comparison).collect(),
        success: request.success.into_iter().map(operation).collect(),
        failure: request.failure.into_iter().map(operation).collect(),
    }
}

fn operation(op: pb::RequestOp) -> core::RequestOp {
    match op.request {
        Some(request_op::Request::RequestRange(request)) => {
            range(request).map_or_else(core::RequestOp::Invalid, core::RequestOp::Range)
        }
        Some(request_op::Request::RequestPut(request)) => core::RequestOp::Put(put(request)),
        Some(request_op::Request::RequestDeleteRange(request)) => {
            core::RequestOp::DeleteRange(delete_range(request))
        }
        Some(request_op::Request::RequestTxn(request)) => core::RequestOp::Txn(txn(request)),
        None => core::RequestOp::Invalid(Refusal::KeyNotFound),
    }
}

/// A constant that is not of the target's kind counts as the target's zero value, as Go's getters read it.
fn comparison(compare: pb::Compare) -> core::Compare {
    use compare::{CompareResult, CompareTarget, TargetUnion};
    let result = match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => core::CompareResult::Equal,
        Ok(CompareResult::Greater) => core::CompareResult::Greater,
        Ok(CompareResult::Less) => core::CompareResult::Less,
        Ok(CompareResult::NotEqual) => core::CompareResult::NotEqual,
        Err(_) => core::CompareResult::Unknown,
    };
    let target = match (CompareTarget::try_from(compare.target), compare.target_union) {
        (Ok(CompareTarget::Version), Some(TargetUnion::Version(n))) => core::CompareTarget::Version(n),
        (Ok(CompareTarget::Version), _) => core::CompareTarget::Version(0),
        (Ok(CompareTarget::Create), Some(TargetUnion::CreateRevision(n))) => {
            core::CompareTarget::Create(Revision(n))
        }
        (Ok(CompareTarget::Create), _) => core::CompareTarget::Create(Revision(0)),
        (Ok(CompareTarget::Mod), Some(TargetUnion::ModRevision(n))) => core::CompareTarget::Mod(Revision(n)),
        (Ok(CompareTarget::Mod), _) => core::CompareTarget::Mod(Revision(0)),
        (Ok(CompareTarget::Value), Some(TargetUnion::Value(value))) => core::CompareTarget::Value(value),
        (Ok(CompareTarget::Value), _) => core::CompareTarget::Value(bytes::Bytes::new()),
        (Ok(CompareTarget::Lease), Some(TargetUnion::Lease(n))) => core::CompareTarget::Lease(LeaseId(n)),
        (Ok(CompareTarget::Lease), _) => core::CompareTarget::Lease(LeaseId(0)),
        (Err(_), _) => core::CompareTarget::Unknown,
    };
    core::Compare { result, target, key: compare.key, range_end: compare.range_end }
}

pub(crate) fn compaction(request: pb::CompactionRequest) -> core::CompactionRequest {
    core::CompactionRequest { revision: Revision(request.revision), physical: request.physical }
}

pub(crate) fn member_from_wire(member: pb::Member) -> core::Member {
    core::Member {
        id: MemberId(member.id),
        name: member.name,
        peer_urls: member.peer_urls,
        client_urls: member.client_urls,
        is_learner: member.is_learner,
    }
}

/// An action that etcd does not know does nothing.
pub(crate) fn alarm(request: &pb::AlarmRequest) -> core::AlarmRequest {
    use pb::alarm_request::AlarmAction;
    let (member, kind) = (MemberId(request.member_id), core::AlarmKind::from_number(request.alarm));
    match AlarmAction::try_from(request.action) {
        Ok(AlarmAction::Get) => core::AlarmRequest::Get(kind),
        Ok(AlarmAction::Activate) => core::AlarmRequest::Activate(member, kind),
        Ok(AlarmAction::Deactivate) => core::AlarmRequest::Deactivate(member, kind),
        Err(_) => core::AlarmRequest::Activate(member, None),
    }
}

// To the wire. `header` makes a response's header from its revision. A response inside a transaction has a header
// with only the revision.

/// A header without cluster, member and term, as operations inside a txn carry it.
fn bare_header(revision: Revision) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision: revision.0, ..Default::default() })
}

pub(crate) fn key_value(kv: core::KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key,
        create_revision: kv.create_revision.0,
        mod_revision: kv.mod_revision.0,
        version: kv.version,
        value: kv.value,
        lease: kv.lease.0,
    }
}

pub(crate) fn event(event: core::Event) -> mvccpb::Event {
    let kind = match event.kind {
        core::EventKind::Put => mvccpb::event::EventType::Put,
        core::EventKind::Delete => mvccpb::event::EventType::Delete,
    };
    mvccpb::Event {
        r#type: kind as i32,
        kv: Some(key_value(event.kv)),
        prev_kv: event.prev_kv.map(key_value),
    }
}

pub(crate) fn range_response(response: core::RangeResponse) -> pb::RangeResponse {
    pb::RangeResponse {
        header: bare_header(response.revision),
        kvs: response.kvs.into_iter().map(key_value).collect(),
        more: response.more,
        count: response.count,
    }
}

pub(crate) fn put_response(response: core::PutResponse) -> pb::PutResponse {
    pb::PutResponse { header: bare_header(response.revision), prev_kv: response.prev_kv.map(key_value) }
}

pub(crate) fn delete_range_response(response: core::DeleteRangeResponse) -> pb::DeleteRangeResponse {
    pb::DeleteRangeResponse {
        header: bare_header(response.revision),
        deleted: response.deleted,
        prev_kvs: response.prev_kvs.into_iter().map(key_value).collect(),
    }
}

pub(crate) fn txn_response(response: core::TxnResponse) -> pb::TxnResponse {
    pb::TxnResponse {
        header: bare_header(response.revision),
        succeeded: response.succeeded,
        responses: response.responses.into_iter().map(operation_response).collect(),
    }
}

fn operation_response(response: core::ResponseOp) -> pb::ResponseOp {
    use response_op::Response;
    let response = match response {
        core::ResponseOp::Range(response) => Response::ResponseRange(range_response(response)),
        core::ResponseOp::Put(response) => Response::ResponsePut(put_response(response)),
        core::ResponseOp::DeleteRange(response) => {
            Response::ResponseDeleteRange(delete_range_response(response))
        }
        core::ResponseOp::Txn(response) => Response::ResponseTxn(txn_response(response)),
    };
    pb::ResponseOp { response: Some(response) }
}

pub(crate) fn hash_kv_response(
    hashed: &core::HashKv,
    header: Option<pb::ResponseHeader>,
) -> pb::HashKvResponse {
    pb::HashKvResponse {
        header,
        hash: hashed.hash,
        compact_revision: hashed.compact_revision.0,
        // etcd has this field from 3.5.9 on.
        hash_revision: 0,
    }
}

pub(crate) fn compaction_response(response: core::CompactionResponse) -> pb::CompactionResponse {
    pb::CompactionResponse { header: bare_header(response.revision) }
}

pub(crate) fn member(member: &core::Member) -> pb::Member {
    pb::Member {
        id: member.id.0,
        name: member.name.clone(),
        peer_urls: member.peer_urls.clone(),
        client_urls: member.client_urls.clone(),
        is_learner: member.is_learner,
    }
}

pub(crate) fn alarm_member(alarm: core::Alarm) -> pb::AlarmMember {
    pb::AlarmMember { member_id: alarm.member.0, alarm: alarm.kind as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_sort_options_are_as_in_etcd() {
        let sorted = |order, target| {
            range(pb::RangeRequest {
                key: "k".into(),
                sort_order: order,
                sort_target: target,
                ..Default::default()
            })
            .map(|range| (range.sort_order, range.sort_target))
        };
        use squall_core::{SortOrder, SortTarget};
        assert_eq!(sorted(2, 4), Ok((SortOrder::Descend, SortTarget::Value)));
        assert_eq!(sorted(3, 4), Ok((SortOrder::None, SortTarget::Key)), "an unknown order sorts nothing");
        assert_eq!(sorted(-1, 9), Ok((SortOrder::None, SortTarget::Key)));
        for order in 0..=2 {
            assert_eq!(sorted(order, 5), Err(Refusal::InvalidSortOption));
        }
    }

    #[test]
    fn unknown_compares_reach_the_core() {
        let compare = |result, target| comparison(pb::Compare { result, target, ..Default::default() });
        assert_eq!(compare(4, 0).result, squall_core::CompareResult::Unknown);
        assert_eq!(compare(0, 5).target, squall_core::CompareTarget::Unknown);
        assert_eq!(compare(3, 4).target, squall_core::CompareTarget::Lease(LeaseId(0)));
    }
}
