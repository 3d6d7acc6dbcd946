//! Recognises a file's format from the keys of its first object or map, not from its first line. So indentation, arrays and
//! the order of the keys do not matter.

use super::Format;
use super::edn::{Edn, EdnReader, Token};
use super::jepsen_log;

/// How much of a file's beginning [`recognise`] should see, in bytes.
pub const RECOGNISE_BYTES: usize = 1 << 16;

/// The format of a file that begins with `head`; `None` if it looks like none of them.
pub fn recognise(head: &[u8]) -> Option<Format> {
    match look(head) {
        Look::History(format) => Some(format),
        Look::Other(_) | Look::Unknown => None,
    }
}

/// What a file is if it is no history but a known file that lies beside one; `None` if it is a history or unknown.
pub fn recognise_other(head: &[u8]) -> Option<&'static str> {
    match look(head) {
        Look::Other(what) => Some(what),
        Look::History(_) | Look::Unknown => None,
    }
}

/// Why a file cannot be read without unpacking or converting it; `None` if it may be text.
pub fn packed(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x1f, 0x8b, ..] => Some("compressed by gzip: expected text, so unpack it first"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("compressed by zstd: expected text, so unpack it first"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("text in UTF-16: expected UTF-8"),
        _ => None,
    }
}

enum Look {
    History(Format),
    Other(&'static str),
    Unknown,
}

fn look(head: &[u8]) -> Look {
    if head.starts_with(b"JEPSEN") || head.starts_with(b"\xc0\xe3") || head.starts_with(b"\xef\xe3") {
        return Look::Other(
            "Jepsen's binary form of a test: expected `history.edn`, which Jepsen writes beside it",
        );
    }
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}');
    let begins_otherwise = starts_as_data(text) || starts_with_a_title(text);
    if !begins_otherwise && text.lines().take(LOG_LINES).any(|line| jepsen_log::is_log_line(line.trim())) {
        return Look::History(Format::JepsenLog);
    }
    match json_keys(text) {
        Some(keys) if !keys.is_empty() => return of_json(&keys),
        _ => {}
    }
    edn(text)
}

/// How many lines are searched for one of a log's.
const LOG_LINES: usize = 200;

/// Whether a text begins as JSON or EDN does. A log's line can hold a map, but does not begin with one.
fn starts_as_data(text: &str) -> bool {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    first.starts_with(['{', '(']) || first.starts_with("#jepsen") || {
        // A line of a log may begin with a bracket: `[main] INFO jepsen.core - ...`.
        first.starts_with('[') && !jepsen_log::is_log_line(first)
    }
}

/// Whether a text begins with a Markdown title. A text about logs may quote whole lines of them.
fn starts_with_a_title(text: &str) -> bool {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    first.trim_start_matches('#').starts_with(' ') && first.starts_with('#')
}

fn of_json(keys: &[String]) -> Look {
    let has = |name: &str| keys.iter().any(|key| key == name);
    if has("ClientId") || has("ClientID") || has("Input") && (has("Call") || has("Output")) {
        Look::History(Format::EtcdOperations)
    } else if has("Request") && has("Responses") || has("Responses") {
        Look::Other(
            "what watches received, of an etcd report: expected its `operations.json`, or the report's folder",
        )
    } else if has("type") && (has("f") || has("process") || has("value")) {
        Look::History(Format::ElleJson)
    } else if keys.first().is_some_and(|key| crate::history::Event::KINDS.contains(&key.as_str()))
        || has("id") && (has("client") || has("op"))
    {
        Look::History(Format::Squall)
    } else {
        Look::Unknown
    }
}

/// The keys of the first JSON object, as far as it is there; `None` if the text is no JSON object or array.
fn json_keys(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\u{1e}');
    rest = rest.strip_prefix('[').map_or(rest, |rest| rest.trim_ascii_start());
    let inner = rest.strip_prefix('{')?.trim_ascii_start();
    if !inner.starts_with('"') {
        return None;
    }
    // A quote right after a key's end would be EDN: `{"a" 1}`.
    let mut keys = Vec::new();
    let (mut depth, mut key) = (1usize, true);
    let mut bytes = inner.char_indices();
    while let Some((at, found)) = bytes.next() {
        match found {
            '"' => {
                let start = at + 1;
                let mut escaped = false;
                let end = loop {
                    match bytes.next() {
                        None => return Some(keys),
                        Some(_) if escaped => escaped = false,
                        Some((_, '\\')) => escaped = true,
                        Some((end, '"')) => break end,
                        Some(_) => {}
                    }
                };
                if depth == 1 && key {
                    keys.push(inner[start..end].to_owned());
                    key = false;
                }
            }
            ',' if depth == 1 => key = true,
            '{' | '[' => depth += 1,
            '}' | ']' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    Some(keys)
}

fn edn(text: &str) -> Look {
    let trimmed = text.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    if !trimmed.starts_with(['{', '[', '(', '#', ';', '^']) {
        return Look::Unknown;
    }
    // A title of a text, `# Results`, is no tag.
    if starts_with_a_title(trimmed) || trimmed.starts_with("##") || trimmed.starts_with("#!") {
        return Look::Unknown;
    }
    let mut reader = EdnReader::new(text.as_bytes(), "", 1, text.len() + 1);
    let first = loop {
        match reader.next_opening() {
            Ok(Token::Open) => {}
            Ok(Token::Value(value)) => break Some(value),
            // An empty list, or nothing but comments.
            Ok(Token::Close) => return Look::History(Format::Edn),
            Ok(Token::End) if trimmed.starts_with([';', '[', '(']) => return Look::History(Format::Edn),
            Ok(Token::End) => return Look::Unknown,
            Err(_) => break None,
        }
    };
    match first {
        Some(Edn::Map(entries)) => {
            let has = |name: &str| {
                entries.iter().any(|(key, _)| matches!(key, Edn::Keyword(_)) && key.name() == Some(name))
            };
            if has("key") && has("type") {
                Look::History(Format::PorcupineKv)
            } else if has("type") || has("process") {
                Look::History(Format::Edn)
            } else if has("valid?") || has("checker") || has("stats") {
                Look::Other("Jepsen's results: expected `history.edn`, which lies beside them")
            } else {
                Look::Unknown
            }
        }
        Some(_) => Look::Unknown,
        // The file is cut off or broken within its first map: decide by the words in the text.
        None if text.contains(":type") || text.contains(":process") || text.contains(":invoke") => {
            Look::History(if text.contains(":key ") { Format::PorcupineKv } else { Format::Edn })
        }
        None if trimmed.len() < 32 && trimmed.starts_with(['{', '[', '(']) => Look::History(Format::Edn),
        None => Look::Unknown,
    }
}
