//! The request and response types of etcd's `tests/robustness/model`, as they are written to `operations.json`.
//!
//! The format is etcd's, and it grows. An unknown field of an output is only more information, and is ignored. An unknown
//! field of an input may change the request, so it must not be ignored: the input's types refuse unknown fields, and
//! [`line()`] then finds out which they are. A field that is unset (null, false, 0, empty) asks for nothing.
//!
//! Until 2023 an operation of a transaction was flat, `{"Type":"put","Key":...,"Value":...,"LeaseID":...}`, and a range
//! had `WithPrefix` for an end; both are read.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use crate::history::Bytes;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Line {
    #[serde(alias = "ClientID")]
    pub(super) client_id: u64,
    pub(super) input: Input,
    pub(super) call: i64,
    #[serde(default)]
    pub(super) output: Option<Output>,
    #[serde(default, rename = "Return")]
    pub(super) ret: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Input {
    #[serde(rename = "Type")]
    pub(super) kind: String,
    pub(super) range: Option<RangeInput>,
    pub(super) txn: Option<TxnInput>,
    pub(super) lease_grant: Option<LeaseInput>,
    pub(super) lease_revoke: Option<LeaseInput>,
    pub(super) compact: Option<CompactInput>,
    #[serde(default, rename = "Defragment")]
    _defragment: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct RangeInput {
    #[serde(alias = "Key")]
    pub(super) start: String,
    pub(super) end: String,
    pub(super) with_prefix: bool,
    pub(super) limit: i64,
    pub(super) keys_only: bool,
    pub(super) revision: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct LeaseInput {
    #[serde(rename = "LeaseID")]
    pub(super) lease_id: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct CompactInput {
    pub(super) revision: i64,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct TxnInput {
    pub(super) conditions: Option<Vec<Condition>>,
    pub(super) operations_on_success: Option<Vec<Part>>,
    pub(super) operations_on_failure: Option<Vec<Part>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Condition {
    pub(super) key: String,
    pub(super) expected_revision: i64,
    pub(super) expected_version: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Part {
    #[serde(rename = "Type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) range: RangeInput,
    #[serde(default)]
    pub(super) put: PutInput,
    #[serde(default)]
    pub(super) delete: DeleteInput,
    // The flat form.
    #[serde(default)]
    pub(super) key: String,
    #[serde(default)]
    pub(super) with_prefix: bool,
    #[serde(default)]
    pub(super) limit: i64,
    #[serde(default)]
    pub(super) value: Value,
    #[serde(default, rename = "LeaseID")]
    pub(super) lease_id: i64,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct PutInput {
    pub(super) key: String,
    pub(super) value: Value,
    #[serde(rename = "LeaseID")]
    pub(super) lease_id: i64,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct DeleteInput {
    pub(super) key: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Value {
    pub(super) value: String,
    pub(super) hash: u32,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Output {
    pub(super) error: String,
    /// The error as the oldest reports have it: Go's interface, which JSON shows as an empty object.
    pub(super) err: Option<IgnoredAny>,
    /// Their word for a partial response.
    pub(super) result_unknown: bool,
    pub(super) client_error: String,
    pub(super) partial_response: bool,
    pub(super) persisted: bool,
    pub(super) persisted_revision: i64,
    pub(super) revision: i64,
    pub(super) range: Option<RangeOutput>,
    pub(super) txn: Option<TxnOutput>,
    pub(super) compact: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct RangeOutput {
    #[serde(rename = "KVs")]
    pub(super) kvs: Option<Vec<Kv>>,
    pub(super) count: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Kv {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: Value,
    pub(super) mod_revision: i64,
    #[serde(default)]
    pub(super) version: i64,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct TxnOutput {
    pub(super) failure: bool,
    pub(super) results: Option<Vec<PartOutput>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct PartOutput {
    #[serde(rename = "KVs")]
    pub(super) kvs: Option<Vec<Kv>>,
    pub(super) count: i64,
    pub(super) deleted: i64,
}

/// A value as it is compared.
pub(super) fn value(value: &Value) -> Bytes {
    match value.hash {
        0 if value.value.len() < HASHED_FROM => Bytes::from(value.value.as_str()),
        0 => hashed(fnv_1a(value.value.as_bytes())),
        hash => hashed(hash),
    }
}

/// A hash as a value. No text of a report is equal to it, since it is not UTF-8.
fn hashed(hash: u32) -> Bytes {
    Bytes::from([&[0xff], format!("hash:{hash}").as_bytes()].concat())
}

/// Values of so many bytes are written as their hash, except those that some transactions put.
const HASHED_FROM: usize = 20;

/// The hash of 32 bits that etcd's reports use: FNV-1a.
pub(super) fn fnv_1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A record, and the paths of the fields in its input that are set and not known here.
///
/// # Errors
/// If it is no record.
pub(super) fn line(text: &str) -> Result<(Line, Vec<String>), serde_json::Error> {
    let error = match serde_json::from_str::<Line>(text) {
        Ok(line) => return Ok((line, Vec::new())),
        Err(error) => error,
    };
    if !error.to_string().starts_with("unknown field") {
        return Err(error);
    }
    let mut record: Json = serde_json::from_str(text)?;
    let mut unknown = Vec::new();
    if let Some(input) = record.get_mut("Input") {
        strip(input, INPUT, "Input", &mut unknown);
    }
    match serde_json::from_value(record) {
        Ok(line) => Ok((line, unknown)),
        // That of the text has a place in the file.
        Err(_) => Err(serde_json::from_str::<Line>(text).err().unwrap_or(error)),
    }
}

/// A field that is known, and what is known within it.
struct Known(&'static str, &'static [Known]);

const VALUE: &[Known] = &[Known("Value", &[]), Known("Hash", &[])];
const RANGE: &[Known] = &[
    Known("Start", &[]),
    Known("Key", &[]),
    Known("End", &[]),
    Known("WithPrefix", &[]),
    Known("Limit", &[]),
    Known("KeysOnly", &[]),
    Known("Revision", &[]),
];
const LEASE: &[Known] = &[Known("LeaseID", &[])];
const PART: &[Known] = &[
    Known("Type", &[]),
    Known("Range", RANGE),
    Known("Put", &[Known("Key", &[]), Known("Value", VALUE), Known("LeaseID", &[])]),
    Known("Delete", &[Known("Key", &[])]),
    Known("Key", &[]),
    Known("WithPrefix", &[]),
    Known("Limit", &[]),
    Known("Value", VALUE),
    Known("LeaseID", &[]),
];
const INPUT: &[Known] = &[
    Known("Type", &[]),
    Known("Range", RANGE),
    Known(
        "Txn",
        &[
            Known(
                "Conditions",
                &[Known("Key", &[]), Known("ExpectedRevision", &[]), Known("ExpectedVersion", &[])],
            ),
            Known("OperationsOnSuccess", PART),
            Known("OperationsOnFailure", PART),
        ],
    ),
    Known("LeaseGrant", LEASE),
    Known("LeaseRevoke", LEASE),
    Known("Compact", &[Known("Revision", &[])]),
    Known("Defragment", &[]),
];

/// Takes unknown fields out of `value`, and notes those that are set.
fn strip(value: &mut Json, known: &[Known], path: &str, unknown: &mut Vec<String>) {
    match value {
        Json::Array(all) => all.iter_mut().for_each(|one| strip(one, known, path, unknown)),
        Json::Object(fields) => {
            fields.retain(|name, inner| match known.iter().find(|field| field.0 == name) {
                Some(field) => {
                    if !field.1.is_empty() {
                        strip(inner, field.1, &format!("{path}.{name}"), unknown);
                    }
                    true
                }
                None => {
                    if !is_unset(inner) {
                        unknown.push(format!("{path}.{name}"));
                    }
                    false
                }
            })
        }
        _ => {}
    }
}

fn is_unset(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Bool(set) => !set,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        Json::Array(all) => all.iter().all(is_unset),
        Json::Object(fields) => fields.values().all(is_unset),
    }
}
