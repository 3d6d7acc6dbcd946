//! Recordings: what etcd answered to a run's operations, one a line.
//!
//! A file of JSON Lines. The first line says how the operations are drawn ([`Opening`]). Each other line is about one
//! operation ([`Entry`]): when it was asked, and what came back. The operations themselves are not kept: the player
//! draws them again, from the seed and the answers so far. Each entry holds a hash of its operation, so that a changed
//! drawer is reported as such and does not lead to a wrong verdict.
//!
//! The answers are etcd's. If a known difference explains why `squalld` answers otherwise, the entry has `squalld`'s
//! answer and the name of the difference.

use std::{fmt::Write as _, str::FromStr};

use serde::{Deserialize, Serialize};
use squall_store::proto::mvccpb::Event;

use crate::{
    answer::{Answer, NO_ID},
    condense,
    draw::Service,
    operation::Operation,
};

/// The crate's recordings: name and text.
pub const ALL: &[(&str, &str)] = &[
    ("allServices", include_str!("../recordings/all-services.jsonl")),
    ("users", include_str!("../recordings/users.jsonl")),
];

/// The version of the format.
pub(crate) const FORMAT: u32 = 1;

/// What was answered in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// How it was made.
    pub opening: Opening,
    /// The operations' answers, in their order.
    pub entries: Vec<Entry>,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The version of the format.
    pub format: u32,
    /// The version of etcd.
    pub etcd: String,
    /// The seed of the operations.
    pub seed: u64,
    /// The services that took part, with their shares.
    pub services: Vec<(Service, u32)>,
}

/// One operation's line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When it was asked, in milliseconds since the run began.
    pub ms: u64,
    /// The call's name, for readers.
    pub call: String,
    /// A hash of the operation that was drawn.
    pub drawn: String,
    /// The known difference, if there is one; then the answer is `squalld`'s.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub known: String,
    /// The changes that the recorder received since the previous operation, if the call waits for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// The changes that each watcher received since they were last compared, if the call waits for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Delivered>,
    /// The answer.
    pub said: String,
    /// What a world learns from etcd's answer; `None` if etcd was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learnt: Option<Learnt>,
    /// The changes that the recorder received because of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
}

/// The part of etcd's answer that decides which operations follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Learnt {
    /// The store's revision, if the answer has it.
    #[serde(skip_serializing_if = "is_zero")]
    pub revision: i64,
    /// The id of the new lease, member or watcher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// Whether it was a refusal.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
}

/// What a watcher was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivered {
    /// The watch stream's number in the run.
    pub stream: usize,
    /// The watcher's id on it.
    pub id: i64,
    /// How many changes.
    pub count: usize,
    /// A hash of them.
    pub hash: String,
}

/// A text is not a recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the recording: {what}")]
pub struct Malformed {
    /// The line's number, from 1 on.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The hash of an operation, as entries hold it.
pub(crate) fn drawn(operation: &Operation) -> String {
    condense::hash(&format!("{operation:?}"))
}

impl Learnt {
    /// From etcd's answer.
    pub fn from(answer: &Answer) -> Learnt {
        let id = Some(answer.id).filter(|id| *id != NO_ID);
        Learnt { revision: answer.revision, id, refused: answer.is_refused() }
    }

    /// An answer from which a world learns the same as from etcd's.
    pub(crate) fn to_answer(self) -> Answer {
        let answer = if self.refused { Answer::silence() } else { Answer::said(&(), 0) };
        Answer { revision: self.revision, id: self.id.unwrap_or(NO_ID), ..answer }
    }
}

impl Delivered {
    /// What a watcher was told: these changes.
    pub fn of(stream: usize, id: i64, changes: &[Event]) -> Delivered {
        let texts = condense::messages(changes);
        Delivered { stream, id, count: changes.len(), hash: condense::hash(&texts.join("\n")) }
    }
}

impl Opening {
    /// The first line for a run with this seed and these services.
    pub fn of(seed: u64, services: Vec<(Service, u32)>) -> Opening {
        Opening { format: FORMAT, etcd: "3.5.1".to_owned(), seed, services }
    }
}

impl Entry {
    /// The entry of an operation that is about to be asked, without its answer.
    pub fn new(ms: u64, operation: &Operation) -> Entry {
        Entry { ms, call: operation.call.name(), drawn: drawn(operation), ..Entry::default() }
    }
}

impl Recording {
    /// A recording without entries.
    pub fn new(opening: Opening) -> Recording {
        Recording { opening, entries: Vec::new() }
    }

    /// The crate's recording of this name.
    ///
    /// # Errors
    /// If its text is malformed.
    ///
    /// # Panics
    /// If there is none of this name.
    pub fn named(name: &str) -> Result<Recording, Malformed> {
        let found = ALL.iter().find(|(of, _)| *of == name);
        found.unwrap_or_else(|| panic!("there is no recording {name:?}")).1.parse()
    }

    /// The content of its file.
    pub fn to_text(&self) -> String {
        let json = |line: serde_json::Result<String>| line.expect("its types have a JSON form");
        let mut text = json(serde_json::to_string(&self.opening)) + "\n";
        for entry in &self.entries {
            _ = writeln!(text, "{}", json(serde_json::to_string(entry)));
        }
        text
    }
}

impl FromStr for Recording {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Recording, Malformed> {
        let malformed = |at: usize, what: String| Malformed { line: at + 1, what };
        let mut lines = text.lines().enumerate();
        let (at, first) = lines.next().ok_or_else(|| malformed(0, "there is none".to_owned()))?;
        let opening: Opening =
            serde_json::from_str(first).map_err(|error| malformed(at, error.to_string()))?;
        if opening.format != FORMAT {
            return Err(malformed(at, format!("format {}, expected {FORMAT}", opening.format)));
        }
        let entries = lines
            .map(|(at, line)| serde_json::from_str(line).map_err(|error| malformed(at, error.to_string())));
        Ok(Recording { opening, entries: entries.collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{draw::Drawer, world::World};

    fn all() -> impl Iterator<Item = Recording> {
        ALL.iter().map(|(name, text)| text.parse().unwrap_or_else(|error| panic!("{name}: {error}")))
    }

    /// Only the first operation. Drills play the rest.
    #[test]
    fn the_recordings_begin_with_what_is_drawn_today() {
        for recording in all() {
            let opening = recording.opening;
            let mut drawer = Drawer::new(opening.seed, opening.services);
            assert_eq!(drawn(&drawer.draw(&World::new())), recording.entries[0].drawn);
        }
    }

    #[test]
    fn the_recordings_show_every_call_answered_and_refused() {
        let (mut answered, mut refused) = (BTreeSet::new(), BTreeSet::new());
        for entry in all().flat_map(|recording| recording.entries) {
            let into = if entry.said.starts_with("refused: ") { &mut refused } else { &mut answered };
            into.insert(entry.call);
        }
        let never: Vec<&&str> = CALLS.iter().filter(|call| !answered.contains(**call)).collect();
        // etcd 3.5.1 has no member to promote, and squalld nothing to go back to.
        assert_eq!(never, [&"MemberPromote", &"Downgrade"]);
        assert!(refused.len() > 30, "only {refused:?} were refused");
    }

    #[test]
    fn a_recording_is_read_as_it_was_written() {
        for (recording, (name, text)) in all().zip(ALL) {
            assert!(recording.to_text() == **text, "{name} is not as it would be written");
        }
        let error = "{\"format\":9,\"etcd\":\"3.5.1\",\"seed\":1,\"services\":[]}".parse::<Recording>();
        assert_eq!(error.unwrap_err().to_string(), "line 1 of the recording: format 9, expected 1");
        let error = (ALL[0].1.lines().next().unwrap().to_owned() + "\n{\"ms\":1}").parse::<Recording>();
        assert_eq!(error.unwrap_err().line, 2);
    }

    const CALLS: [&str; 57] = [
        "Range",
        "Put",
        "DeleteRange",
        "Txn",
        "Compact",
        "LeaseGrant",
        "LeaseRevoke",
        "LeaseTimeToLive",
        "LeaseLeases",
        "LeaseKeepAlive",
        "LeaseEnds",
        "WatchOpen",
        "WatchCreate",
        "WatchCancel",
        "WatchProgress",
        "WatchNothing",
        "WatchClose",
        "AuthEnable",
        "AuthDisable",
        "AuthStatus",
        "Authenticate",
        "UserAdd",
        "UserGet",
        "UserList",
        "UserDelete",
        "UserChangePassword",
        "UserGrantRole",
        "UserRevokeRole",
        "RoleAdd",
        "RoleGet",
        "RoleList",
        "RoleDelete",
        "RoleGrantPermission",
        "RoleRevokePermission",
        "MemberList",
        "MemberAdd",
        "MemberRemove",
        "MemberUpdate",
        "MemberPromote",
        "Alarm",
        "Status",
        "Defragment",
        "Hash",
        "HashKv",
        "MoveLeader",
        "Downgrade",
        "Snapshot",
        "Lock",
        "Unlock",
        "Campaign",
        "Proclaim",
        "Leader",
        "Observe",
        "Resign",
        "Health",
        "Wire",
        "Restart",
    ];
}
