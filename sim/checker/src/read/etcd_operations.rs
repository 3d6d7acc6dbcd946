//! `operations.json` of etcd's robustness reports: `porcupine.Operation`s, with the request and response types of
//! etcd's `tests/robustness/model`, as a stream of JSON objects in any layout. A report has one such file for each
//! client, on one clock; only all of them together are a history.
//!
//! They are mapped to our own history, to be judged in the dialect [`crate::revision::Dialect::Robustness`], which
//! explains its differences from etcd itself. An operation's id is its place in the report, from 0.
//!
//! - An output with an `Error`, or none, is `info`: etcd's harness gives such an error where the outcome is open. Its
//!   `Return` is when the client gave up, or a second after the end of all, or -1; the same client may go on meanwhile.
//! - `ClientError` is a certain refusal.
//! - A response that is known only in part (`Persisted`, `PartialResponse`), and one without a revision (a
//!   defragmentation, a read at an old revision), are `info` too, which is sound and tells less.
//! - A compaction is answered without a revision; it gets the least one that it can have ([`super::etcd_compactions`]).
//! - A request with an option that is not known here is `info`: what it asked is not certain ([`Unknown`]).
//! - Values of 20 bytes and more are known by their hash alone and become the value `hash:N`.

use std::io::BufRead;

use super::etcd_compactions;
use super::etcd_wire::{
    Condition, Input, Kv, Line, Output, Part, PartOutput, PutInput, RangeInput, TxnInput, line, value,
};
use super::json_values::JsonValues;
use crate::history::Pool;
use crate::history::jsonl::{check_operation, one_at_a_time};
use crate::history::{
    Bytes, Client, Compact, CompactResult, Compare, CompareResult, CompareTarget, DeleteRange,
    DeleteRangeResult, Empty, Error, ErrorKind, Header, KeyValue, LeaseGrant, LeaseGrantResult, LeaseId,
    LeaseRef, Op, OpId, OpResult, Opaque, Operation, Outcome, Put, PutResult, Range, RangeResult, ReadError,
    ReadLimits, ReadProblem, RequestOp, ResponseOp, Revision, RunHistory, Txn, TxnResult, WatchEvent,
    WatchEventKind, WatchLine,
};

/// The operations of a report, and the options in them that are not known.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The operations of all files that were read.
    pub history: RunHistory,
    /// The options that are not known here, in the order in which they were met.
    pub unknown: Vec<Unknown>,
    /// What is known of who made which revision beside the answers: requests that the report knows to be persisted at
    /// a revision. Hints, not to be trusted.
    pub hints: Vec<WatchLine>,
    /// The compactions that are answered without a revision, by their places in the history.
    unplaced: Vec<usize>,
    /// The line of each operation of the file that is read.
    lines: Vec<u64>,
    pool: Pool,
}

/// A field of a request that is set and not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The operation.
    pub operation: OpId,
    /// The file.
    pub file: String,
    /// The line at which its record begins.
    pub line: u64,
    /// The field, such as `Input.Range.Serializable`.
    pub field: String,
    /// Whether the request may change the store: what it changed is then not certain.
    pub write: bool,
}

/// Reads a report that is one file. `file` is for the errors.
///
/// # Errors
/// The first record that is not as it should be.
pub fn read(reader: impl BufRead, file: &str, limits: &ReadLimits) -> Result<RunHistory, ReadError> {
    let mut report = Report::default();
    report.read(reader, file, limits)?;
    report.place_compactions();
    Ok(report.history)
}

impl Report {
    /// Gives the compactions their revisions, once all files are read. Returns how many there are.
    pub fn place_compactions(&mut self) -> usize {
        etcd_compactions::place(&mut self.history.operations, &self.unplaced);
        self.unplaced.len()
    }

    /// Reads one more file of the report. [`Report::place_compactions`] must follow the last one.
    ///
    /// # Errors
    /// The first record that is not as it should be.
    pub fn read(&mut self, reader: impl BufRead, file: &str, limits: &ReadLimits) -> Result<(), ReadError> {
        let mut values = JsonValues::new(reader, file, limits.line_bytes);
        let first = self.history.operations.len();
        self.lines.clear();
        while let Some(text) = values.next_object()? {
            let parsed = line(text);
            if self.history.operations.len() == limits.operations {
                return Err(values.error(values.line(), ReadProblem::TooManyOperations(limits.operations)));
            }
            let (parsed, unknown) = parsed.map_err(|error| values.malformed(&error))?;
            let persisted = parsed
                .output
                .as_ref()
                .filter(|output| output.persisted)
                .map(|output| output.persisted_revision);
            let id = OpId(self.history.operations.len() as u64);
            let without_revision = parsed.output.as_ref().is_none_or(|output| output.revision <= 0);
            let mut operation = operation(id, parsed, &unknown).map_err(|what| values.rule(what))?;
            check_operation(&operation).map_err(|what| values.rule(what))?;
            if without_revision && operation.is_ok() {
                self.unplaced.push(self.history.operations.len());
            }
            self.pool.share(&mut operation);
            let write = operation.op.may_change();
            self.unknown.extend(unknown.into_iter().map(|field| Unknown {
                operation: id,
                file: file.to_owned(),
                line: values.line(),
                field,
                write,
            }));
            self.hints.extend(
                persisted.filter(|revision| *revision > 0).and_then(|at| hint(&operation, Revision(at))),
            );
            self.history.operations.push(operation);
            self.lines.push(values.line());
        }
        // Operations that the client gave up do not count.
        let counts = |operation: &Operation| operation.outcome != Outcome::Info;
        one_at_a_time(&self.history.operations[first..], &self.lines, counts)
            .map_err(|(line, what)| values.error(line, ReadProblem::Rule(what)))
    }
}

/// What a request that was persisted at a revision wrote there, if that is certain: it has no condition.
fn hint(operation: &Operation, revision: Revision) -> Option<WatchLine> {
    let Op::Txn(txn) = &operation.op else { return None };
    let puts = txn.success.iter().filter_map(|part| match part {
        RequestOp::Put(put) if put.lease.is_none() => Some(WatchEvent {
            kind: WatchEventKind::Put,
            kv: KeyValue {
                key: put.key.clone(),
                value: put.value.clone(),
                mod_revision: revision,
                ..KeyValue::default()
            },
            prev_kv: None,
        }),
        _ => None,
    });
    let events: Vec<WatchEvent> = if txn.compares.is_empty() { puts.collect() } else { Vec::new() };
    let client = Client(u64::MAX);
    (!events.is_empty()).then(|| WatchLine {
        at: operation.call,
        client,
        revision,
        events,
        ..WatchLine::default()
    })
}

fn operation(id: OpId, line: Line, unknown: &[String]) -> Result<Operation, String> {
    let Line { client_id, input, call, output, ret } = line;
    let instant = |at: i64, what: &str| {
        u64::try_from(at)
            .map_err(|_| format!("operation {id}: {what} {at} is negative: expected nanoseconds"))
    };
    let op = request(&input)?;
    let is_compaction = matches!(op, Op::Compact(_));
    let returns = ret.is_some_and(|ret| ret > 0 && ret != i64::MAX);
    let (mut outcome, mut error, mut result, mut header) = (Outcome::Info, None, None, None);
    let told = |message: &str, kind| Error { kind, code: String::new(), message: message.to_owned() };
    match output {
        _ if !unknown.is_empty() => {
            error = Some(told(&format!("unknown option {}", unknown.join(", ")), ErrorKind::Other));
        }
        None => {}
        Some(output) if !output.error.is_empty() => error = Some(told(&output.error, ErrorKind::Other)),
        Some(output) if output.err.is_some() => error = Some(told("an error", ErrorKind::Other)),
        Some(output) if !output.client_error.is_empty() => {
            outcome = Outcome::Fail;
            error = Some(told(&output.client_error, refusal(&output.client_error)));
        }
        Some(output)
            if output.partial_response
                || output.result_unknown
                || output.persisted
                || output.revision <= 0 && !(is_compaction && output.compact.is_some() && returns) => {}
        Some(output) => {
            outcome = Outcome::Ok;
            header = Some(Header { revision: Revision(output.revision), ..Header::default() });
            result = Some(response(&op, output).map_err(|what| format!("operation {id}: {what}"))?);
        }
    }
    let ret = match ret {
        // For an operation that never returned, etcd's reports have -1, 0 or the largest number.
        None | Some(-1 | 0 | i64::MAX) if outcome != Outcome::Ok => None,
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
        caller: None,
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
    let end = match range.with_prefix && range.end.is_empty() {
        true => prefix_end(range.start.as_bytes()),
        false => Bytes::from(range.end.as_str()),
    };
    Range {
        key: Bytes::from(range.start.as_str()),
        range_end: end,
        limit: range.limit,
        revision: Revision(range.revision),
        keys_only: range.keys_only,
        ..Range::default()
    }
}

/// One past the last key that has the prefix: the last byte that can be raised is, and what follows it goes. A prefix
/// that has no such byte, and the empty one, have every key from there on, for which a zero byte stands.
fn prefix_end(prefix: &[u8]) -> Bytes {
    let end = match prefix.iter().rposition(|&byte| byte < 0xff) {
        Some(last) => [&prefix[..last], &[prefix[last] + 1]].concat(),
        None => vec![0],
    };
    Bytes::from(end)
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
        // An empty key asks for nothing, so where it is empty the operation is of the flat form.
        "range" | "range-operation" if part.range.start.is_empty() && part.range.end.is_empty() => {
            RequestOp::Range(range(&RangeInput {
                start: part.key.clone(),
                with_prefix: part.with_prefix,
                limit: part.limit,
                ..RangeInput::default()
            }))
        }
        "range" | "range-operation" => RequestOp::Range(range(&part.range)),
        "put" | "put-operation" if part.put.key.is_empty() => {
            put(&PutInput { key: part.key.clone(), value: part.value.clone(), lease_id: part.lease_id })
        }
        "put" | "put-operation" => put(&part.put),
        "delete" | "delete-operation" => {
            let key = if part.delete.key.is_empty() { &part.key } else { &part.delete.key };
            RequestOp::DeleteRange(DeleteRange { key: Bytes::from(key.as_str()), ..Default::default() })
        }
        other => {
            return Err(format!(
                "unknown operation type {other:?} in a txn, expected one of range-operation, put-operation, \
                 delete-operation"
            ));
        }
    })
}

fn put(put: &PutInput) -> RequestOp {
    RequestOp::Put(Put {
        key: Bytes::from(put.key.as_str()),
        value: value(&put.value),
        lease: LeaseId(put.lease_id),
        ..Put::default()
    })
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

/// What a certain refusal says. This dialect has no rules about which leases exist: etcd's model lets a put with any lease
/// pass. So a refusal for a lease says nothing.
fn refusal(message: &str) -> ErrorKind {
    match ErrorKind::from_message(message) {
        ErrorKind::LeaseNotFound | ErrorKind::LeaseExists => ErrorKind::Other,
        kind => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<RunHistory, String> {
        read(text.as_bytes(), "operations.json", &ReadLimits::default()).map_err(|error| error.to_string())
    }

    const PUT: &str = r#"{"ClientId":2,"Input":{"Type":"txn","Txn":{"Conditions":[{"Key":"k","ExpectedRevision":3}],"OperationsOnSuccess":[{"Type":"put-operation","Put":{"Key":"k","Value":{"Value":"7"},"LeaseID":4}}],"OperationsOnFailure":[{"Type":"range-operation","Range":{"Start":"k"}}]}},"Call":10,"Output":{"Txn":{"Failure":true,"Results":[{"KVs":[{"Key":"k","Value":{"Hash":99},"ModRevision":2,"Version":1}],"Count":1}]},"Revision":6},"Return":20}"#;

    #[test]
    fn a_refusal_for_a_lease_says_nothing() {
        let text = r#"{"ClientId":1,"Input":{"Type":"txn","Txn":{"OperationsOnSuccess":[{"Type":"put-operation","Put":{"Key":"a","Value":{"Value":"7"},"LeaseID":4}}]}},"Call":10,"Output":{"ClientError":"etcdserver: requested lease not found"},"Return":20}"#;
        let operations = read_text(text).unwrap().operations;
        assert_eq!((operations[0].outcome, operations[0].fact()), (Outcome::Fail, None));
    }

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
        assert_eq!(answer.kvs[0].value, Bytes::from(&b"\xffhash:99"[..]));
        assert_eq!(
            operations[1].result,
            Some(OpResult::LeaseGrant(LeaseGrantResult { id: LeaseId(2), ttl: 0 }))
        );
        assert_eq!(operations[2].fact(), Some(ErrorKind::FutureRevision));
        assert_eq!((operations[3].outcome, operations[3].ret), (Outcome::Info, None));
    }

    #[test]
    fn a_report_is_the_same_in_any_layout() {
        let lines = format!("{PUT}\n{}\n", PUT.replace("\"ClientId\":2", "\"ClientId\":3"));
        let values: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let indented: Vec<String> =
            values.iter().map(|value| serde_json::to_string_pretty(value).unwrap()).collect();
        let expected = read_text(&lines).unwrap();
        for layout in [
            indented.join("\n"),
            indented.join(""),
            serde_json::to_string(&values).unwrap(),
            serde_json::to_string_pretty(&values).unwrap(),
        ] {
            assert_eq!(read_text(&layout).unwrap(), expected, "{layout}");
        }
    }

    #[test]
    fn a_value_is_known_by_its_hash_from_20_bytes_on() {
        use super::super::etcd_wire::{Value, fnv_1a};
        assert_eq!(fnv_1a(b""), 0x811c_9dc5);
        assert_eq!(fnv_1a(b"a"), 0xe40c_292c);
        assert_eq!(fnv_1a(b"foobar"), 0xbf9c_f968);
        let of = |text: &str, hash| value(&Value { value: text.to_owned(), hash });
        assert_eq!(of("1234567890123456789", 0), Bytes::from("1234567890123456789"));
        assert_eq!(of("12345678901234567890", 0), of("", fnv_1a(b"12345678901234567890")));
    }

    #[test]
    fn the_flat_operations_of_the_oldest_reports_are_read() {
        let flat = r#"{"ClientId":1,"Input":{"Type":"txn","LeaseGrant":null,"LeaseRevoke":null,"Txn":{"Conditions":null,"OperationsOnSuccess":[{"Type":"put","Key":"k","WithPrefix":false,"Limit":0,"Value":{"Value":"7","Hash":0},"LeaseID":4},{"Type":"range","Key":"k","WithPrefix":true,"Limit":2,"Value":{"Value":"","Hash":0},"LeaseID":0},{"Type":"delete","Key":"d"}],"OperationsOnFailure":null},"Defragment":null},"Call":1,"Output":{"Err":null,"Revision":2,"Txn":{"Failure":false,"Results":[{},{"KVs":[{"Key":"k","Value":{"Value":"7","Hash":0},"ModRevision":2}],"Count":1},{"Deleted":0}]},"ResultUnknown":false},"Return":2}"#;
        let history = read_text(flat).unwrap();
        let Op::Txn(txn) = &history.operations[0].op else { panic!() };
        let put = Put { key: "k".into(), value: "7".into(), lease: LeaseId(4), ..Put::default() };
        let range = Range { key: "k".into(), range_end: "l".into(), limit: 2, ..Range::default() };
        let delete = DeleteRange { key: "d".into(), ..DeleteRange::default() };
        assert_eq!(
            txn.success,
            [RequestOp::Put(put), RequestOp::Range(range), RequestOp::DeleteRange(delete)]
        );
        assert!(history.operations[0].is_ok());
        for doubt in ["\"Err\":{}", "\"Err\":null,\"ResultUnknown\":true,\"x\":1"] {
            let text = flat.replace("\"Err\":null", doubt).replace(",\"ResultUnknown\":false", "");
            assert_eq!(read_text(&text).unwrap().operations[0].outcome, Outcome::Info, "{doubt}");
        }
        assert_eq!(prefix_end(b"a\xff"), Bytes::from(&b"b"[..]));
        assert_eq!(prefix_end(b""), Bytes::from(&b"\0"[..]));
    }

    #[test]
    fn an_option_that_is_not_known_makes_the_operation_ambiguous() {
        let cases = [
            (
                "\"LeaseID\":4",
                "\"LeaseID\":4,\"IgnoreValue\":true",
                "Input.Txn.OperationsOnSuccess.Put.IgnoreValue",
                true,
            ),
            (
                "\"Start\":\"k\"",
                "\"Start\":\"k\",\"Sort\":{\"Order\":1}",
                "Input.Txn.OperationsOnFailure.Range.Sort",
                true,
            ),
            ("\"Type\":\"txn\"", "\"Type\":\"txn\",\"Auth\":\"root\"", "Input.Auth", true),
            (
                "\"ExpectedRevision\":3",
                "\"ExpectedRevision\":3,\"Greater\":1",
                "Input.Txn.Conditions.Greater",
                true,
            ),
        ];
        for (from, to, field, write) in cases {
            let mut report = Report::default();
            report.read(PUT.replace(from, to).as_bytes(), "f", &ReadLimits::default()).unwrap();
            assert_eq!(report.history.operations[0].outcome, Outcome::Info, "{field}");
            let unknown =
                Unknown { operation: OpId(0), file: "f".to_owned(), line: 1, field: field.to_owned(), write };
            assert_eq!(report.unknown, [unknown]);
        }
        // An unset field asks for nothing, and an unknown field in an output is only more information.
        for (from, to) in [
            ("\"LeaseID\":4", "\"LeaseID\":4,\"IgnoreValue\":false,\"More\":{\"Deep\":[0,\"\",null]}"),
            ("\"Revision\":6", "\"Revision\":6,\"Novel\":true"),
        ] {
            let mut report = Report::default();
            report.read(PUT.replace(from, to).as_bytes(), "f", &ReadLimits::default()).unwrap();
            assert!(report.history.operations[0].is_ok() && report.unknown.is_empty(), "{to}");
        }
        let broken = PUT.replace("\"LeaseID\":4", "\"Novel\":1,\"LeaseID\":\"four\"");
        assert!(read_text(&broken).is_err());
    }

    #[test]
    fn a_client_goes_on_after_what_it_gave_up() {
        let gave_up = |ret: &str| {
            let failed = PUT
                .replace("\"Return\":20", &format!("\"Return\":{ret}"))
                .replace("\"Output\":{", "\"Output\":{\"Error\":\"EOF\",");
            format!("{failed}\n{}", PUT.replace("\"Call\":10", "\"Call\":12"))
        };
        for (ret, expected) in
            [("-1", None), ("0", None), ("9223372036854775807", None), ("1000000000", Some(1_000_000_000))]
        {
            let operations = read_text(&gave_up(ret)).unwrap().operations;
            assert_eq!((operations[0].ret, operations[1].ret), (expected, Some(20)));
        }
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
            (
                PUT[..60].to_owned(),
                "operations.json:1: the file ends in the middle of the object that begins in line 1",
            ),
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
