//! `report.html`: a single file that needs no other files, no network and no server.
//!
//! The page is ours (`page/`). The data is JSON in `script` elements that no browser executes, with `<` written as
//! `\u003c`, so that no text of a run can end the element. The page puts every text on a canvas or into a text node,
//! never into markup, and its policy forbids it to load anything. Operations are rows of numbers that refer to tables
//! of texts, so that ten thousand of them take a megabyte and open at once.

use super::view::{Row, Rows, View};
use serde_json::{Value, json};
use squall_checker::history::Outcome;
use std::collections::BTreeMap;

const PAGE: &str = include_str!("page/run.html");
const STYLE: &str = concat!(include_str!("page/base.css"), include_str!("page/run.css"));
const SCRIPT: &str = concat!(
    include_str!("page/base.js"),
    include_str!("page/run.js"),
    include_str!("page/picture.js"),
    include_str!("page/moves.js")
);

/// The page of a run.
pub fn html(view: &View) -> String {
    let record = &view.record;
    let title = format!("{}, seed {}: {}", record.scenario, record.seed, record.verdict.name());
    let places: BTreeMap<u64, usize> =
        view.operations.rows.iter().enumerate().map(|(place, row)| (row.id, place)).collect();
    let mut head = serde_json::to_value(view).expect("a view is JSON");
    for finding in head["findings"].as_array_mut().into_iter().flatten() {
        let ids = finding["operations"].as_array().cloned().unwrap_or_default();
        let rows: Vec<usize> = ids.iter().filter_map(|id| places.get(&id.as_u64()?).copied()).collect();
        finding["rows"] = json!(rows);
    }
    let core: Vec<usize> = view.core.iter().filter_map(|id| places.get(id).copied()).collect();
    head["core"] = json!(core);
    head["build_words"] = json!(record.build.to_string());
    let data = [("head", head), ("operations", operations(&view.operations))];
    page(PAGE, STYLE, SCRIPT, &title, &data)
}

/// Fills a page: its title, its style and script, and its data.
pub(super) fn page(page: &str, style: &str, script: &str, title: &str, data: &[(&str, Value)]) -> String {
    let data: String = data.iter().map(|(id, data)| element(id, data)).collect();
    let mut text = page.to_owned();
    // The data last, so that no mark is searched for in it.
    for (mark, content) in [
        ("/*STYLE*/", style),
        ("/*SCRIPT*/", script),
        ("<!--TITLE-->", escape(title).as_str()),
        ("<!--DATA-->", &data),
    ] {
        text = text.replacen(mark, content, 1);
    }
    text
}

fn operations(rows: &Rows) -> Value {
    json!({
        "clients": rows.clients,
        "names": rows.names,
        "texts": rows.texts,
        "keys": rows.keys,
        "rows": rows.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

/// `[id, client, call, return, outcome, flags, label, endpoint, keys, revision, term, error]`, cut after the last one
/// that is present. Flags: 1 may change something, 2 is one of the reads at the end, 4 was refused by the store's
/// rules.
fn row(row: &Row) -> Value {
    let outcome = match row.outcome {
        Outcome::Ok => 0,
        Outcome::Fail => 1,
        Outcome::Info => 2,
    };
    let mut cells = vec![
        json!(row.id),
        json!(row.client),
        json!(row.call),
        json!(row.ret),
        json!(outcome),
        json!(u8::from(row.writes) + 2 * u8::from(row.is_final) + 4 * u8::from(row.refused)),
        json!(row.label),
        json!(row.endpoint),
        json!(row.keys),
        json!(row.revision),
        json!(row.term),
        json!(row.error),
    ];
    while cells.last() == Some(&Value::Null) {
        cells.pop();
    }
    Value::Array(cells)
}

fn element(id: &str, data: &Value) -> String {
    let text = data.to_string().replace('<', "\\u003c");
    format!("<script type=\"application/json\" id=\"{id}\">{text}</script>\n")
}

/// Escapes text for HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
