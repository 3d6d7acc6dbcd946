//! promtool, for the tests of this crate and of squall: where it is, and what it says.
#![allow(clippy::disallowed_methods, dead_code, reason = "tests run another program, each in its own way")]

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// promtool: where SQUALL_PROMTOOL says, or where `.ci/tool.sh promtool` has put it. `None` where there is none, said
/// loudly.
///
/// # Panics
/// Where there is none, and SQUALL_REQUIRE_PROMTOOL is 1.
pub(crate) fn promtool() -> Option<PathBuf> {
    let named = env::var_os("SQUALL_PROMTOOL").filter(|path| !path.is_empty()).map(PathBuf::from);
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|dir| dir.join("Cargo.lock").is_file())?;
    let installed = || {
        let entries = fs::read_dir(root.join(".venv")).ok()?;
        let tools = entries.filter_map(|entry| Some(entry.ok()?.path().join("usr/bin/promtool")));
        tools.filter(|path| path.is_file()).max()
    };
    if let Some(path) = named.or_else(installed) {
        return Some(path);
    }
    let what =
        "no promtool: SQUALL_PROMTOOL is not set and .venv holds none (.ci/tool.sh promtool installs it)";
    assert!(env::var("SQUALL_REQUIRE_PROMTOOL").as_deref() != Ok("1"), "{what}");
    // Written past the test runner's capture: a skipped test must not look like a passed one.
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    _ = writeln!(std::io::stderr(), "\n*** SKIPPED {test}: {what} ***\n");
    None
}

/// What `promtool test rules` says of a file, and whether all was as expected.
pub(crate) fn test_rules(promtool: &Path, file: &Path) -> (bool, String) {
    run(Command::new(promtool).args(["test", "rules"]).arg(file))
}

/// What a command says, and whether it succeeded.
pub(crate) fn run(command: &mut Command) -> (bool, String) {
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.success(), text)
}
