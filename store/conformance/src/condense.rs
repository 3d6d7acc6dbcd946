//! Texts of messages, short enough for a recording and still readable. Fields with their default value are left out, as
//! in protobuf. A long line is cut, and a hash of the whole line is added, so that different texts stay different.

use std::fmt;

use sha2::{Digest, Sha256};
use squall_store::proto::mvccpb::Event;

use crate::neutral::{CLUSTER, MEMBERS};

/// The number of characters above which a line is cut.
const LONGEST: usize = 160;
/// The number of characters that a cut line keeps.
const KEPT: usize = 48;
/// Deeper levels are not indented further.
const DEEPEST: usize = 8;
/// The stand-ins of the server itself and of its cluster. Nearly every answer has them, so they are shortened.
const OWN: [u64; 2] = [MEMBERS, CLUSTER];

/// The short text of a message.
pub fn message(message: &impl fmt::Debug) -> String {
    text(&format!("{message:#?}"))
}

/// The short texts of changes.
pub fn messages<'a>(changes: impl IntoIterator<Item = &'a Event>) -> Vec<String> {
    changes.into_iter().map(message).collect()
}

/// The short text of messages in their pretty form (`{:#?}`): one line for each field, and one for each message that
/// contains no other.
pub fn text(pretty: &str) -> String {
    let lines = join_messages(&join_wrappers(&short_lines(pretty)));
    let indented = lines.iter().map(|(depth, bare)| format!("{}{bare}", " ".repeat((*depth).min(DEEPEST))));
    indented.collect::<Vec<_>>().join("\n")
}

/// The lines without a default value, each with its depth, and cut if it is long.
fn short_lines(pretty: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    for line in pretty.lines() {
        let bare = line.trim_start();
        if holds_default(bare) {
            continue;
        }
        let depth = (line.len() - bare.len()) / 4;
        let text = if bare.chars().count() > LONGEST {
            let kept: String = bare.chars().take(KEPT).collect();
            format!("{kept}… ({} bytes, {})", bare.len(), hash(bare))
        } else {
            OWN.iter().fold(bare.to_owned(), |text, id| text.replace(&id.to_string(), "own"))
        };
        lines.push((depth, text));
    }
    lines
}

/// Puts `Some(`, the variant of a `oneof` and the message in it on one line, and their ends too.
fn join_wrappers(lines: &[(usize, String)]) -> Vec<(usize, String)> {
    let mut joined: Vec<(usize, String)> = Vec::new();
    for (depth, line) in lines {
        match joined.last_mut() {
            Some((_, before)) if before.ends_with('(') && line.ends_with(['(', '{', '[']) => {
                before.push_str(line)
            }
            Some((_, before)) if line.starts_with(')') && before.ends_with(',') => {
                *before = before.trim_end_matches(',').to_owned() + line;
            }
            _ => joined.push((*depth, line.clone())),
        }
    }
    joined
}

/// Puts each message that contains no other on one line.
fn join_messages(lines: &[(usize, String)]) -> Vec<(usize, String)> {
    let mut joined: Vec<(usize, String)> = Vec::new();
    // The first line of the innermost open message, if it contains no other so far.
    let mut open = None;
    for (depth, line) in lines {
        if line.starts_with(['}', ']'])
            && let Some(at) = open.take()
        {
            let inside: Vec<(usize, String)> = joined.drain(at..).collect();
            let fields: Vec<&str> = inside.iter().map(|(_, text)| text.as_str()).collect();
            let whole = fields.join(" ").trim_end_matches(',').to_owned() + " " + line;
            joined.push((inside[0].0, whole));
            continue;
        }
        if line.ends_with('{') {
            open = Some(joined.len());
        } else if line.ends_with(['[', '(']) || line.starts_with(['}', ']', ')']) {
            open = None;
        }
        joined.push((*depth, line.clone()));
    }
    joined
}

/// Whether a line is a field with its default value.
fn holds_default(bare: &str) -> bool {
    let Some((name, value)) = bare.split_once(": ") else { return false };
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '#');
    is_name && matches!(value, "0," | "false," | "\"\"," | "b\"\"," | "[]," | "None,")
}

/// A hash of a text, as eight hexadecimal digits.
pub fn hash(text: &str) -> String {
    Sha256::digest(text)[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use squall_store::proto::{
        etcdserverpb::{PutResponse, ResponseHeader},
        mvccpb::KeyValue,
    };

    use super::*;

    fn response(value: &[u8]) -> PutResponse {
        let header = ResponseHeader { revision: 7, member_id: MEMBERS, ..Default::default() };
        let kv = KeyValue { key: "k".into(), value: value.to_vec().into(), ..Default::default() };
        PutResponse { header: Some(header), prev_kv: Some(kv) }
    }

    #[test]
    fn a_message_is_told_without_its_defaults() {
        let told = message(&response(b"v"));
        let lines = [
            "PutResponse {",
            " header: Some(ResponseHeader { member_id: own, revision: 7 }),",
            " prev_kv: Some(KeyValue { key: b\"k\", value: b\"v\" }),",
            "}",
        ];
        assert_eq!(told.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn long_values_that_differ_at_their_end_still_do() {
        let (mut one, mut other) = (vec![b'v'; 5_000], vec![b'v'; 5_000]);
        (one[4_999], other[4_999]) = (b'1', b'2');
        let (one, other) = (message(&response(&one)), message(&response(&other)));
        assert!(one.len() < 300, "{one}");
        assert_ne!(one, other);
    }
}
