//! Reads from `trace.jsonl` what a report shows: starts and ends of processes, and members' events other than raft's.
//! The rest of a trace, a hundred thousand messages and disk operations, is skipped without being parsed.

use serde::Deserialize;

/// One line that a report shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) at: u64,
    pub(super) node: String,
    pub(super) what: What,
}

/// The content of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A process ended, for this reason.
    Ended(String),
    /// A member's event: its kind in camelCase, and words for people.
    Fact(String, String),
}

#[derive(Deserialize)]
struct Line {
    at: u64,
    kind: String,
    #[serde(default)]
    node: String,
    #[serde(default)]
    event: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    failure: Option<String>,
    #[serde(default)]
    message: String,
}

/// The events to skip: `history.jsonl` has them already, or there are thousands of them.
const KNOWN: [&str; 6] = ["Acknowledged", "Applied", "Found", "LogTerms", "Proposed", "Role"];

/// Reads a trace. Lines that cannot be parsed are skipped: no verdict depends on a trace.
pub(super) fn read(text: &str) -> Vec<Shown> {
    text.lines()
        .filter(|line| is_wanted(line))
        .filter_map(|line| shown(serde_json::from_str(line).ok()?))
        .collect()
}

fn is_wanted(line: &str) -> bool {
    let Some(kind) = after(line, "\"kind\":\"") else { return false };
    if kind.starts_with("probe\"") {
        let fact = after(line, "\"event\":\"").unwrap_or_default();
        return !KNOWN.iter().any(|known| fact.starts_with(known));
    }
    ["fault\"", "exited\"", "panicked\""].iter().any(|wanted| kind.starts_with(wanted))
}

fn after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.find(mark).map(|at| &line[at + mark.len()..])
}

fn shown(line: Line) -> Option<Shown> {
    let what = match (line.kind.as_str(), line.action.as_str()) {
        ("probe", _) if line.event.starts_with("Configured") => configured(&line.event),
        ("probe", _) => fact(&line.event),
        ("exited", _) => What::Ended(match line.failure {
            Some(failure) => format!("exited: {failure}"),
            None => "exited".to_owned(),
        }),
        ("panicked", _) => What::Ended(format!("panicked: {}", line.message)),
        ("fault", "power-off") => What::Ended("lost power".to_owned()),
        ("fault", "kill-process") => What::Ended("was killed".to_owned()),
        ("fault", "stop") => What::Ended("was stopped".to_owned()),
        ("fault", "wipe") => What::Fact("wiped".to_owned(), "its data folder was wiped".to_owned()),
        _ => return None,
    };
    Some(Shown { at: line.at, node: line.node, what })
}

/// Describes a configuration by its size: its members' ids have 20 digits, too many to read.
fn configured(debug: &str) -> What {
    let count = |name: &str| {
        let ids = after(debug, name).and_then(|rest| rest.split_once(']')).map_or("", |(ids, _)| ids);
        ids.split(',').filter(|id| !id.trim().is_empty()).count()
    };
    let (voters, learners) = (count(" voters: ["), count(" learners: ["));
    let text = match learners {
        0 => format!("its configuration has {voters} voters"),
        _ => format!("its configuration has {voters} voters and {learners} learners"),
    };
    What::Fact("configured".to_owned(), text)
}

/// `SnapshotSaved { index: Index(200) }` as kind `snapshotSaved` and words `snapshot saved: index 200`.
fn fact(debug: &str) -> What {
    let (name, fields) = debug.split_once([' ', '(']).unwrap_or((debug, ""));
    let mut kind = name.to_owned();
    if let Some(first) = kind.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let mut words = String::new();
    for (at, c) in name.char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    // Names of newtypes and braces do not help a reader.
    let fields: String =
        fields.trim_matches(['{', '}', ' ']).chars().filter(|c| !"(){}\"".contains(*c)).collect();
    let fields = ["Index", "Term", "Revision", "MemberId", "ClusterId", "LeaseId", "Some"]
        .iter()
        .fold(fields, |text, name| text.replace(name, ""));
    let fields = fields.replace(": ", " ");
    if !fields.trim().is_empty() {
        words.push_str(": ");
        words.push_str(fields.trim());
    }
    What::Fact(kind, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_matters_and_skips_the_rest() {
        let text = r#"{"at":1,"kind":"sent","conn":1,"from":"m1","to":"m2","bytes":7}
{"at":2,"kind":"probe","node":"m2","event":"Applied { index: Index(1), term: Term(1) }"}
{"at":2,"kind":"probe","node":"m2","event":"Acknowledged { index: Index(1) }"}
{"at":3,"kind":"probe","node":"m2","event":"SnapshotSent { to: MemberId(9), index: Index(200) }"}
{"at":4,"kind":"probe","node":"m2","event":"SegmentCut"}
{"at":4,"kind":"probe","node":"m2","event":"Configured { index: Index(3), voters: [MemberId(2), MemberId(5)], learners: [], listed_voters: [MemberId(2)], listed_learners: [] }"}
not JSON "kind":"fault"
{"at":5,"kind":"fault","action":"cut","node":"m1","peer":"m2","value":0}
{"at":6,"kind":"fault","action":"power-off","node":"m1","peer":null,"value":0}
{"at":7,"kind":"exited","node":"m3","incarnation":1,"failure":"disk full"}
"#;
        let told: Vec<String> =
            read(text).iter().map(|told| format!("{} {} {:?}", told.at, told.node, told.what)).collect();
        assert_eq!(
            told,
            [
                r#"3 m2 Fact("snapshotSent", "snapshot sent: to 9, index 200")"#,
                r#"4 m2 Fact("segmentCut", "segment cut")"#,
                r#"4 m2 Fact("configured", "its configuration has 2 voters")"#,
                r#"6 m1 Ended("lost power")"#,
                r#"7 m3 Ended("exited: disk full")"#,
            ]
        );
    }
}
