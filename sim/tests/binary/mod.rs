//! Starts the real binary for tests.

use std::{ffi::OsStr, path::Path, process::Command};

/// The binary with these arguments, in this folder.
pub fn squall<A: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(arguments).current_dir(folder).env_remove("NO_COLOR");
    command
}

/// The output as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A quiet, short scenario, to which tests can add.
pub const GOOD: &str = "\
apiVersion: squall/v1
kind: Scenario
metadata: {name: good}
spec:
  cluster: {members: 3, snapshotCount: 100, snapshotCatchupEntries: 20, walSegmentBytes: 16384}
  workloads: [{type: register, clients: 3, rate: 60}]
  timeLimit: 6s
  faults:
    - {name: cut, at: 2s..3s, action: partition, selector: {role: leader}, duration: 2s}
  final: {settle: 4s}
";
