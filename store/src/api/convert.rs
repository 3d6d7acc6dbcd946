//! Between the wire's messages and the core's types, both ways.
//!
//! From the wire, what the core cannot express is refused here: unknown enum values and empty unions, with the errors
//! that etcd gives them. Nothing else is judged here; limits and duplicates are the core's `validate`. Back to the
//! wire nothing can fail. Keys and values are [`bytes::Bytes`] on both sides and are never copied.

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
        Code::Unimplemented => tonic::Code::Unimplemented,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::DataLoss => tonic::Code::DataLoss,
    };
    Status::new(code, refusal.message())
}

// From the wire.

/// # Errors
/// `InvalidSortOption` for an order or target that etcd does not know.
pub(crate) fn range(request: pb::RangeRequest) -> Result<core::RangeRequest, Refusal> {
    use range_request::{SortOrder, SortTarget};
    let sort_order = match SortOrder::try_from(request.sort_order) {
        Ok(SortOrder::None) => core::SortOrder::None,
        Ok(SortOrder::Ascend) => core::SortOrder::Ascend,
        Ok(SortOrder::Descend) => core::SortOrder::Descend,
        Err(_) => return Err(Refusal::InvalidSortOption),
    };
    let sort_target = match SortTarget::try_from(request.sort_target) {
        Ok(SortTarget::Key) => core::SortTarget::Key,
        Ok(SortTarget::Version) => core::SortTarget::Version,
        Ok(SortTarget::Create) => core::SortTarget::Create,
        Ok(SortTarget::Mod) => core::SortTarget::Mod,
        Ok(SortTarget::Value) => core::SortTarget::Value,
        Err(_) => return Err(Refusal::InvalidSortOption),
    };
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

/// # Errors
/// `KeyNotFound` for an operation that is none, as etcd has it; what [`range`] and [`comparison`] refuse.
pub(crate) fn txn(request: pb::TxnRequest) -> Result<core::TxnRequest, Refusal> {
    Ok(core::TxnRequest {
        compare: request.compare.into_iter().map(comparison).collect::<Result<_, _>>()?,
        success: request.success.into_iter().map(operation).collect::<Result<_, _>>()?,
        failure: request.failure.into_iter().map(operation).collect::<Result<_, _>>()?,
    })
}

fn operation(op: pb::RequestOp) -> Result<core::RequestOp, Refusal> {
    match op.request {
        Some(request_op::Request::RequestRange(request)) => range(request).map(core::RequestOp::Range),
        Some(request_op::Request::RequestPut(request)) => Ok(core::RequestOp::Put(put(request))),
        Some(request_op::Request::RequestDeleteRange(request)) => {
            Ok(core::RequestOp::DeleteRange(delete_range(request)))
        }
        Some(request_op::Request::RequestTxn(request)) => txn(request).map(core::RequestOp::Txn),
        None => Err(Refusal::KeyNotFound),
    }
}

/// A constant of another kind than the target says counts as the target's zero value, as Go's getters read it.
///
/// # Errors
/// `InvalidSortOption` for a relation or target that is not the API's. etcd takes such a relation for satisfied and such
/// a target for equal; a client that sends either can only be mistaken.
fn comparison(compare: pb::Compare) -> Result<core::Compare, Refusal> {
    use compare::{CompareResult, CompareTarget, TargetUnion};
    let result = match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => core::CompareResult::Equal,
        Ok(CompareResult::Greater) => core::CompareResult::Greater,
        Ok(CompareResult::Less) => core::CompareResult::Less,
        Ok(CompareResult::NotEqual) => core::CompareResult::NotEqual,
        Err(_) => return Err(Refusal::InvalidSortOption),
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
        (Err(_), _) => return Err(Refusal::InvalidSortOption),
    };
    Ok(core::Compare { result, target, key: compare.key, range_end: compare.range_end })
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
    }
}

// To the wire. `header` fills a response's header in for its revision; an operation inside a txn has the revision alone.

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

pub(crate) fn compaction_response(response: core::CompactionResponse) -> pb::CompactionResponse {
    pb::CompactionResponse { header: bare_header(response.revision) }
}

pub(crate) fn member(member: &core::Member) -> pb::Member {
    pb::Member {
        id: member.id.0,
        name: member.name.clone(),
        peer_urls: member.peer_urls.clone(),
        client_urls: member.client_urls.clone(),
        is_learner: false,
    }
}
