//! Turns the types' documentation into what a reader of a schema expects: rustdoc's links become plain words, and
//! details for machines (`format: uint32`) are removed.

use serde_json::Value;

/// Tidies a schema and everything in it.
pub(super) fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = plain(text);
            }
            // JSON Schema does not know these formats, and the bounds say the same.
            if map.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                map.remove("format");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// `[`Text`](target)` and `[`Text`]` as `` `Text` ``; a paragraph on one line.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("[`") {
        let Some(end) = rest[start..].find("`]").map(|end| start + end) else { break };
        out.push_str(&rest[..start]);
        out.push_str(&rest[start + 1..=end]);
        rest = &rest[end + 2..];
        if rest.starts_with('(')
            && let Some(close) = rest.find(')')
        {
            rest = &rest[close + 1..];
        }
    }
    out.push_str(rest);
    let paragraphs: Vec<String> =
        out.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    paragraphs.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn links_become_words() {
        assert_eq!(
            plain("Must be [`API_VERSION`]. See\n[`x`](crate::y)!"),
            "Must be `API_VERSION`. See `x`!"
        );
        assert_eq!(plain("an [`open one"), "an [`open one");
        assert_eq!(plain("first\nline\n\nsecond"), "first line\n\nsecond");
    }
}
