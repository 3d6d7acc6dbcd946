//! The request and response types of etcd's `tests/robustness/model`, as they are written to `operations.json`.

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Line {
    pub(super) client_id: u64,
    pub(super) input: Input,
    pub(super) call: i64,
    #[serde(default)]
    pub(super) output: Option<Output>,
    #[serde(default, rename = "Return")]
    pub(super) ret: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Input {
    #[serde(rename = "Type")]
    pub(super) kind: String,
    pub(super) range: Option<RangeInput>,
    pub(super) txn: Option<TxnInput>,
    pub(super) lease_grant: Option<LeaseInput>,
    pub(super) lease_revoke: Option<LeaseInput>,
    pub(super) compact: Option<CompactInput>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct RangeInput {
    pub(super) start: String,
    pub(super) end: String,
    pub(super) limit: i64,
    pub(super) revision: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LeaseInput {
    #[serde(rename = "LeaseID")]
    pub(super) lease_id: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CompactInput {
    pub(super) revision: i64,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct TxnInput {
    pub(super) conditions: Option<Vec<Condition>>,
    pub(super) operations_on_success: Option<Vec<Part>>,
    pub(super) operations_on_failure: Option<Vec<Part>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Condition {
    pub(super) key: String,
    pub(super) expected_revision: i64,
    pub(super) expected_version: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Part {
    #[serde(rename = "Type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) range: RangeInput,
    #[serde(default)]
    pub(super) put: PutInput,
    #[serde(default)]
    pub(super) delete: DeleteInput,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct PutInput {
    pub(super) key: String,
    pub(super) value: Value,
    #[serde(rename = "LeaseID")]
    pub(super) lease_id: i64,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct DeleteInput {
    pub(super) key: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Value {
    pub(super) value: String,
    pub(super) hash: u32,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Output {
    pub(super) error: String,
    pub(super) client_error: String,
    pub(super) partial_response: bool,
    pub(super) persisted: bool,
    pub(super) revision: i64,
    pub(super) range: Option<RangeOutput>,
    pub(super) txn: Option<TxnOutput>,
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
