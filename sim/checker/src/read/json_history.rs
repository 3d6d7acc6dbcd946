//! Jepsen's events in JSON, as elle-cli takes them: objects with `process`, `type`, `f` and `value`, in an array, on a
//! line each, or indented. Strings stand for keywords: `"f": "txn"`, `["r", "x", null]`.
//!
//! JSON has one kind of number: `1.0` is `1` here, as it is for the tools that write such files.

use std::io::BufRead;

use serde_json::Value as Json;

use super::edn::Edn;
use super::event::{Fields, Pairing, RawOperation};
use super::json_values::JsonValues;
use crate::history::{ReadError, ReadLimits};

pub(super) fn read(
    reader: impl BufRead,
    file: &str,
    limits: &ReadLimits,
) -> Result<Vec<RawOperation>, ReadError> {
    let mut values = JsonValues::new(reader, file, limits.line_bytes);
    let mut pairing = Pairing::new(file, limits);
    while let Some(text) = values.next_object()? {
        let parsed: Result<serde_json::Map<String, Json>, _> = serde_json::from_str(text);
        let object = parsed.map_err(|error| values.malformed(&error))?;
        let entries = object.into_iter().map(|(name, value)| (Edn::Str(name), edn(value))).collect();
        match Fields::of_map(entries).event(values.line()) {
            Ok(event) => pairing.event(event)?,
            Err(what) => return Err(values.rule(what)),
        }
    }
    pairing.finish()
}

fn edn(value: Json) -> Edn {
    match value {
        Json::Null => Edn::Nil,
        Json::Bool(value) => Edn::Bool(value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Edn::Int(whole),
            // A float without a fraction is an integer, up to the size at which floats still represent every integer.
            (None, Some(float)) if float.fract() == 0.0 && float.abs() < 9e15 => Edn::Int(float as i64),
            _ => Edn::Number(number.to_string()),
        },
        Json::String(text) => Edn::Str(text),
        Json::Array(values) => Edn::Seq(values.into_iter().map(edn).collect()),
        Json::Object(entries) => {
            Edn::Map(entries.into_iter().map(|(name, value)| (Edn::Str(name), edn(value))).collect())
        }
    }
}
