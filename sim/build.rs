//! Records what the binary is made of, so that a run folder can say what reproduces it: the commit and whether the tree
//! was dirty, the compiler, and fingerprints of the lock file and of the sources. Nothing here fails a build: what
//! cannot be found out is recorded as absent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("..");
    let commit = git(&root, &["rev-parse", "HEAD"]).unwrap_or_else(|| "absent".into());
    let dirty = match git(&root, &["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if !changes.is_empty() => "dirty",
        Some(_) => "clean",
        None => "absent",
    };
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let toolchain = run(Command::new(rustc).arg("-V")).unwrap_or_else(|| "absent".into());

    canaries(&root.join("scenarios/canary"));

    let lock = root.join("Cargo.lock");
    let mut sources = Vec::new();
    for part in [
        "store/core",
        "store/src",
        "store/proto",
        "store/conformance/src",
        "sim/disk/src",
        "sim/checker/src",
        "sim/alerts/src",
        "sim/src",
    ] {
        collect(&root.join(part), &mut sources);
        println!("cargo::rerun-if-changed={}", root.join(part).display());
    }
    let manifests =
        ["Cargo.toml", "store/Cargo.toml", "sim/Cargo.toml", "sim/disk/Cargo.toml", "sim/checker/Cargo.toml"];
    for file in ["Cargo.lock"].into_iter().chain(manifests) {
        sources.push(root.join(file));
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }
    sources.sort();
    let mut fingerprint = Fingerprint::new();
    for file in &sources {
        fingerprint.add(file.strip_prefix(&root).unwrap_or(file).to_string_lossy().as_bytes());
        fingerprint.add(&fs::read(file).unwrap_or_default());
    }
    let mut lock_print = Fingerprint::new();
    lock_print.add(&fs::read(lock).unwrap_or_default());

    // Each commit writes a line to the log of HEAD, also in a worktree.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&root, &["rev-parse", "--git-path", name]) {
            let path = root.join(path);
            if path.exists() {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
    }
    println!("cargo::rustc-env=SQUALL_COMMIT={commit}");
    println!("cargo::rustc-env=SQUALL_TREE={dirty}");
    println!("cargo::rustc-env=SQUALL_TOOLCHAIN={toolchain}");
    println!("cargo::rustc-env=SQUALL_LOCK={:016x}", lock_print.0);
    println!("cargo::rustc-env=SQUALL_SOURCES={:016x}", fingerprint.0);
}

/// Writes the list of the canaries and their texts, which `sim/src/explore/canaries.rs` includes.
fn canaries(folder: &Path) {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    collect(folder, &mut files);
    files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    let mut list = String::from("const CANARIES: &[(&str, &str)] = &[\n");
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(&file).unwrap_or_default();
        list.push_str(&format!("    ({:?}, {text:?}),\n", format!("scenarios/canary/{name}")));
    }
    list.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("canaries.rs"), list).expect("the build's folder can be written");
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    run(Command::new("git").arg("-C").arg(root).args(arguments))
}

fn run(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// FNV-1a, 64 bits, each part with its length: it guards against accidents, not against malice.
struct Fingerprint(u64);

impl Fingerprint {
    fn new() -> Fingerprint {
        Fingerprint(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, part: &[u8]) {
        for byte in (part.len() as u64).to_le_bytes().iter().chain(part) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
