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
const NEAREST: [&str; 19] = [
    "harness",
    "determinism",
    "panic",
    "raft",
    "durability",
    "convergence",
    "linearizability",
    "monotonic-reads",
    "conformance",
    "members",
    "watch",
    "lease",
    "lock",
    "compaction",
    "alarm",
    "auth",
    "alerts",
    "liveness",
    "vacuous",
];

/// How many of them, at the end, only see consequences: `liveness` and `vacuous`.
const AFTERMATH: usize = 2;

/// The checkers whose failures are distinguished by message.
const BY_MESSAGE: [&str; 3] = ["harness", "panic", "liveness"];

/// The longest shape, in characters.
const LONGEST: usize = 120;

/// The longest part of a name that comes from the rule, in characters.
const LONGEST_RULE: usize = 32;

/// The most words of a rule in a name.
const MOST_WORDS: usize = 5;

/// Words that lead to the next one. A name does not end with them.
const LEADING_ON: [&str; 46] = [
    "and", "or", "nor", "but", "not", "no", "never", "only", "every", "each", "all", "any", "of", "to", "in",
    "on", "at", "by", "for", "from", "with", "without", "within", "before", "after", "until", "while", "as",
    "than", "that", "which", "who", "where", "when", "if", "is", "are", "was", "were", "be", "been", "has",
    "have", "its", "does", "may",
];

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
            // A checker that this build does not know comes between: behind the causes, before the consequences.
            let place = NEAREST.iter().position(|name| *name == failure.checker);
            place.map_or(2 * (NEAREST.len() - AFTERMATH), |place| 2 * place + 1)
        };
        failures.iter().min_by_key(rank).map(Signature::of)
    }

    /// The first of a run's failures that has this signature.
    pub fn find<'a>(&self, failures: &'a [Failure]) -> Option<&'a Failure> {
        failures.iter().find(|failure| Signature::of(failure) == *self)
    }

    /// A short name for folders: words of the rule, and a digest of the whole.
    pub fn id(&self) -> String {
        let whole = digest(&format!("{}\n{}\n{}", self.checker, self.rule, self.shape));
        format!("{}-{}", self.words(), &whole[..8])
    }

    /// A few words of checker and rule, joined by hyphens, as a scenario's name has them.
    pub fn words(&self) -> String {
        let checker = split(&self.checker);
        let rule = split(self.nub());
        // A rule of the checker `watch` often begins with "a watch …".
        let told: Vec<&String> =
            rule.iter().filter(|word| !matches!(word.as_str(), "a" | "an" | "the")).collect();
        let told = match told.as_slice() {
            [first, rest @ ..] if !rest.is_empty() && [*first] == checker.iter().collect::<Vec<_>>()[..] => {
                rest
            }
            told => told,
        };
        let mut length = 0;
        let fits = told.iter().take_while(|word| {
            length += word.len() + 1;
            length <= LONGEST_RULE + 1
        });
        let mut count = fits.count().clamp(1, MOST_WORDS).min(told.len());
        // A rule that is cut must not end with a word that leads to the next one.
        while count > 1 && count < told.len() && LEADING_ON.contains(&told[count - 1].as_str()) {
            count -= 1;
        }
        let words: Vec<&str> =
            checker.iter().chain(told[..count].iter().copied()).map(String::as_str).collect();
        words.join("-")
    }

    /// The part of the rule that goes into a name: a known name such as "election safety", or what follows the colons.
    fn nub(&self) -> &str {
        let parts = self.rule.split(": ").filter(|part| split(part) != split(&self.checker));
        let parts: Vec<&str> = parts.collect();
        let nub = match parts.as_slice() {
            [name, _] if (2..=3).contains(&split(name).len()) => name,
            [.., last] => last,
            [] => "",
        };
        nub.strip_prefix("no ").unwrap_or(nub)
    }
}

/// The words of a text, in lower case.
fn split(text: &str) -> Vec<String> {
    // The apostrophe is within a word.
    let text = text.to_lowercase().replace('\'', "");
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
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
