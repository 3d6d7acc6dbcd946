//! What there is to judge under a path. A report, not a file, is the unit:
//!
//! - a run folder of ours is its `history.jsonl`;
//! - a report of etcd's robustness tests is a folder of `client-N/operations.json`, which are one history together, since
//!   a client's file alone does not show who made the revisions that it saw. If the caller names one of these files, it
//!   stands for the whole report;
//! - a folder of Jepsen's store is its `history.edn`, else `history.txt`, else `jepsen.log`; what lies beside, and the
//!   folders of single keys, are the same history again;
//! - in any other folder, and in its sub-folders, each file that looks like a history is one.
//!
//! Links to folders are not followed: Jepsen's store has `latest` and `current`, which are tests again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One history to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// Whether the caller named it, or it stands for its folder. Any other file of a folder is skipped if it is no
        /// history.
        named: bool,
    },
    /// A report of etcd's robustness tests.
    EtcdReport {
        /// The folder.
        folder: PathBuf,
        /// Each client's operations, in the order of the clients' numbers.
        parts: Vec<PathBuf>,
        /// Files of watches, which are not judged.
        watches: Vec<PathBuf>,
    },
}

/// What a path holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) units: Vec<Unit>,
    /// Files that belong to a unit and are not read.
    pub(super) aside: Vec<PathBuf>,
}

/// How deep folders are searched.
const MAX_DEPTH: usize = 32;

/// The units of `path`.
///
/// # Errors
/// If a folder cannot be read.
pub(super) fn find(path: &Path) -> Result<Found, String> {
    let mut found = Found::default();
    if let Some(unit) = report_of(path) {
        found.units.push(unit);
    } else if path.is_dir() {
        folder(path, 0, &mut found)?;
    } else {
        found.units.push(Unit::File { path: path.to_owned(), named: true });
    }
    Ok(found)
}

/// The report of etcd's that a client's folder, or the file of operations in it, belongs to.
fn report_of(path: &Path) -> Option<Unit> {
    let whole = path.canonicalize().ok()?;
    let client = if whole.is_dir() {
        whole.as_path()
    } else {
        whole.parent().filter(|_| whole.ends_with(OPERATIONS))?
    };
    client_number(client)?;
    client.join(OPERATIONS).is_file().then_some(())?;
    etcd_report(client.parent()?).ok().flatten()
}

const OPERATIONS: &str = "operations.json";

fn folder(path: &Path, depth: usize, found: &mut Found) -> Result<(), String> {
    let run = path.join("history.jsonl");
    if run.is_file() {
        found.units.push(Unit::File { path: run, named: true });
        return Ok(());
    }
    if let Some(unit) = etcd_report(path)? {
        found.units.push(unit);
        return Ok(());
    }
    let entries = entries(path)?;
    if let Some(history) = jepsen_store(&entries) {
        found.aside.extend(entries.iter().filter(|entry| **entry != history && entry.is_file()).cloned());
        found.units.push(Unit::File { path: history, named: true });
        return Ok(());
    }
    for entry in entries {
        if entry.is_file() {
            let named = is_named_as_history(&entry);
            found.units.push(Unit::File { path: entry, named });
        } else if entry.is_dir() && !entry.is_symlink() && depth < MAX_DEPTH {
            folder(&entry, depth + 1, found)?;
        }
    }
    Ok(())
}

/// Whether a file's name says that it is a history. Then it is an error, and not skipped, if it cannot be read.
fn is_named_as_history(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name == OPERATIONS || name.starts_with("history.")
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let broken = |error: std::io::Error| format!("{}: cannot read the folder: {error}", folder.display());
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(broken)? {
        entries.push(entry.map_err(broken)?.path());
    }
    entries.sort();
    Ok(entries)
}

/// The report of etcd's that a folder is.
fn etcd_report(folder: &Path) -> Result<Option<Unit>, String> {
    let entries = entries(folder)?;
    refuse_unnumbered(&entries)?;
    let mut clients: Vec<(u64, PathBuf)> = entries
        .into_iter()
        .filter(|entry| entry.is_dir())
        .filter_map(|entry| Some((client_number(&entry)?, entry)))
        .collect();
    clients.sort();
    let of = |name: &str| -> Vec<PathBuf> {
        clients.iter().map(|(_, client)| client.join(name)).filter(|file| file.is_file()).collect()
    };
    let parts = of(OPERATIONS);
    let watches = of("watch.json");
    let unit = Unit::EtcdReport { folder: folder.to_owned(), parts: parts.clone(), watches };
    Ok((!parts.is_empty()).then_some(unit))
}

/// A client's folder without a number is no client to etcd, which refuses it. Left out, its writes would be missing from the
/// history, and the rest would be accused.
fn refuse_unnumbered(entries: &[PathBuf]) -> Result<(), String> {
    let is_client = |entry: &&PathBuf| {
        entry.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("client-"))
    };
    let mut clients = entries.iter().filter(is_client).filter(|entry| entry.join(OPERATIONS).is_file());
    match clients.find(|client| client_number(client).is_none()) {
        None => Ok(()),
        Some(client) => Err(format!(
            "{}: a client's folder without a number: expected `client-N`, such as client-1",
            client.display()
        )),
    }
}

fn client_number(folder: &Path) -> Option<u64> {
    folder.file_name()?.to_str()?.strip_prefix("client-")?.parse().ok()
}

/// The history among the files of a test in Jepsen's store; `None` if it is no such folder.
fn jepsen_store(entries: &[PathBuf]) -> Option<PathBuf> {
    let names: BTreeSet<&str> = entries
        .iter()
        .filter(|entry| entry.is_file())
        .filter_map(|entry| entry.file_name()?.to_str())
        .collect();
    let beside =
        ["results.edn", "jepsen.log", "history.txt", "test.jepsen", "test.fressian", "timeline.html"];
    let count = beside.iter().filter(|name| names.contains(**name)).count();
    let history = match names.contains("history.edn") {
        true if count > 0 => "history.edn",
        false if count > 1 => {
            ["history.txt", "jepsen.log", "test.jepsen"].into_iter().find(|name| names.contains(name))?
        }
        _ => return None,
    };
    entries.iter().find(|entry| entry.file_name().is_some_and(|name| name == history)).cloned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Folder;
    use super::*;

    fn found(folder: &Folder, files: &[&str], ask: &str) -> Vec<String> {
        for file in files {
            folder.file(file, "");
        }
        let units = find(&folder.0.join(ask)).unwrap().units;
        let short = |path: &Path| {
            let root = folder.0.canonicalize().unwrap();
            path.canonicalize().unwrap().strip_prefix(root).unwrap().display().to_string()
        };
        units
            .iter()
            .map(|unit| match unit {
                Unit::File { path, named } => format!("{}{}", short(path), if *named { "!" } else { "" }),
                Unit::EtcdReport { folder, parts, watches } => {
                    let parts: Vec<String> = parts.iter().map(|part| short(part)).collect();
                    format!("report {}: {} + {}", short(folder), parts.join(" "), watches.len())
                }
            })
            .collect()
    }

    #[test]
    fn a_report_not_a_file_is_the_unit() {
        let table: [(&str, &[&str], &str, &[&str]); 10] = [
            ("run", &["a/history.jsonl", "a/trace.jsonl"], "a", &["a/history.jsonl!"]),
            (
                "report",
                &[
                    "r/client-10/operations.json",
                    "r/client-2/operations.json",
                    "r/client-2/watch.json",
                    "r/server-m0/member/wal/0.wal",
                    "r/traffic.json",
                ],
                "r",
                &["report r: r/client-2/operations.json r/client-10/operations.json + 1"],
            ),
            (
                "part",
                &["r/client-1/operations.json", "r/client-2/operations.json"],
                "r/client-2/operations.json",
                &["report r: r/client-1/operations.json r/client-2/operations.json + 0"],
            ),
            (
                "client",
                &["r/client-1/operations.json", "r/client-2/operations.json"],
                "r/client-1",
                &["report r: r/client-1/operations.json r/client-2/operations.json + 0"],
            ),
            ("alone", &["r/operations.json"], "r/operations.json", &["r/operations.json!"]),
            (
                "reports",
                &["all/x/client-1/operations.json", "all/y/client-1/operations.json", "all/z.json"],
                "all",
                &[
                    "report all/x: all/x/client-1/operations.json + 0",
                    "report all/y: all/y/client-1/operations.json + 0",
                    "all/z.json",
                ],
            ),
            (
                "store",
                &[
                    "s/history.edn",
                    "s/results.edn",
                    "s/jepsen.log",
                    "s/history.txt",
                    "s/test.jepsen",
                    "s/independent/0/history.edn",
                    "s/n1/etcd.log",
                ],
                "s",
                &["s/history.edn!"],
            ),
            ("store-text", &["s/history.txt", "s/results.edn", "s/jepsen.log"], "s", &["s/history.txt!"]),
            ("store-log", &["s/jepsen.log", "s/results.edn"], "s", &["s/jepsen.log!"]),
            (
                "loose",
                &["l/a.edn", "l/history.edn", "l/b/c.log"],
                "l",
                &["l/a.edn", "l/b/c.log", "l/history.edn!"],
            ),
        ];
        for (name, files, ask, expected) in table {
            let folder = Folder::new(&format!("find-{name}"));
            assert_eq!(found(&folder, files, ask), expected, "{name}");
        }
    }

    /// Its writes would be missing, and what its readers saw would be called a lie.
    #[test]
    fn a_client_without_a_number_is_refused() {
        let folder = Folder::new("find-unnumbered");
        folder.file("r/client-1/operations.json", "");
        folder.file("r/client-a/operations.json", "");
        let error = find(&folder.0.join("r")).unwrap_err();
        assert!(error.ends_with(
            "client-a: a client's folder without a number: expected `client-N`, such as client-1"
        ));
        folder.file("s/client-1/operations.json", "");
        folder.file("s/client-logs/notes.txt", "");
        assert_eq!(find(&folder.0.join("s")).unwrap().units.len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn links_to_folders_are_not_followed() {
        let folder = Folder::new("find-links");
        folder.file("store/t/1/history.edn", "");
        folder.file("store/t/1/results.edn", "");
        std::os::unix::fs::symlink(folder.0.join("store/t/1"), folder.0.join("store/latest")).unwrap();
        std::os::unix::fs::symlink(folder.0.join("store"), folder.0.join("store/t/round")).unwrap();
        assert_eq!(found(&folder, &[], "store"), ["store/t/1/history.edn!"]);
    }
}
