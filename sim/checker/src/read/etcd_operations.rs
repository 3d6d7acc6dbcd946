//! `operations.json` of etcd's robustness reports: one `porcupine.Operation` a line, with the request and response
//! types of etcd's `tests/robustness/model`.
//!
//! They are mapped to our own history, to be judged in the dialect [`crate::revision::Dialect::Robustness`], whose
//! differences from etcd itself are told there. An operation's id is its place in the file, from 0. An output with an
//! `Error`, or none, is `info`: etcd's harness gives such an error where the outcome is open; its `Return` is when the
//! client gave up. `ClientError` is a certain refusal. A response that is known only in part, and a compaction, whose
//! revision these reports do not tell, are `info` too, which is sound and tells less. Values beyond 20 bytes are known
//! by their hash alone and become the value `hash:N`. Unknown fields are ignored: the format is etcd's and grows.

use std::io::BufRead;

use super::etcd_wire::{Condition, Input, Kv, Line, Output, Part, PartOutput, RangeInput, TxnInput, Value};
use crate::history::jsonl::{check_clients, check_operation};
use crate::history::lines::Lines;
use crate::history::pool::Pool;
use crate::history::{
    Bytes, Client, Compact, CompactResult, Compare, CompareResult, CompareTarget, DeleteRange,
    DeleteRangeResult, Empty, Error, ErrorKind, Header, KeyValue, LeaseGrant, LeaseGrantResult, LeaseId,
    LeaseRef, Op, OpId, OpResult, Opaque, Operation, Outcome, Put, PutResult, Range, RangeResult, ReadError,
    ReadLimits, ReadProblem, RequestOp, ResponseOp, Revision, RunHistory, Txn, TxnResult,
};

/// Reads a report's operations. `file` is for the errors.
///
/// # Errors
/// The first line that is not as it should be.
pub fn read(reader: impl BufRead, file: &str, limits: &ReadLimits) -> Result<RunHistory, ReadError> {
    let mut lines = Lines::new(reader, file, limits.line_bytes);
    let mut history = RunHistory::default();
    let mut places = Vec::new();
    let mut pool = Pool::default();
    while let Some((line, text, complete)) = lines.next_line()? {
        let at = |problem| ReadError { file: file.to_owned(), line, problem };
        if history.operations.len() == limits.operations {
            return Err(at(ReadProblem::TooManyOperations(limits.operations)));
        }
        let parsed: Line = serde_json::from_str(text).map_err(|error| {
            if error.is_eof() && !complete {
                return at(ReadProblem::CutOff);
            }
            let text = error.to_string();
            let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
            at(ReadProblem::Malformed(error.column(), what.to_owned()))
        })?;
        let id = OpId(history.operations.len() as u64);
        let mut operation = operation(id, parsed).map_err(|what| at(ReadProblem::Rule(what)))?;
        check_operation(&operation).map_err(|what| at(ReadProblem::Rule(what)))?;
        pool.share(&mut operation);
        history.operations.push(operation);
        places.push(line);
    }
    check_clients(&history.operations, &places).map_err(|(line, what)| ReadError {
        file: file.to_owned(),
        line,
        problem: ReadProblem::Rule(what),
    })?;
    Ok(history)
}

fn operation(id: OpId, line: Line) -> Result<Operation, String> {
    let Line { client_id, input, call, output, ret } = line;
    let instant = |at: i64, what: &str| {
        u64::try_from(at)
            .map_err(|_| format!("operation {id}: {what} {at} is negative: expected nanoseconds"))
    };
    let op = request(&input)?;
    let (mut outcome, mut error, mut result, mut header) = (Outcome::Info, None, None, None);
    let told = |message: &str, kind| Error { kind, code: String::new(), message: message.to_owned() };
    match output {
        None => {}
        Some(output) if !output.error.is_empty() => error = Some(told(&output.error, ErrorKind::Other)),
        Some(output) if !output.client_error.is_empty() => {
            outcome = Outcome::Fail;
            error = Some(told(&output.client_error, ErrorKind::from_message(&output.client_error)));
        }
        Some(output) if output.partial_response || output.persisted || output.revision <= 0 => {}
        Some(output) => {
            outcome = Outcome::Ok;
            header = Some(Header { revision: Revision(output.revision), ..Header::default() });
            result = Some(response(&op, output).map_err(|what| format!("operation {id}: {what}"))?);
        }
    }
    let ret = match ret {
        // Of an operation that is open for ever, etcd's reports give 0 or the largest number.
        None | Some(0 | i64::MAX) if outcome != Outcome::Ok => None,
        None => return Err(format!("operation {id} has an output and no Return")),
        Some(ret) => Some(instant(ret, "Return")?),
    };
    Ok(Operation {
        id,
        client: Client(client_id),
        endpoint: "".into(),
        call: instant(call, "Call")?,
        ret,
        op,
        outcome,
        header,
        result,
        error,
        is_final: false,
    })
}

fn request(input: &Input) -> Result<Op, String> {
    let missing = || format!("an input of type {:?} without its content", input.kind);
    Ok(match input.kind.as_str() {
        "range" => Op::Range(range(input.range.as_ref().ok_or_else(missing)?)),
        "txn" => Op::Txn(txn(input.txn.as_ref().ok_or_else(missing)?)?),
        "leaseGrant" => {
            let lease = input.lease_grant.as_ref().ok_or_else(missing)?;
            Op::LeaseGrant(LeaseGrant { id: LeaseId(lease.lease_id), ttl: 0 })
        }
        "leaseRevoke" => {
            let lease = input.lease_revoke.as_ref().ok_or_else(missing)?;
            Op::LeaseRevoke(LeaseRef { id: LeaseId(lease.lease_id) })
        }
        "compact" => {
            let compact = input.compact.as_ref().ok_or_else(missing)?;
            Op::Compact(Compact { revision: Revision(compact.revision), physical: false })
        }
        "defragment" => Op::Defragment(Opaque::default()),
        other => {
            return Err(format!(
                "unknown operation type {other:?}, expected one of range, txn, leaseGrant, leaseRevoke, compact, \
                 defragment"
            ));
        }
    })
}

fn range(range: &RangeInput) -> Range {
    Range {
        key: Bytes::from(range.start.as_str()),
        range_end: Bytes::from(range.end.as_str()),
        limit: range.limit,
        revision: Revision(range.revision),
        ..Range::default()
    }
}

fn txn(txn: &TxnInput) -> Result<Txn, String> {
    let compare = |condition: &Condition| Compare {
        key: Bytes::from(condition.key.as_str()),
        range_end: Bytes::default(),
        result: CompareResult::Equal,
        target: match condition.expected_version {
            0 => CompareTarget::Mod(Revision(condition.expected_revision)),
            version => CompareTarget::Version(version),
        },
    };
    let branch = |parts: &Option<Vec<Part>>| parts.iter().flatten().map(part).collect::<Result<Vec<_>, _>>();
    Ok(Txn {
        compares: txn.conditions.iter().flatten().map(compare).collect(),
        success: branch(&txn.operations_on_success)?,
        failure: branch(&txn.operations_on_failure)?,
    })
}

fn part(part: &Part) -> Result<RequestOp, String> {
    Ok(match part.kind.as_str() {
        "range-operation" => RequestOp::Range(range(&part.range)),
        "put-operation" => RequestOp::Put(Put {
            key: Bytes::from(part.put.key.as_str()),
            value: value(&part.put.value),
            lease: LeaseId(part.put.lease_id),
            ..Put::default()
        }),
        "delete-operation" => RequestOp::DeleteRange(DeleteRange {
            key: Bytes::from(part.delete.key.as_str()),
            ..Default::default()
        }),
        other => {
            return Err(format!(
                "unknown operation type {other:?} in a txn, expected one of range-operation, put-operation, \
                 delete-operation"
            ));
        }
    })
}

fn value(value: &Value) -> Bytes {
    match value.hash {
        0 => Bytes::from(value.value.as_str()),
        hash => Bytes::from(format!("hash:{hash}")),
    }
}

fn kvs(kvs: &Option<Vec<Kv>>) -> Vec<KeyValue> {
    let kv = |kv: &Kv| KeyValue {
        key: Bytes::from(kv.key.as_str()),
        value: value(&kv.value),
        create_revision: Revision(0),
        mod_revision: Revision(kv.mod_revision),
        version: kv.version,
        lease: LeaseId::NONE,
    };
    kvs.iter().flatten().map(kv).collect()
}

fn response(op: &Op, output: Output) -> Result<OpResult, String> {
    Ok(match op {
        Op::Range(_) => {
            let range = output.range.ok_or("an output without Range for a range")?;
            OpResult::Range(RangeResult { kvs: kvs(&range.kvs), count: range.count, more: None })
        }
        Op::Txn(txn) => {
            let answer = output.txn.ok_or("an output without Txn for a txn")?;
            let branch = if answer.failure { &txn.failure } else { &txn.success };
            let results = answer.results.unwrap_or_default();
            if results.len() != branch.len() {
                return Err(format!("{} results for {} operations", results.len(), branch.len()));
            }
            let one = |(op, result): (&RequestOp, &PartOutput)| match op {
                RequestOp::DeleteRange(_) => ResponseOp::DeleteRange(DeleteRangeResult {
                    deleted: result.deleted,
                    prev_kvs: Vec::new(),
                }),
                RequestOp::Range(_) => {
                    ResponseOp::Range(RangeResult { kvs: kvs(&result.kvs), count: result.count, more: None })
                }
                RequestOp::Put(_) | RequestOp::Txn(_) => ResponseOp::Put(PutResult::default()),
            };
            let responses = branch.iter().zip(&results).map(one).collect();
            OpResult::Txn(TxnResult { succeeded: !answer.failure, responses })
        }
        Op::LeaseGrant(grant) => OpResult::LeaseGrant(LeaseGrantResult { id: grant.id, ttl: 0 }),
        Op::LeaseRevoke(_) => OpResult::LeaseRevoke(Empty {}),
        Op::Compact(_) => OpResult::Compact(CompactResult {}),
        _ => OpResult::Empty(Empty {}),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<RunHistory, String> {
        read(text.as_bytes(), "operations.json", &ReadLimits::default()).map_err(|error| error.to_string())
    }

    const PUT: &str = r#"{"ClientId":2,"Input":{"Type":"txn","Txn":{"Conditions":[{"Key":"k","ExpectedRevision":3}],"OperationsOnSuccess":[{"Type":"put-operation","Put":{"Key":"k","Value":{"Value":"7"},"LeaseID":4}}],"OperationsOnFailure":[{"Type":"range-operation","Range":{"Start":"k"}}]}},"Call":10,"Output":{"Txn":{"Failure":true,"Results":[{"KVs":[{"Key":"k","Value":{"Hash":99},"ModRevision":2,"Version":1}],"Count":1}]},"Revision":6},"Return":20}"#;

    #[test]
    fn lines_become_operations() {
        let text = [
            PUT,
            r#"{"ClientId":1,"Input":{"Type":"leaseGrant","LeaseGrant":{"LeaseID":2}},"Call":30,"Output":{"LeaseGrant":{"LeaseID":0},"Revision":7},"Return":38}"#,
            r#"{"ClientId":1,"Input":{"Type":"compact","Compact":{"Revision":5}},"Call":40,"Output":{"ClientError":"etcdserver: mvcc: required revision is a future revision"},"Return":41}"#,
            r#"{"ClientId":1,"Input":{"Type":"defragment","Defragment":{}},"Call":50,"Output":{"Error":"EOF"},"Return":0}"#,
        ]
        .join("\n");
        let operations = read_text(&text).unwrap().operations;
        let Some(OpResult::Txn(result)) = &operations[0].result else { panic!("{:?}", operations[0]) };
        let ResponseOp::Range(answer) = &result.responses[0] else { panic!("{result:?}") };
        assert!(!result.succeeded);
        assert_eq!(answer.kvs[0].value, Bytes::from("hash:99"));
        assert_eq!(
            operations[1].result,
            Some(OpResult::LeaseGrant(LeaseGrantResult { id: LeaseId(2), ttl: 0 }))
        );
        assert_eq!(operations[2].fact(), Some(ErrorKind::FutureRevision));
        assert_eq!((operations[3].outcome, operations[3].ret), (Outcome::Info, None));
    }

    #[test]
    fn bad_lines_are_refused_with_their_place() {
        let cases = [
            (
                PUT.replace("\"txn\"", "\"tnx\""),
                "operations.json:1: unknown operation type \"tnx\", expected one of range,",
            ),
            (PUT.replace("put-operation", "putt"), "unknown operation type \"putt\" in a txn"),
            (PUT.replace("\"Return\":20", "\"Return\":5"), "operation 0 returns at 5, before its call at 10"),
            (PUT.replace("\"Call\":10", "\"Call\":-1"), "Call -1 is negative"),
            (
                PUT.replace("\"Txn\":{\"Failure\"", "\"Tx\":{\"Failure\""),
                "operation 0: an output without Txn for a txn",
            ),
            (PUT.replace("\"Results\":[", "\"Results\":[{},"), "operation 0: 2 results for 1 operations"),
            (PUT[..60].to_owned(), "operations.json:1: the file ends in the middle of this line"),
            (
                format!("{PUT}\n{PUT}"),
                "operations.json:2: client 2 calls operation 1 while its operation 0 is open",
            ),
        ];
        for (text, expected) in cases {
            let error = read_text(&text).unwrap_err();
            assert!(error.contains(expected), "{error}\nshould contain: {expected}");
        }
    }
}
