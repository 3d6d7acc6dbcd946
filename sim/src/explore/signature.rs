//! Which failures count as the same: checker, broken guarantee, and shape of the message are equal.
//!
//! The judge's messages name operations, revisions and keys, which differ from run to run. So for the checkers of the
//! history the guarantee alone counts (`stale read`, `election safety`). Panics, stuck clusters and failures of the
//! harness are distinguished by their messages, without numbers and names.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::report::{Failure, digest};

/// Two failures are the same if their signatures are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The checker's name.
    pub checker: String,
    /// The broken guarantee.
    pub rule: String,
    /// The message's first line without the parts that differ from run to run; empty if the rule alone counts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shape: String,
}

/// The checkers, nearest to the cause first. For example, a broken invariant of raft also causes wrong reads.
const NEAREST: [&str; 16] = [
    "harness",
    "determinism",
    "panic",
    "raft",
    "durability",
    "convergence",
    "linearizability",
    "monotonic-reads",
    "watch",
    "lease",
    "alarm",
    "alerts",
    "members",
    "auth",
    "liveness",
    "vacuous",
];

/// The checkers whose failures are distinguished by message.
const BY_MESSAGE: [&str; 3] = ["harness", "panic", "liveness"];

/// The longest shape, in characters.
const LONGEST: usize = 120;

impl Signature {
    /// The signature of a failure.
    pub fn of(failure: &Failure) -> Signature {
        let by_message = BY_MESSAGE.contains(&failure.checker.as_str());
        Signature {
            checker: failure.checker.clone(),
            rule: failure.guarantee.clone(),
            shape: if by_message { shape(&failure.message) } else { String::new() },
        }
    }

    /// The signature of a run: that of the failure nearest to the cause. `None` if the run has no failure.
    pub fn of_run(failures: &[Failure]) -> Option<Signature> {
        let rank = |failure: &&Failure| {
            NEAREST.iter().position(|name| *name == failure.checker).unwrap_or(NEAREST.len())
        };
        failures.iter().min_by_key(rank).map(Signature::of)
    }

    /// Whether one of a run's failures has this signature.
    pub fn is_among(&self, failures: &[Failure]) -> bool {
        failures.iter().any(|failure| Signature::of(failure) == *self)
    }

    /// A short name for folders: words of the rule, and a digest of the whole.
    pub fn id(&self) -> String {
        let whole = digest(&format!("{}\n{}\n{}", self.checker, self.rule, self.shape));
        format!("{}-{}", self.words(), &whole[..8])
    }

    /// A few words of checker and rule, joined by hyphens, as a scenario's name has them.
    pub fn words(&self) -> String {
        // The rule of linearizability begins with the whole guarantee; the broken part follows the colon.
        let rule = self.rule.rsplit_once(": ").map_or(self.rule.as_str(), |(_, rule)| rule);
        let rule = rule.strip_prefix("no ").unwrap_or(rule);
        let text = format!("{} {rule}", self.checker).to_lowercase();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let mut name = String::new();
        for word in words {
            if name.len() + word.len() >= 44 {
                break;
            }
            if !name.is_empty() {
                name.push('-');
            }
            name.push_str(word);
        }
        name
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{}: {}", self.checker, self.rule)?;
        if !self.shape.is_empty() {
            write!(out, ": {}", self.shape)?;
        }
        Ok(())
    }
}

/// The first line, each number replaced by `#`, and what stands in double quotes by `…`: `m2 waits for index 17` is
/// `m# waits for index #`, and `corrupt row "k\x00"` is `corrupt row "…"`. Quoted are keys and rows, which differ by
/// run.
fn shape(message: &str) -> String {
    let mut shape = String::new();
    let mut in_number = false;
    for c in unquoted(message.lines().next().unwrap_or_default()).chars() {
        // A fraction belongs to its number.
        let number = c.is_ascii_digit() || (in_number && c == '.');
        if number && !in_number {
            shape.push('#');
        } else if !number {
            shape.push(c);
        }
        in_number = number;
    }
    shape.chars().take(LONGEST).collect()
}

fn unquoted(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('"') {
        // An escaped quote belongs to the quoted text. A quote without a closing quote is an ordinary character.
        let mut escaped = false;
        let end = after.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end else { break };
        text.push_str(before);
        text.push_str("\"…\"");
        rest = &after[end + 1..];
    }
    text + rest
}
