//! The report of an invalid history: the rule that was broken, in the field's terms, and the operations that show
//! it. As text and as JSON.

use std::fmt;

use serde::Serialize;

use crate::history::{KeyValue, OpId, Operation};

/// The rules that a history can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A read answered with a state older than one that had been shown before it was called.
    StaleRead,
    /// A read answered with something that was not yet written.
    FutureRead,
    /// Two members took writes apart from each other.
    SplitBrain,
    /// Two operations made one revision.
    RevisionReused,
    /// No operation can have made a revision that was seen.
    RevisionSkipped,
    /// The revision went back.
    RevisionWentBack,
    /// An acknowledged write is not there.
    LostWrite,
    /// One range mixes keys of different revisions.
    TornRange,
    /// A compare-and-set succeeded though its comparison did not hold.
    DirtyCas,
    /// A txn took the wrong branch.
    WrongBranch,
    /// A delete counted wrongly.
    WrongDeleteCount,
    /// A range counted wrongly.
    WrongCount,
    /// A range's order, or what it said of its limit, is wrong.
    WrongOrder,
    /// A key's `version` is wrong.
    WrongVersion,
    /// A key's `create_revision` is wrong.
    WrongCreateRevision,
    /// A key's `mod_revision` is wrong.
    WrongModRevision,
    /// A key's lease is wrong.
    WrongLease,
    /// A value that no operation wrote to that key.
    UnwrittenValue,
    /// A key, or a use of a lease, after the lease was gone.
    LeaseOutlivesRevoke,
    /// A revision was read though it was compacted.
    CompactedRead,
    /// A compaction did not follow the one before.
    WrongCompaction,
    /// A lease was granted twice or ended twice.
    WrongLeaseState,
    /// An error that fits no state that the operation could have met.
    ImpossibleError,
    /// A write at or below a break's revision is missing after it.
    LostBelowBreak,
    /// None of the above by itself.
    NoOrder,
}

impl Rule {
    /// All of them, in the order of their definition.
    pub const ALL: [Rule; 25] = [
        Rule::StaleRead,
        Rule::FutureRead,
        Rule::SplitBrain,
        Rule::RevisionReused,
        Rule::RevisionSkipped,
        Rule::RevisionWentBack,
        Rule::LostWrite,
        Rule::TornRange,
        Rule::DirtyCas,
        Rule::WrongBranch,
        Rule::WrongDeleteCount,
        Rule::WrongCount,
        Rule::WrongOrder,
        Rule::WrongVersion,
        Rule::WrongCreateRevision,
        Rule::WrongModRevision,
        Rule::WrongLease,
        Rule::UnwrittenValue,
        Rule::LeaseOutlivesRevoke,
        Rule::CompactedRead,
        Rule::WrongCompaction,
        Rule::WrongLeaseState,
        Rule::ImpossibleError,
        Rule::LostBelowBreak,
        Rule::NoOrder,
    ];
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::StaleRead => "stale read",
            Rule::FutureRead => "read of the future",
            Rule::SplitBrain => "split brain",
            Rule::RevisionReused => "revision reused",
            Rule::RevisionSkipped => "revision skipped",
            Rule::RevisionWentBack => "revision went back",
            Rule::LostWrite => "lost write",
            Rule::TornRange => "torn range",
            Rule::DirtyCas => "dirty compare-and-set",
            Rule::WrongBranch => "wrong branch",
            Rule::WrongDeleteCount => "wrong count of deleted keys",
            Rule::WrongCount => "wrong count of keys",
            Rule::WrongOrder => "wrong order of keys",
            Rule::WrongVersion => "wrong version",
            Rule::WrongCreateRevision => "wrong create revision",
            Rule::WrongModRevision => "wrong mod revision",
            Rule::WrongLease => "wrong lease of a key",
            Rule::UnwrittenValue => "value that nobody wrote",
            Rule::LeaseOutlivesRevoke => "lease outlives its end",
            Rule::CompactedRead => "read of a compacted revision",
            Rule::WrongCompaction => "wrong compaction",
            Rule::WrongLeaseState => "wrong state of a lease",
            Rule::ImpossibleError => "impossible error",
            Rule::LostBelowBreak => "write lost below a break",
            Rule::NoOrder => "no order",
        })
    }
}

/// Why a history is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The rule that was broken.
    pub rule: Rule,
    /// What happened, in one sentence that begins with the rule.
    pub message: String,
    /// The operations that show it, the one that cannot be placed last.
    pub blamed: Vec<OpId>,
    /// The last revision up to which everything agrees; the base where nothing does.
    pub consistent_revision: i64,
    /// The keys that matter, as they were at that revision.
    pub state: Vec<KeyValue>,
    /// What else stood in the way at that revision: each candidate, and what it contradicts.
    pub candidates: Vec<String>,
    /// A smaller history in which the violation still stands.
    pub core: Option<super::core::Core>,
    /// What the general search found.
    pub recheck: super::Recheck,
}

impl Violation {
    /// The explanation as text, the blamed operations as lines of the history.
    pub fn text(&self, operations: &[Operation]) -> String {
        let mut text = format!("{}\n", self.message);
        text += &format!("everything agrees up to revision {}\n", self.consistent_revision);
        for kv in &self.state {
            text += &format!(
                "  {} = {} (mod {}, create {}, version {})\n",
                kv.key, kv.value, kv.mod_revision, kv.create_revision, kv.version
            );
        }
        for candidate in &self.candidates {
            text += &format!("  {candidate}\n");
        }
        let shown: Vec<OpId> = match &self.core {
            Some(core) => core.answered.clone(),
            None => self.blamed.clone(),
        };
        text += match &self.core {
            Some(core) if core.minimal => "the smallest history in which it stands:\n",
            Some(_) => "a smaller history in which it stands:\n",
            None => "operations:\n",
        };
        for operation in operations.iter().filter(|operation| shown.contains(&operation.id)) {
            let line = serde_json::to_string(operation).expect("an operation is JSON");
            text += &format!("  {line}\n");
        }
        if let Some(core) = &self.core {
            text += &core.note();
        }
        text += self.recheck.note();
        text
    }

    /// The explanation as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a violation is JSON")
    }
}
