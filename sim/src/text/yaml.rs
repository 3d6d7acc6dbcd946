//! Reads YAML strictly: refuses what `serde_yaml` tolerates, and finds the places of values in the text.
//!
//! `serde_yaml` knows the place of an error that it finds while reading, but a value that was read has no place. So a
//! later check that fails reads the text again with a [`DeserializeSeed`] that follows the path to the value (`spec`,
//! `faults`, 2, `at`) and raises an error there: that error has the place.

use super::refusal::{Refusal, did_you_mean};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// One step into a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// Into a mapping.
    Key(&'a str),
    /// Into a list.
    Index(usize),
}

/// A path for people: `spec.faults[2].at`.
pub(crate) fn show(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// Reads a document into `T`, refusing duplicate keys anywhere.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Refusal> {
    if let Some(line) = nested_too_deep(text) {
        let message =
            format!("line {line}: brackets are nested more than {DEEPEST} deep; no file needs so many");
        return Err(Refusal::of(path, message));
    }
    if let Err(error) = Distinct.deserialize(serde_yaml::Deserializer::from_str(text)) {
        return Err(explain(path, text, &error));
    }
    serde_yaml::from_str(text).map_err(|error| explain(path, text, &error))
}

/// The time that the parser takes grows with the square of the depth. The count also takes brackets within texts, so it
/// lies far above what the parser itself allows (128).
const DEEPEST: i32 = 1_000;

/// The line at which brackets are nested too deep.
fn nested_too_deep(text: &str) -> Option<usize> {
    let mut depth = 0;
    let place = text.bytes().position(|byte| {
        depth += match byte {
            b'[' | b'{' => 1,
            b']' | b'}' => -1,
            _ => 0,
        };
        depth > DEEPEST
    })?;
    Some(1 + text[..place].matches('\n').count())
}

/// Line and column of the value at the end of `path`, or of the deepest part of it that the text has.
pub(crate) fn locate(text: &str, path: &[Step]) -> (usize, usize) {
    for depth in (0..=path.len()).rev() {
        let seed = Find { path: &path[..depth] };
        if let Err(error) = seed.deserialize(serde_yaml::Deserializer::from_str(text))
            && error.to_string().contains(FOUND)
            && let Some(location) = error.location()
        {
            return (location.line(), location.column());
        }
    }
    (1, 1)
}

/// The message of an error that [`Find`] raises on purpose.
const FOUND: &str = "found what was looked for";

/// Follows a path, and raises an error at its end.
struct Find<'a> {
    path: &'a [Step<'a>],
}

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

/// Scalars: either this is the end of the path, or the path leads nowhere.
macro_rules! scalar_ends {
    ($($method:ident: $type:ty),*) => {
        $(fn $method<E: Error>(self, _: $type) -> Result<(), E> {
            if self.path.is_empty() { Err(E::custom(FOUND)) } else { Ok(()) }
        })*
    };
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("anything")
    }

    scalar_ends!(visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128, visit_f64: f64, visit_str: &str);

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.path.is_empty() { Err(E::custom(FOUND)) } else { Ok(()) }
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.path.split_first() else { return Err(A::Error::custom(FOUND)) };
        let mut index = 0;
        loop {
            let more = if *step == Step::Index(index) {
                list.next_element_seed(Find { path: rest })?.is_some()
            } else {
                list.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.path.split_first() else { return Err(A::Error::custom(FOUND)) };
        while let Some(key) = map.next_key::<String>()? {
            if *step == Step::Key(&key) {
                map.next_value_seed(Find { path: rest })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Reads anything, and refuses a mapping that has a key twice.
#[derive(Clone, Copy)]
struct Distinct;

impl<'de> DeserializeSeed<'de> for Distinct {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

macro_rules! scalar_passes {
    ($($method:ident: $type:ty),*) => {
        $(fn $method<E: Error>(self, _: $type) -> Result<(), E> {
            Ok(())
        })*
    };
}

impl<'de> Visitor<'de> for Distinct {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("anything")
    }

    scalar_passes!(visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128, visit_f64: f64, visit_str: &str);

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Distinct)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while map.next_key_seed(Key { seen: &mut seen })?.is_some() {
            map.next_value_seed(Distinct)?;
        }
        Ok(())
    }
}

/// A key that its mapping must not have yet. The error is raised here so that it has the second key's own place.
struct Key<'a> {
    seen: &'a mut BTreeSet<String>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        if self.seen.insert(key.to_string()) {
            return Ok(());
        }
        Err(E::custom(format!("duplicate field `{key}`")))
    }
}

/// A reading error as a refusal: place first, then serde's message in the words of a scenario's author.
fn explain(path: &Path, document: &str, error: &serde_yaml::Error) -> Refusal {
    let text = error.to_string();
    if let Some(offset) = text.strip_prefix(CONTROL_CHARACTER).and_then(|offset| offset.parse().ok()) {
        return control_character(path, document, offset);
    }
    let Some(location) = error.location() else {
        let message = match text.as_str() {
            "deserializing from YAML containing more than one document is not supported" => {
                "the file holds several documents: one file is one scenario; remove the `---` lines and split it"
            }
            "repetition limit exceeded" => {
                "the aliases (`*name`) make the document too large: write out what they stand for"
            }
            other => other,
        };
        return Refusal::of(path, message.to_owned());
    };
    let place = (location.line(), location.column());
    let suffix = format!(" at line {} column {}", place.0, place.1);
    let text = text.replacen(&suffix, "", 1);
    let (at, message) = match text.split_once(": ") {
        Some((at, message)) if is_path(at) => (at, message),
        _ => ("", text.as_str()),
    };
    let message = match message.starts_with(NO_TOKEN) {
        true => no_token(document, place),
        false => reword(at, message),
    };
    let message = if at.is_empty() || at == "." { message } else { format!("{at}: {message}") };
    Refusal::at(path, place, message)
}

/// What the YAML library says of a character that no document may hold. The byte's offset follows.
const CONTROL_CHARACTER: &str = "control characters are not allowed at position ";

/// The same, with the character and its place.
fn control_character(path: &Path, document: &str, offset: usize) -> Refusal {
    let before = document.get(..offset).unwrap_or(document);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let place = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
    let what = document.get(offset..).and_then(|rest| rest.chars().next());
    let what = what.map_or(String::new(), |what| format!(" {what:?}"));
    Refusal::at(path, place, format!("the control character{what} stands here: remove it"))
}

/// What the YAML library says of a character that begins nothing.
const NO_TOKEN: &str = "found character that cannot start any token";

/// The same, with the character and the remedy.
fn no_token(document: &str, (line, column): (usize, usize)) -> String {
    let line = document.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    match line.chars().nth(column.saturating_sub(1)) {
        Some('\t') => "a tab stands here: YAML is indented with spaces".into(),
        Some(other) => format!("no value begins with {other:?}: put the text in quotes"),
        None => NO_TOKEN.into(),
    }
}

/// Whether serde_yaml put this before a message as the path to the value.
fn is_path(text: &str) -> bool {
    !text.is_empty() && !text.contains(' ') && !text.starts_with("invalid")
}

/// Serde's terms in the terms of a file's author, with the remedy.
fn reword(at: &str, message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return format!("unknown key {rest}{}", suggestion(rest));
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let what = at.rsplit('.').next().filter(|last| !last.is_empty()).unwrap_or("value");
        return format!("unknown {what} {rest}{}", suggestion(rest));
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("the key {rest} is missing: add it");
    }
    if let Some(rest) = message.strip_prefix("duplicate field ") {
        return format!("the key {rest} stands here for the second time: keep one of the two");
    }
    if let Some(rest) = message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: "))
        && let Some((found, expected)) = rest.rsplit_once(", expected ")
    {
        return format!("expected {}, found {}", in_words(expected, found), found_in_words(found));
    }
    message.to_string()
}

/// The nearest of the names that serde listed after `expected`.
fn suggestion(rest: &str) -> String {
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let Some(written) = quoted.next() else { return String::new() };
    did_you_mean(written, quoted)
}

/// What was found, likewise.
fn found_in_words(found: &str) -> &str {
    match found {
        "unit value" | "Option value" => "nothing",
        "map" => "a mapping",
        "sequence" => "a list",
        // A number that no usual type can hold.
        other => other.strip_suffix(" as u128").or(other.strip_suffix(" as i128")).unwrap_or(other),
    }
}

/// What Rust's type names mean in a file.
fn in_words(expected: &str, found: &str) -> String {
    // The greatest number that a type holds matters only to a number that is greater. Settings have closer bounds.
    let is_greater = found.starts_with("integer `") && !found.starts_with("integer `-");
    match expected {
        "u32" | "u64" | "usize" if !is_greater => "a whole number of 0 or more".into(),
        "u32" => "a whole number from 0 to 4294967295".into(),
        "u64" | "usize" => "a whole number from 0 to 18446744073709551615".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        // serde_yaml expects this if a plain word stands for a variant of an enum.
        "a YAML tag starting with '!'" => "a single word".into(),
        other if other.starts_with("struct ") => "a mapping of keys to values".into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a: 1\nb:\n  - c: {d: 5, e: [6, 7]}\n  - c: null\n";

    #[test]
    fn places_are_exact() {
        use Step::{Index, Key};
        for (path, place) in [
            (&[Key("a")][..], (1, 4)),
            (&[Key("b"), Index(0), Key("c"), Key("d")], (3, 12)),
            (&[Key("b"), Index(0), Key("c"), Key("e"), Index(1)], (3, 22)),
            (&[Key("b"), Index(1), Key("c")], (4, 8)),
            // The deepest part that is there.
            (&[Key("b"), Index(0), Key("c"), Key("missing")], (3, 8)),
            (&[Key("missing")], (1, 1)),
        ] {
            assert_eq!(locate(TEXT, path), place, "{}", show(path));
        }
    }

    #[test]
    fn a_duplicate_key_is_found_at_any_depth() {
        let error =
            read::<serde_json::Value>(Path::new("x.yaml"), "a:\n  - b: 1\n    c: 2\n    b: 3\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "x.yaml:4:5: a[0]: the key `b` stands here for the second time: keep one of the two"
        );
    }
}
