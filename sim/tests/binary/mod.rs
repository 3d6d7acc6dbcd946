//! The real binary, as the tests of it start it.

use std::{ffi::OsStr, path::Path, process::Command};

/// The binary with these arguments, in this folder.
pub fn squall<A: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(arguments).current_dir(folder).env_remove("NO_COLOR");
    command
}

/// What it wrote.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}
