//! Texts of messages, short enough to be kept and still read: fields that hold their default are left out, as protobuf leaves
//! them out, and a long line is cut and carries a hash of the whole. Two texts that differ still do.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::neutral::{CLUSTER, MEMBERS};

/// Longer lines are cut.
const LONGEST: usize = 160;
/// What is left of them.
const KEPT: usize = 48;
/// What is deeper is not indented more.
const DEEPEST: usize = 8;
/// The stand-ins of a server itself and of its cluster: all but every answer names them.
const OWN: [u64; 2] = [MEMBERS, CLUSTER];

/// A message, as it is kept.
pub fn message(message: &impl fmt::Debug) -> String {
    text(&format!("{message:#?}"))
}

/// The pretty form of a message, or of several, as it is kept: one line for each field, and for each message that holds no
/// other.
pub fn text(pretty: &str) -> String {
    let lines = joined(&wrapped(&short_lines(pretty)));
    let indented = lines.iter().map(|(depth, bare)| format!("{}{bare}", " ".repeat((*depth).min(DEEPEST))));
    indented.collect::<Vec<_>>().join("\n")
}

/// The lines that do not hold a default, cut where they are long, with how deep they are.
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

/// `Some(`, the variant of a `oneof` and the message in it on one line, and so their ends.
fn wrapped(lines: &[(usize, String)]) -> Vec<(usize, String)> {
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

/// Each message that holds no other on one line.
fn joined(lines: &[(usize, String)]) -> Vec<(usize, String)> {
    let mut joined: Vec<(usize, String)> = Vec::new();
    // Where the innermost message began that is still open, and holds no other.
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

/// Whether a line is a field that holds its default.
fn holds_default(bare: &str) -> bool {
    let Some((name, value)) = bare.split_once(": ") else { return false };
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '#');
    is_name && matches!(value, "0," | "false," | "\"\"," | "b\"\"," | "[]," | "None,")
}

/// Eight digits that tell texts apart.
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
