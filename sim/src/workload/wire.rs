//! Converts between the history's terms and the gRPC messages. So the history holds exactly what a client sent and
//! what it got.

use squall_checker::history as h;
use squall_store::proto::{etcdserverpb as pb, mvccpb};

/// Bytes.
pub fn bytes(bytes: &h::Bytes) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(bytes.as_slice())
}

/// A range request.
pub fn range(range: &h::Range) -> pb::RangeRequest {
    use pb::range_request::{SortOrder, SortTarget};
    pb::RangeRequest {
        key: bytes(&range.key),
        range_end: bytes(&range.range_end),
        limit: range.limit,
        revision: range.revision.0,
        sort_order: match range.sort_order {
            h::SortOrder::None => SortOrder::None,
            h::SortOrder::Ascend => SortOrder::Ascend,
            h::SortOrder::Descend => SortOrder::Descend,
        } as i32,
        sort_target: match range.sort_target {
            h::SortTarget::Key => SortTarget::Key,
            h::SortTarget::Version => SortTarget::Version,
            h::SortTarget::Create => SortTarget::Create,
            h::SortTarget::Mod => SortTarget::Mod,
            h::SortTarget::Value => SortTarget::Value,
        } as i32,
        serializable: range.serializable,
        keys_only: range.keys_only,
        count_only: range.count_only,
        min_mod_revision: range.min_mod_revision.0,
        max_mod_revision: range.max_mod_revision.0,
        min_create_revision: range.min_create_revision.0,
        max_create_revision: range.max_create_revision.0,
    }
}

/// A put request.
pub fn put(put: &h::Put) -> pb::PutRequest {
    pb::PutRequest {
        key: bytes(&put.key),
        value: bytes(&put.value),
        lease: put.lease.0,
        prev_kv: put.prev_kv,
        ignore_value: put.ignore_value,
        ignore_lease: put.ignore_lease,
    }
}

/// A delete request.
pub fn delete_range(delete: &h::DeleteRange) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key: bytes(&delete.key),
        range_end: bytes(&delete.range_end),
        prev_kv: delete.prev_kv,
    }
}

/// A transaction.
pub fn txn(txn: &h::Txn) -> pb::TxnRequest {
    pb::TxnRequest {
        compare: txn.compares.iter().map(compare).collect(),
        success: txn.success.iter().map(request_op).collect(),
        failure: txn.failure.iter().map(request_op).collect(),
    }
}

fn request_op(op: &h::RequestOp) -> pb::RequestOp {
    use pb::request_op::Request;
    pb::RequestOp {
        request: Some(match op {
            h::RequestOp::Range(op) => Request::RequestRange(range(op)),
            h::RequestOp::Put(op) => Request::RequestPut(put(op)),
            h::RequestOp::DeleteRange(op) => Request::RequestDeleteRange(delete_range(op)),
            h::RequestOp::Txn(op) => Request::RequestTxn(txn(op)),
        }),
    }
}

fn compare(compare: &h::Compare) -> pb::Compare {
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};
    let (target, union) = match &compare.target {
        h::CompareTarget::Version(version) => (CompareTarget::Version, TargetUnion::Version(*version)),
        h::CompareTarget::Create(revision) => {
            (CompareTarget::Create, TargetUnion::CreateRevision(revision.0))
        }
        h::CompareTarget::Mod(revision) => (CompareTarget::Mod, TargetUnion::ModRevision(revision.0)),
        h::CompareTarget::Value(value) => (CompareTarget::Value, TargetUnion::Value(bytes(value))),
        h::CompareTarget::Lease(lease) => (CompareTarget::Lease, TargetUnion::Lease(lease.0)),
    };
    pb::Compare {
        result: match compare.result {
            h::CompareResult::Equal => CompareResult::Equal,
            h::CompareResult::Greater => CompareResult::Greater,
            h::CompareResult::Less => CompareResult::Less,
            h::CompareResult::NotEqual => CompareResult::NotEqual,
        } as i32,
        target: target as i32,
        key: bytes(&compare.key),
        target_union: Some(union),
        range_end: bytes(&compare.range_end),
    }
}

/// A response's header.
pub fn header(header: Option<&pb::ResponseHeader>) -> Option<h::Header> {
    header.map(|header| h::Header {
        cluster_id: header.cluster_id,
        member_id: header.member_id,
        revision: h::Revision(header.revision),
        raft_term: header.raft_term,
    })
}

/// An event of a watch; `None` if it holds no record, which etcd never sends.
pub fn watch_event(event: &mvccpb::Event) -> Option<h::WatchEvent> {
    Some(h::WatchEvent {
        kind: match event.r#type() {
            mvccpb::event::EventType::Put => h::WatchEventKind::Put,
            mvccpb::event::EventType::Delete => h::WatchEventKind::Delete,
        },
        kv: key_value(event.kv.as_ref()?),
        prev_kv: event.prev_kv.as_ref().map(key_value),
    })
}

/// A key as the store holds it.
pub fn key_value(kv: &mvccpb::KeyValue) -> h::KeyValue {
    h::KeyValue {
        key: h::Bytes::from(kv.key.as_ref()),
        value: h::Bytes::from(kv.value.as_ref()),
        create_revision: h::Revision(kv.create_revision),
        mod_revision: h::Revision(kv.mod_revision),
        version: kv.version,
        lease: h::LeaseId(kv.lease),
    }
}

/// The result of a range.
pub fn range_result(response: &pb::RangeResponse) -> h::RangeResult {
    h::RangeResult {
        kvs: response.kvs.iter().map(key_value).collect(),
        count: response.count,
        more: Some(response.more),
    }
}

/// The result of a put.
pub fn put_result(response: &pb::PutResponse) -> h::PutResult {
    h::PutResult { prev_kv: response.prev_kv.as_ref().map(key_value) }
}

/// The result of a delete.
pub fn delete_range_result(response: &pb::DeleteRangeResponse) -> h::DeleteRangeResult {
    h::DeleteRangeResult {
        deleted: response.deleted,
        prev_kvs: response.prev_kvs.iter().map(key_value).collect(),
    }
}

/// The result of a transaction; `None` if a response is empty, which etcd never sends.
pub fn txn_result(response: &pb::TxnResponse) -> Option<h::TxnResult> {
    use pb::response_op::Response;
    let responses = response
        .responses
        .iter()
        .map(|op| {
            Some(match op.response.as_ref()? {
                Response::ResponseRange(op) => h::ResponseOp::Range(range_result(op)),
                Response::ResponsePut(op) => h::ResponseOp::Put(put_result(op)),
                Response::ResponseDeleteRange(op) => h::ResponseOp::DeleteRange(delete_range_result(op)),
                Response::ResponseTxn(op) => h::ResponseOp::Txn(txn_result(op)?),
            })
        })
        .collect::<Option<Vec<_>>>()?;
    Some(h::TxnResult { succeeded: response.succeeded, responses })
}
