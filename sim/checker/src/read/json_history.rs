//! Jepsen's events in JSON, as elle-cli takes them: objects with `process`, `type`, `f` and `value`, in an array, on a
//! line each, or indented. Strings stand for keywords: `"f": "txn"`, `["r", "x", null]`.
//!
//! JSON has one kind of number: `1.0` is `1` here, as it is for the tools that write such files. Integers keep all their
//! digits.

use std::{borrow::Cow, fmt, io::BufRead};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
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
        let parsed: Result<Entries, _> = serde_json::from_str(&with_long_integers_as_text(text));
        let Entries(entries) = parsed.map_err(|error| values.malformed(&error))?;
        let entries = entries.into_iter().map(|(name, value)| (Edn::Str(name), edn(value))).collect();
        match Fields::of_map(entries).event(values.line()) {
            Ok(event) => pairing.event(event)?,
            Err(what) => return Err(values.rule(what)),
        }
    }
    pairing.finish()
}

/// An object's entries, in their order. A key that stands twice is refused.
struct Entries(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries: Vec<(String, Json)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            if entries.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom(format!("the key `{name}` stands here for the second time")));
            }
            entries.push((name, value));
        }
        Ok(Entries(entries))
    }
}

/// Marks a string that stands for an integer, in the text that [`with_long_integers_as_text`] makes.
const LONG_INTEGER: char = '\u{F8FF}';

/// The least number of digits of an integer that may be beyond 64 bits.
const LONG_DIGITS: usize = 19;

/// Replaces long integers by marked strings: the JSON parser would round those beyond 64 bits, so that different ones become
/// equal.
fn with_long_integers_as_text(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = after_string(bytes, at),
            b'-' | b'0'..=b'9' => {
                let from = at;
                let is_of_number = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                at += bytes[at..].iter().take_while(|byte| is_of_number(byte)).count();
                let digits = json[from..at].strip_prefix('-').unwrap_or(&json[from..at]);
                let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
                if is_integer && digits.len() >= LONG_DIGITS {
                    out.push_str(&json[copied..from]);
                    out.extend(['"', LONG_INTEGER]);
                    out.push_str(&json[from..at]);
                    out.push('"');
                    copied = at;
                }
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

/// The place after the string that begins at `from`.
fn after_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
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
        Json::String(text) => match text.strip_prefix(LONG_INTEGER) {
            Some(digits) => digits.parse().map_or_else(|_| Edn::Number(digits.to_owned()), Edn::Int),
            None => Edn::Str(text),
        },
        Json::Array(values) => Edn::Seq(values.into_iter().map(edn).collect()),
        Json::Object(entries) => {
            Edn::Map(entries.into_iter().map(|(name, value)| (Edn::Str(name), edn(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_integers_keep_their_digits() {
        let cases = [
            ("[1, 18]", None),
            ("100000000000000000001", Some("\"\u{F8FF}100000000000000000001\"")),
            ("[-100000000000000000001,2]", Some("[\"\u{F8FF}-100000000000000000001\",2]")),
            // Floats, and digits in strings, stay.
            ("1000000000000000000000e3", None),
            ("1000000000000000000000.5", None),
            (r#"{"a\"100000000000000000001": 5}"#, None),
        ];
        for (json, changed) in cases {
            assert_eq!(with_long_integers_as_text(json), changed.unwrap_or(json), "{json}");
        }
        let value = |json: &str| edn(serde_json::from_str(&with_long_integers_as_text(json)).unwrap());
        assert_eq!(value("9223372036854775807"), Edn::Int(i64::MAX));
        assert_eq!(value("9223372036854775808"), Edn::Number("9223372036854775808".into()));
        assert_ne!(value("100000000000000000000"), value("100000000000000000001"));
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        let text = r#"{"process": 0, "type": "invoke", "f": "read", "value": 1, "value": 2}"#;
        let refused = read(text.as_bytes(), "x.json", &ReadLimits::default()).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("the key `value` stands here for the second time"), "{refused}");
    }
}
