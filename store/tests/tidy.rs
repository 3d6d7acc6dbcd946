//! Rules over the sources of the whole workspace that neither the compiler nor clippy can check.
#![allow(clippy::disallowed_methods, reason = "the test reads sources, and runs the compiler over one")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("store/ lies in the workspace").to_owned()
}

/// Every Rust source of the workspace, as (path below the workspace, text), sorted.
fn sources() -> Vec<(String, String)> {
    let root = workspace();
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["store", "sim", "benches"].iter().map(|name| root.join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !name.starts_with("target") {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let text =
                    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                found.push((path.strip_prefix(&root).unwrap().display().to_string(), text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 50, "only {} sources: is the folder list right?", found.len());
    found
}

/// The lines with a `select!` that picks its branch by a counter of the whole process. Comments do not count.
fn unbiased_selects(text: &str) -> Vec<usize> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let mut found = Vec::new();
    for (at, line) in code.iter().enumerate() {
        let mut rest = *line;
        while let Some(begin) = rest.find("select!") {
            let named = rest[..begin].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            rest = &rest[begin + "select!".len()..];
            let inside: String = [rest].into_iter().chain(code[at + 1..].iter().take(3).copied()).collect();
            // Only a bracket makes it a macro call: `select!` in a message is not one.
            let Some(body) = inside.trim_start().strip_prefix(['{', '(']) else { continue };
            if !named && !body.trim_start().starts_with("biased;") {
                found.push(at + 1);
            }
        }
    }
    found
}

#[test]
fn every_select_is_biased() {
    let found: Vec<String> = sources()
        .iter()
        .filter(|(path, _)| !path.ends_with("tests/tidy.rs"))
        .flat_map(|(path, text)| unbiased_selects(text).into_iter().map(move |line| format!("{path}:{line}")))
        .collect();
    assert!(
        found.is_empty(),
        "select! without `biased;` picks its branch by a counter of the whole process: the same seed would run \
         differently. Say `biased;`, and put first what must win:\n{}",
        found.join("\n")
    );
}

/// Every error in the list must be planted somewhere: otherwise a test that switches it on proves nothing.
#[cfg(madsim)]
#[test]
fn every_planted_error_is_planted() {
    let sources = sources();
    // The simulated engine implements a seam of the store, so an engine's error may be planted there. Errors of clients are
    // planted where the clients start.
    let is_code = |path: &str| {
        ["store/", "sim/src/world/disk/", "sim/src/workload/"].iter().any(|folder| path.starts_with(folder))
    };
    let code = sources.iter().filter(|(path, _)| is_code(path) && !path.ends_with("/planted.rs"));
    let text: String = code.map(|(_, text)| text.as_str()).collect();
    let missing: Vec<_> = squall_core::planted::Bug::ALL
        .iter()
        .filter(|bug| !text.contains(&format!("planted!({bug:?})")))
        .collect();
    assert!(missing.is_empty(), "switches that switch nothing: {missing:?}");
}

#[test]
fn the_select_rule_sees_what_it_should() {
    let tidy = "tokio::select! {\n    biased;\n    a = b => {}\n}\nselect_biased! { x }\n// select! { x }\n";
    assert_eq!(unbiased_selects(tidy), [0usize; 0]);
    let untidy = "fn f() {}\ntokio::select! {\n    a = b => {}\n}\nselect!{a = b => {}}\n";
    assert_eq!(unbiased_selects(untidy), [2, 5]);
}

#[test]
fn the_store_forbids_all_that_the_workspace_forbids() {
    let list = |path: &str| -> Vec<String> {
        let text =
            fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        text.lines().filter(|line| line.starts_with("  { path")).map(str::to_owned).collect()
    };
    let (all, store) = (list("clippy.toml"), list("store/clippy.toml"));
    assert!(all.len() > 10, "the workspace's list is all but empty");
    let missing: Vec<_> = all.iter().filter(|line| !store.contains(line)).collect();
    assert!(missing.is_empty(), "in clippy.toml, and not in store/clippy.toml:\n{missing:#?}");
}

/// With neither flag set, or with both, the build stops and says what to do. The test runs the compiler on the part of
/// the crate's root before its modules, so that nothing else is compiled.
#[test]
fn a_build_that_is_neither_simulated_nor_real_says_what_to_do() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let whole =
        fs::read_to_string(workspace().join("store/src/lib.rs")).expect("the crate's root can be read");
    let guards: Vec<&str> = whole.lines().take_while(|line| !line.starts_with("mod ")).collect();
    let root = folder.join("guards.rs");
    fs::write(&root, guards.join("\n")).expect("the target folder can be written");
    let complaints = |flags: &[&str]| {
        let out = Command::new(&rustc)
            .args([
                "--edition=2024",
                "--crate-type=lib",
                "--crate-name=squall_store",
                "--emit=metadata",
                "-o",
            ])
            .arg(folder.join("guards.rmeta"))
            .args(flags)
            .arg(&root)
            .output()
            .unwrap_or_else(|error| panic!("{rustc:?}: {error}"));
        (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (built, neither) = complaints(&[]);
    assert!(!built && neither.contains("Neither flag is set") && neither.contains("Unset it"), "{neither}");
    let (built, both) = complaints(&["--cfg", "madsim", "--cfg", "real_server"]);
    assert!(!built && both.contains("exclude each other"), "{both}");
    for one in ["madsim", "real_server"] {
        let (built, complaint) = complaints(&["--cfg", one]);
        assert!(built, "{complaint}");
    }
}
