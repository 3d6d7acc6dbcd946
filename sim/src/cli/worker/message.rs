//! The messages between parent and worker: one line of JSON each.

use crate::processes::OnServer;
use crate::report::RunRecord;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first line that a worker reads: the settings of all its runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::cli) struct Settings {
    /// The folder for run folders.
    pub out: AnyPath,
    /// Whether runs that pass keep everything too.
    pub keep_all: bool,
    /// Whether every seed runs twice.
    pub check_determinism: bool,
    /// The server that runs instead of simulated members, if any.
    pub on: Option<OnServer>,
    /// The filter of `--log`.
    pub log: Option<String>,
    /// The limit of the worker's own watchdog, in case its parent does not watch.
    pub wall_limit: Duration,
}

/// One run to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::cli) struct Order {
    /// The scenario's file and text; `None` for the scenario of the previous order.
    pub file: Option<ScenarioText>,
    /// The seed.
    pub seed: u64,
    /// What the run leaves on disk.
    pub leaves: Leaves,
    /// Whether it runs twice, even if the settings do not ask for that.
    pub twice: bool,
    /// The command that repeats the run, if it is not `run` with the file and the seed.
    pub reproduce: Option<String>,
    /// Make the run without its judge, and report this failure instead of a verdict.
    pub unjudged: Option<Finding>,
}

/// What a run leaves on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum Leaves {
    /// Its folder, which holds more if the run failed.
    Folder,
    /// For one seed of a search: a folder if it found the bug or a defect of the harness. The folder is committed
    /// later, once it is certain that no lower seed finds the bug.
    WhatWasSearched,
    /// A folder if it failed, nothing if it passed.
    Failure,
    /// Nothing: only its verdict is needed.
    Nothing,
}

/// A scenario's file: its path and its text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::cli) struct ScenarioText {
    pub path: AnyPath,
    pub text: String,
}

/// The finding about a run that did not end normally: a failure of the checker `harness`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct Finding {
    /// The broken guarantee.
    pub guarantee: String,
    /// What was observed.
    pub message: String,
    /// The options that the reproduction line needs after the seed, each with a space before it.
    pub options: String,
}

impl Finding {
    /// Adds the finding to the run's record.
    pub fn add_to(self, record: &mut RunRecord) {
        record.add_defect("harness", &self.guarantee, self.message);
        record.reproduce.push_str(&self.options);
    }
}

/// A worker's messages.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The worker begins an act.
    Begins(Act),
    /// The run has ended.
    Done {
        /// Its record.
        record: Box<RunRecord>,
        /// Whether its folder is staged.
        staged: bool,
        /// The processor time that it took, in seconds.
        cpu: f64,
    },
}

/// The acts of making a run. The time limit applies to each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum Act {
    /// The run.
    FirstRun,
    /// The same run again: with its trace, or to compare the hashes.
    SecondRun,
    /// Its folder is written.
    Folder,
}

/// A path of any bytes. A JSON string cannot hold all of them.
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
