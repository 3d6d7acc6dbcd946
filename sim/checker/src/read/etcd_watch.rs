//! `watch.json` of etcd's robustness reports: what a client's watches received, as a stream of JSON objects.
//!
//! An event shows which value a key got at which revision, and so which of several writes without an answer made that
//! revision. Only this is used, as a hint that the judge does not trust. The watches themselves are not judged here.

use std::io::BufRead;

use serde::Deserialize;

use super::etcd_wire::{Value, value};
use super::json_values::JsonValues;
use crate::history::{
    Bytes, Client, KeyValue, ReadError, ReadLimits, ReadProblem, Revision, WatchEvent, WatchEventKind,
    WatchLine,
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Operation {
    responses: Option<Vec<Response>>,
    // The oldest reports have the responses alone.
    events: Option<Vec<Event>>,
    time: u64,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Response {
    events: Option<Vec<Event>>,
    time: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    #[serde(rename = "Type")]
    kind: String,
    key: String,
    #[serde(default)]
    value: Value,
    revision: i64,
}

/// Reads the events of one file. `file` is for the errors.
///
/// # Errors
/// The first object that is not as it should be.
pub fn read(reader: impl BufRead, file: &str, limits: &ReadLimits) -> Result<Vec<WatchLine>, ReadError> {
    let mut values = JsonValues::new(reader, file, limits.line_bytes);
    let mut lines: Vec<WatchLine> = Vec::new();
    while let Some(text) = values.next_object()? {
        let parsed: Result<Operation, _> = serde_json::from_str(text);
        let operation = parsed.map_err(|error| values.malformed(&error))?;
        let alone = operation.events.map(|events| Response { events: Some(events), time: operation.time });
        for response in operation.responses.into_iter().flatten().chain(alone) {
            if lines.len() == limits.operations {
                return Err(values.error(values.line(), ReadProblem::TooManyOperations(limits.operations)));
            }
            let events: Vec<WatchEvent> = response.events.into_iter().flatten().filter_map(event).collect();
            // A response without events, a bookmark, says nothing about who wrote what.
            let Some(last) = events.iter().map(|event| event.kv.mod_revision).max() else { continue };
            lines.push(WatchLine {
                at: response.time,
                client: Client(u64::MAX),
                revision: last,
                events,
                ..WatchLine::default()
            });
        }
    }
    Ok(lines)
}

fn event(event: Event) -> Option<WatchEvent> {
    let kind = match event.kind.as_str() {
        "put" | "put-operation" => WatchEventKind::Put,
        "delete" | "delete-operation" => WatchEventKind::Delete,
        _ => return None,
    };
    let value = if kind == WatchEventKind::Put { value(&event.value) } else { Bytes::default() };
    let kv = KeyValue {
        key: Bytes::from(event.key.as_str()),
        value,
        mod_revision: Revision(event.revision),
        ..KeyValue::default()
    };
    Some(WatchEvent { kind, kv, prev_kv: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_in_every_form() {
        let event = r#"{"Type":"put-operation","Key":"a","Value":{"Value":"1"},"Revision":2,"IsCreate":true,"PrevValue":null}"#;
        let deleted = r#"{"Type":"delete-operation","Key":"a","Revision":3}"#;
        let forms = [
            format!(
                r#"{{"Request":{{"Key":"a"}},"Responses":[{{"Events":[{event}],"Revision":9,"Time":7}},{{"Events":[{deleted}]}},{{"Events":null,"IsProgressNotify":true,"Revision":9}}]}}"#
            ),
            format!("{{\"Events\":[{event}],\"Revision\":2,\"Time\":7}}\n{{\n\"Events\":[{deleted}]}}"),
        ];
        for form in forms {
            let lines = read(form.as_bytes(), "f", &ReadLimits::default()).unwrap();
            let events: Vec<(WatchEventKind, i64, i64)> = lines
                .iter()
                .map(|line| (line.events[0].kind, line.events[0].kv.mod_revision.0, line.revision.0))
                .collect();
            assert_eq!(events, [(WatchEventKind::Put, 2, 2), (WatchEventKind::Delete, 3, 3)], "{form}");
            assert_eq!((lines[0].at, lines[0].events[0].kv.value.clone()), (7, Bytes::from("1")));
        }
        assert!(read(&b"{\"Events\":7}"[..], "f", &ReadLimits::default()).is_err());
    }
}
