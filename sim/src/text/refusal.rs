//! Refusals: one paragraph that says where a file is wrong, what was expected, and what to write instead.

use std::fmt;
use std::path::{Path, PathBuf};

/// A refusal of something that a person wrote or asked for. Nothing has run. The exit status is 64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The file or folder.
    pub path: PathBuf,
    /// Line and column, both from 1, if the place is inside a file.
    pub place: Option<(usize, usize)>,
    /// What is wrong, what was expected, and the remedy.
    pub message: String,
}

impl Refusal {
    /// A refusal of a whole file or folder.
    pub fn of(path: &Path, message: impl Into<String>) -> Refusal {
        Refusal { path: path.into(), place: None, message: one_paragraph(message.into()) }
    }

    /// A refusal of a place in a file.
    pub fn at(path: &Path, place: (usize, usize), message: impl Into<String>) -> Refusal {
        Refusal { path: path.into(), place: Some(place), message: one_paragraph(message.into()) }
    }
}

/// Escapes control characters that were quoted from the file, so that the paragraph stays on one line of the terminal.
fn one_paragraph(message: String) -> String {
    if !message.contains(char::is_control) {
        return message;
    }
    message
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{}", self.path.display())?;
        if let Some((line, column)) = self.place {
            write!(out, ":{line}:{column}")?;
        }
        write!(out, ": {}", self.message)
    }
}

impl std::error::Error for Refusal {}

/// `; did you mean ...?`, if one of the known names is near enough to what was written; otherwise nothing.
pub(crate) fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(written, known).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// The known name that is nearest, if it is within a third of the written one's length (at least two) in edits:
/// insert, delete, replace, swap neighbours.
fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |text: &str| -> String {
        text.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
    };
    // A very long name is no misspelling, and computing the distance costs the product of the lengths.
    if written.chars().count() > 100 {
        return None;
    }
    let folded = fold(written);
    let limit = (folded.chars().count() / 3).max(2);
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&folded, &fold(name)), name))
        .filter(|(edits, name)| *edits <= limit && *edits < name.chars().count())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// The names as a list for people: `a`, `b` or `c`.
pub(crate) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "nothing".into(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let known = ["crash", "restart", "pause", "partition", "replaceMember", "diskStall"];
        for (written, suggestion) in [
            ("crsh", "; did you mean `crash`?"),
            ("carsh", "; did you mean `crash`?"),
            ("replace-member", "; did you mean `replaceMember`?"),
            ("disk_stal", "; did you mean `diskStall`?"),
            ("explode", ""),
            ("", ""),
        ] {
            assert_eq!(did_you_mean(written, known), suggestion, "{written}");
        }
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(one_of(["a"]), "`a`");
    }
}
