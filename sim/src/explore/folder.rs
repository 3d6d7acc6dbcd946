//! A campaign's folder: `manifest.json`, `results.jsonl`, `runs/`, `findings/`, and the reports.
//!
//! `results.jsonl` is only appended to: one line when a run ends. A process that is killed loses only the runs under
//! way. It may leave a last line without its line feed. Such a line is not read, and is cut off before more is
//! appended. Every other file is written under a temporary name and renamed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    line::{Key, Line},
    manifest::{Campaign, FORMAT, Manifest, ShardNumber},
    summary::Shrunk,
};
use crate::{
    scenario::unreadable,
    text::{Refusal, write_whole},
};

/// The results of one folder, or of several merged ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// The campaigns that the results belong to.
    pub manifest: Manifest,
    /// Every run, iterations first, in order.
    pub lines: BTreeMap<Key, Line>,
    /// The shrunk scenarios of findings, by the finding's id.
    pub shrunk: BTreeMap<String, Shrunk>,
    /// Descriptions of equal runs with different results.
    pub contradictions: BTreeSet<String>,
}

impl Results {
    /// The empty results of a campaign that has not begun.
    pub fn none(manifest: Manifest) -> Results {
        Results { manifest, lines: BTreeMap::new(), shrunk: BTreeMap::new(), contradictions: BTreeSet::new() }
    }

    /// Adds a run. If the run has a line already, one of the two is kept, and a contradiction is noted if they differ.
    pub fn add(&mut self, line: Line) {
        let key = line.key();
        match self.lines.get_mut(&key) {
            None => {
                self.lines.insert(key, line);
            }
            Some(other) => {
                if line.contradicts(other) {
                    self.contradictions.insert(contradiction(other, &line));
                }
                if line.preference(other).is_lt() {
                    *other = line;
                }
            }
        }
    }
}

/// Describes a contradiction, with the same text whichever line came first.
pub(super) fn contradiction(one: &Line, other: &Line) -> String {
    let mut both =
        [one, other].map(|line| format!("{} with the hash {}", line.verdict.name(), line.audit_hash));
    both.sort();
    let [first, second] = both;
    format!("{} seed {}: {first}, and {second}", one.scenario, one.seed)
}

/// The path of a file in a campaign's folder.
pub fn manifest_path(folder: &Path) -> PathBuf {
    folder.join("manifest.json")
}

/// The path of the lines in a campaign's folder.
pub fn results_path(folder: &Path) -> PathBuf {
    folder.join("results.jsonl")
}

/// Reads a campaign's folder, or a merged one.
///
/// # Errors
/// Names what is missing or damaged, and where.
pub fn read_results(folder: &Path) -> Result<Results, Refusal> {
    let meta = fs::metadata(folder).map_err(|error| unreadable(folder, &error))?;
    if !meta.is_dir() {
        return Err(Refusal::of(
            folder,
            "this is a file: expected a campaign's folder, which holds manifest.json",
        ));
    }
    let mut results = Results::none(read_manifest(folder)?);
    let path = results_path(folder);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Refusal::of(&path, format!("cannot be read: {error}"))),
    };
    for (number, text) in whole_lines(&bytes).split(|byte| *byte == b'\n').enumerate() {
        if text.is_empty() {
            continue;
        }
        let line: Line = serde_json::from_slice(text).map_err(|error| {
            let message = error.to_string();
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
            Refusal::at(&path, (number + 1, error.column().max(1)), format!("no result of a run: {message}"))
        })?;
        if !results.manifest.campaigns.contains_key(&line.campaign) {
            let message =
                format!("a run of the campaign `{}`, which manifest.json does not have", line.campaign);
            return Err(Refusal::at(&path, (number + 1, 1), message));
        }
        if let Some(why) = cannot_be(&line, &results.manifest.campaigns[&line.campaign]) {
            return Err(Refusal::at(
                &path,
                (number + 1, 1),
                format!("the campaign's folder is damaged: {why}"),
            ));
        }
        results.add(line);
    }
    results.shrunk = read_shrunk(folder)?;
    let contradictions = folder.join("contradictions.json");
    if contradictions.exists() {
        results.contradictions.extend(read_json::<BTreeSet<String>>(&contradictions)?);
    }
    Ok(results)
}

/// Why the campaign cannot have made this run. `None` if it can.
fn cannot_be(line: &Line, campaign: &Campaign) -> Option<String> {
    let index = line.index;
    if line.canary {
        let canaries = campaign.canaries.len() as u64;
        return (index >= canaries).then(|| format!("canary {index} of {canaries}"));
    }
    // Not compared with the number of iterations: a campaign may have been resumed with another one.
    let has = |name: &String| ShardNumber::parse(name).is_none_or(|shard| shard.has(index));
    (!campaign.shards.keys().any(has)).then(|| format!("no shard of the campaign has iteration {index}"))
}

/// A file's content up to its last line feed.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &bytes[..end]
}

/// `manifest.json` of a folder.
pub fn read_manifest(folder: &Path) -> Result<Manifest, Refusal> {
    let path = manifest_path(folder);
    if !path.exists() {
        return Err(Refusal::of(
            folder,
            "this is no campaign's folder: it has no manifest.json; expected what `squall fuzz --out` or `squall merge --out` wrote",
        ));
    }
    // The version first, because a later format may have keys that this build does not know.
    let value: serde_json::Value = read_json(&path)?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(format) => {
            return Err(Refusal::of(
                &path,
                format!(
                    "the campaign has format {format}, this build reads format {FORMAT}: use the build that wrote it"
                ),
            ));
        }
        None => {
            return Err(Refusal::of(
                &path,
                "the campaign's folder is damaged: manifest.json has no `format`",
            ));
        }
    }
    let manifest: Manifest = read_json(&path)?;
    if let Some((key, campaign)) = manifest.campaigns.iter().find(|(key, campaign)| **key != campaign.id()) {
        let message = format!(
            "the campaign's folder is damaged: manifest.json has the key {key} for the campaign {}",
            campaign.id()
        );
        return Err(Refusal::of(&path, message));
    }
    Ok(manifest)
}

fn read_shrunk(folder: &Path) -> Result<BTreeMap<String, Shrunk>, Refusal> {
    let mut shrunk = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder.join("findings")) else { return Ok(shrunk) };
    for entry in entries.flatten() {
        let path = entry.path().join("shrunk.json");
        if path.exists() {
            shrunk.insert(entry.file_name().to_string_lossy().into_owned(), read_json(&path)?);
        }
    }
    Ok(shrunk)
}

/// Reads a JSON file that squall has written.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Refusal> {
    let text = crate::scenario::read_text(path)?;
    serde_json::from_str(&text).map_err(|error| {
        let what = error.to_string();
        let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
        Refusal::at(
            path,
            (error.line().max(1), error.column().max(1)),
            format!("the file is damaged: {what}"),
        )
    })
}

/// Writes a JSON file whole or not at all.
///
/// # Errors
/// The file system's error, with the path.
pub fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    text.push('\n');
    write_whole(path, text.as_bytes())
}

/// Appends lines to a file. Only one process at a time can hold it.
#[derive(Debug)]
pub struct Appender {
    file: File,
}

impl Appender {
    /// Opens the file, or makes it, cuts off a last line without its end, and locks it.
    ///
    /// # Errors
    /// The file system's error; `WouldBlock` if another process has locked the file.
    pub fn open(path: &Path) -> io::Result<Appender> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        file.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
            fs::TryLockError::Error(error) => error,
        })?;
        let bytes = fs::read(path)?;
        file.set_len(whole_lines(&bytes).len() as u64)?;
        Ok(Appender { file })
    }

    /// Empties the file.
    ///
    /// # Errors
    /// The file system's error.
    pub fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)
    }

    /// Appends a line, which ends with a line feed, in one system call.
    ///
    /// # Errors
    /// The file system's error.
    pub fn append(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(line.as_bytes())
    }
}
