//! The HTML file: a page of our own with the data in it.
//!
//! Data goes in as JSON in `script` elements that no browser executes, with `<` written as `\u003c`, so that no text of
//! a history can end the element. Bars are arrays, sorted by call, in chunks of [`CHUNK`]; every text is a number into
//! one table.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::{BarOutcome, Picture, TimeUnit};

/// Bars in one chunk.
const CHUNK: usize = 500;
const PAGE: &str = include_str!("page.html");

impl Picture {
    /// Writes the picture as an HTML file.
    ///
    /// # Errors
    /// What the writer says.
    pub fn html(&self, title: &str, writer: &mut impl Write) -> io::Result<()> {
        let (before, rest) = PAGE.split_once("<!--TITLE-->").expect("the page has a place for the title");
        let (middle, after) = rest.split_once("<!--DATA-->").expect("the page has a place for the data");
        writer.write_all(before.as_bytes())?;
        writer.write_all(escape_markup(title).as_bytes())?;
        writer.write_all(middle.as_bytes())?;
        self.data(title, writer)?;
        writer.write_all(after.as_bytes())
    }

    fn data(&self, title: &str, writer: &mut impl Write) -> io::Result<()> {
        let mut order: Vec<usize> = (0..self.bars.len()).collect();
        order.sort_by_key(|&bar| (self.bars[bar].call, bar));
        let mut place = vec![0usize; self.bars.len()];
        for (at, &bar) in order.iter().enumerate() {
            place[bar] = at;
        }
        let mut texts = Texts::default();
        let mut keys: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, &bar) in order.iter().enumerate() {
            for key in &self.bars[bar].keys {
                keys.entry(key).or_default().push(at);
            }
        }
        let chunks: Vec<(Value, Vec<Value>)> = order
            .chunks(CHUNK)
            .enumerate()
            .map(|(chunk, bars)| {
                let from = self.bars[bars[0]].call;
                // A bar without an end reaches as far as the history does.
                let open = bars.iter().any(|&bar| self.bars[bar].outcome == BarOutcome::Info);
                let to = if open { None } else { bars.iter().filter_map(|&bar| self.bars[bar].ret).max() };
                let rows = bars.iter().map(|&bar| self.row(bar, &mut texts)).collect();
                (json!([chunk * CHUNK, from, to]), rows)
            })
            .collect();
        let last = self.bars.iter().map(|bar| bar.ret.unwrap_or(bar.call)).max().unwrap_or(0);
        let first = self.bars.iter().map(|bar| bar.call).min().unwrap_or(0);
        let places = |bars: &[usize]| bars.iter().map(|&bar| place[bar]).collect::<Vec<_>>();
        let errors: Vec<usize> = order
            .iter()
            .enumerate()
            .filter(|(_, bar)| self.bars[**bar].error.is_some())
            .map(|(at, _)| at)
            .collect();
        let head = json!({
            "title": title,
            "verdict": self.verdict,
            "headline": self.headline,
            "text": self.text,
            "unit": match self.unit { TimeUnit::Nanoseconds => "ns", TimeUnit::Events => "events" },
            "lanes": self.lanes,
            "marks": self.marks.iter().map(|mark| json!([mark.at, mark.label])).collect::<Vec<_>>(),
            "essential": places(&self.essential),
            "possible": places(&self.possible),
            "errors": errors,
            "count": self.bars.len(),
            "first": first,
            "last": last,
            "chunks": chunks.iter().map(|chunk| &chunk.0).collect::<Vec<_>>(),
        });
        element(writer, "head", &head)?;
        element(writer, "texts", &json!(texts.all))?;
        element(writer, "keys", &json!(keys))?;
        for (number, (_, rows)) in chunks.iter().enumerate() {
            element(writer, &format!("chunk{number}"), &json!(rows))?;
        }
        Ok(())
    }

    /// `[lane, call, ret, outcome, label, point, order, before, after, error, note]`, cut after the last that is there.
    fn row(&self, bar: usize, texts: &mut Texts) -> Value {
        let bar = &self.bars[bar];
        let outcome = match bar.outcome {
            BarOutcome::Ok => 0,
            BarOutcome::Fail => 1,
            BarOutcome::Info => 2,
        };
        let mut row = vec![
            json!(bar.lane),
            json!(bar.call),
            json!(bar.ret),
            json!(outcome),
            json!(texts.number(&bar.label)),
        ];
        match &bar.point {
            Some(point) => row.extend([
                json!(point.at),
                json!(point.order),
                json!(texts.number(&point.before)),
                json!(texts.number(&point.after)),
            ]),
            None => row.extend([Value::Null, Value::Null, Value::Null, Value::Null]),
        }
        row.push(bar.error.as_ref().map_or(Value::Null, |error| json!(texts.number(error))));
        row.push(if bar.note.is_empty() { Value::Null } else { json!(texts.number(&bar.note)) });
        while row.last() == Some(&Value::Null) {
            row.pop();
        }
        Value::Array(row)
    }
}

/// Texts, each once.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    known: BTreeMap<String, usize>,
}

impl Texts {
    fn number(&mut self, text: &str) -> usize {
        if let Some(&number) = self.known.get(text) {
            return number;
        }
        self.known.insert(text.to_owned(), self.all.len());
        self.all.push(text.to_owned());
        self.all.len() - 1
    }
}

fn element(writer: &mut impl Write, id: &str, data: &Value) -> io::Result<()> {
    let text = serde_json::to_string(data)?.replace('<', "\\u003c");
    writeln!(writer, "<script type=\"application/json\" id=\"{id}\">{text}</script>")
}

fn escape_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
