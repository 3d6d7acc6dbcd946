//! Histories by hand, for the tests: a line an operation, its id the place in the script.

use crate::history::{ReadLimits, RunHistory, jsonl};

/// One line of a script: client, call, return, request and answer in short.
pub(super) struct Script {
    lines: Vec<String>,
}

impl From<String> for Script {
    fn from(text: String) -> Self {
        Script { lines: text.lines().map(str::to_owned).collect() }
    }
}

impl Script {
    pub(super) fn new() -> Self {
        Script { lines: Vec::new() }
    }

    /// An answered operation, its id the place in the script, from 1. `member` is who answered.
    pub(super) fn ok(
        mut self,
        client: u64,
        at: (u64, u64),
        member: u64,
        revision: i64,
        op: &str,
        result: &str,
    ) -> Self {
        let id = self.lines.len() + 1;
        self.lines.push(format!(
            r#"{{"id":{id},"client":{client},"call":{},"return":{},"op":{op},"outcome":"ok","header":{{"cluster_id":1,"member_id":{member},"revision":{revision},"raft_term":2}},"result":{result}}}"#,
            at.0, at.1
        ));
        self
    }

    pub(super) fn put(self, client: u64, at: (u64, u64), revision: i64, key: &str, value: &str) -> Self {
        let op = format!(r#"{{"put":{{"key":"{key}","value":"{value}"}}}}"#);
        self.ok(client, at, 1, revision, &op, r#"{"put":{}}"#)
    }

    /// A read of one key that shows (value, create, mod, version), or nothing.
    pub(super) fn get(
        self,
        client: u64,
        at: (u64, u64),
        revision: i64,
        key: &str,
        kv: Option<(&str, i64, i64, i64)>,
    ) -> Self {
        let op = format!(r#"{{"range":{{"key":"{key}"}}}}"#);
        let kvs: Vec<String> = kv.iter().map(|kv| show(key, *kv)).collect();
        let result = format!(r#"{{"range":{{"kvs":[{}],"count":{}}}}}"#, kvs.join(","), kvs.len());
        self.ok(client, at, 1, revision, &op, &result)
    }

    /// A read of one key at an instant, by a client of its own.
    pub(super) fn get_at(self, at: u64, revision: i64, key: &str, kv: (&str, i64, i64, i64)) -> Self {
        self.get(100 + at, (at, at + 1), revision, key, Some(kv))
    }

    pub(super) fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// A write with an open outcome.
    pub(super) fn info(mut self, client: u64, call: u64, op: &str) -> Self {
        let id = self.lines.len() + 1;
        self.lines.push(format!(
            r#"{{"id":{id},"client":{client},"call":{call},"return":null,"op":{op},"outcome":"info"}}"#
        ));
        self
    }

    pub(super) fn text(&self) -> String {
        self.lines.join("\n")
    }

    pub(super) fn history(&self) -> RunHistory {
        let text = self.text() + "\n";
        jsonl::read(text.as_bytes(), "script", &ReadLimits::default()).unwrap()
    }
}

/// A key as an answer shows it: value, create, mod, version.
pub(super) fn show(key: &str, (value, create, modified, version): (&str, i64, i64, i64)) -> String {
    format!(
        r#"{{"key":"{key}","value":"{value}","create_revision":{create},"mod_revision":{modified},"version":{version}}}"#
    )
}

/// A few sound writes that every script begins with: a = 1 at 2, b = 1 at 3, a = 2 at 4.
pub(super) fn base() -> Script {
    Script::new()
        .put(1, (10, 20), 2, "a", "1")
        .put(1, (30, 40), 3, "b", "1")
        .put(1, (50, 60), 4, "a", "2")
        .get(2, (70, 80), 4, "a", Some(("2", 2, 4, 2)))
}
