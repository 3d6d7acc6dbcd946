//! `docs/scenarios.md`: every key and every fault, from the schema.

/// The reference, as Markdown.
pub fn reference() -> String {
    String::new()
}
