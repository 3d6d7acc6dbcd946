//! What parent and worker tell each other: one line of JSON each.

use crate::processes::OnServer;
use crate::report::RunRecord;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first line that a worker reads: what holds for all its runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::cli) struct Settings {
    /// Where run folders go.
    pub out: AnyPath,
    /// Whether runs that pass keep everything too.
    pub keep_all: bool,
    /// Whether every seed runs twice.
    pub check_determinism: bool,
    /// What is run in place of simulated members, if anything.
    pub on: Option<OnServer>,
    /// The filter of `--log`.
    pub log: Option<String>,
    /// The worker's own watchdog, should its parent not watch.
    pub wall_limit: Duration,
}

/// One run to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::cli) struct Order {
    /// The scenario's file and text; nothing: that of the order before.
    pub file: Option<ScenarioText>,
    /// The seed.
    pub seed: u64,
    /// What it leaves.
    pub leaves: Leaves,
    /// Whether it runs twice, also where the settings do not ask for that.
    pub twice: bool,
    /// The command that makes it again, where that is not `run` with its file and its seed.
    pub reproduce: Option<String>,
    /// Make the run without its judge, and tell this failure in place of a verdict.
    pub unjudged: Option<Finding>,
}

/// What a run leaves on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum Leaves {
    /// Its folder, which holds more where it failed.
    Folder,
    /// As one seed of a search: a folder where it found what was searched for, or a defect of the harness. It is put in
    /// its place later, once no lower seed is known to find the same.
    WhatWasSearched,
    /// A folder where it failed, nothing where it passed.
    Failure,
    /// Nothing: only what it concluded counts.
    Nothing,
}

/// A scenario as its file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::cli) struct ScenarioText {
    pub path: AnyPath,
    pub text: String,
}

/// What was found about a run that did not come to its end: a failure of the checker `harness`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct Finding {
    /// What was promised.
    pub guarantee: String,
    /// What was seen.
    pub message: String,
    /// The options that the reproduction line needs beside the seed, each with a space before it.
    pub options: String,
}

impl Finding {
    /// Puts it into the run's record.
    pub fn add_to(self, record: &mut RunRecord) {
        record.add_defect("harness", &self.guarantee, self.message);
        record.reproduce.push_str(&self.options);
    }
}

/// What a worker tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// What it does from now on.
    Begins(Act),
    /// The run is made.
    Done {
        /// Its record.
        record: Box<RunRecord>,
        /// Whether its folder is staged.
        staged: bool,
        /// The processor time that it took, in seconds.
        cpu: f64,
    },
}

/// The acts of making a run. Each has the time limit for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum Act {
    /// The run.
    FirstRun,
    /// The run again: with its trace, or to compare the hashes.
    SecondRun,
    /// Its folder is written.
    Folder,
}

/// A path of any bytes, which JSON's strings are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u8>", into = "Vec<u8>")]
pub(in crate::cli) struct AnyPath(pub PathBuf);

impl AnyPath {
    pub fn of(path: &Path) -> AnyPath {
        AnyPath(path.to_owned())
    }
}

impl From<Vec<u8>> for AnyPath {
    fn from(bytes: Vec<u8>) -> AnyPath {
        AnyPath(OsString::from_vec(bytes).into())
    }
}

impl From<AnyPath> for Vec<u8> {
    fn from(path: AnyPath) -> Vec<u8> {
        path.0.as_os_str().as_bytes().to_vec()
    }
}
