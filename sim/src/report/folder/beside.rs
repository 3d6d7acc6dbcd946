//! Temporary folders next to a run folder while processes work on it, `.<seed>.<what>-<pid>`: the folder that is being
//! written, the one that it replaces, and the disks of real servers. A process that was killed leaves them there; a
//! later run sweeps them.

use super::write::remove;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder with the disks and logs of a run's processes, `.<seed>.work-<pid>` next to the run folder. Dropping it
/// removes it.
#[derive(Debug)]
pub struct Workplace(PathBuf);

impl Workplace {
    /// The workplace that process `pid` makes for the run of `run_dir`.
    pub fn by(run_dir: &Path, pid: u32) -> Workplace {
        Workplace(beside(run_dir, "work", pid))
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.0
    }
}

impl Drop for Workplace {
    #[allow(
        clippy::disallowed_methods,
        reason = "outside any simulation: it waits for processes that are being killed"
    )]
    fn drop(&mut self) {
        for _ in 0..50 {
            if remove(&self.0).is_ok() {
                return;
            }
            // Processes that are being killed may still write. A later run sweeps what is left.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// The path of process `pid`'s temporary folder of kind `what` for `run_dir`.
pub(super) fn beside(run_dir: &Path, what: &str, pid: u32) -> PathBuf {
    let name = run_dir.file_name().unwrap_or_default().to_string_lossy();
    run_dir.with_file_name(format!(".{name}.{what}-{pid}"))
}

/// Removes what killed processes left in a scenario's folder of run folders, `OUT/<scenario>`: incomplete folders, and
/// old folders that were replaced. An old folder whose replacement is missing is put back.
pub fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((seed, what, pid)) = name.to_str().and_then(parts_of) else { continue };
        if Path::new("/proc").join(pid).exists() {
            continue;
        }
        let run_dir = folder.join(seed);
        // Errors are ignored: left-over folders do no harm.
        let _left = if what == "old" && !run_dir.exists() {
            fs::rename(entry.path(), run_dir)
        } else {
            remove(&entry.path())
        };
    }
}

/// The parts of a folder's name that [`beside`] made: seed, kind (`new`, `old` or `work`), and pid.
fn parts_of(name: &str) -> Option<(&str, &str, &str)> {
    let (seed, rest) = name.strip_prefix('.')?.split_once('.')?;
    let (what, pid) = rest.split_once('-')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (number(seed) && number(pid) && matches!(what, "new" | "old" | "work")).then_some((seed, what, pid))
}
