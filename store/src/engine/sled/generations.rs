//! The engine's folder: one subfolder for each generation of the content, and a pointer file that names the current
//! one.
//!
//! ```text
//! <engine>/CURRENT                the name of the current generation's folder, and a newline
//! <engine>/generation-<16 hex>/   sled's files, and the count of committed batches
//! ```
//! To replace the whole content, the next generation is written and synced, and then a rename switches the pointer.
//! A crash leaves the old or the new generation in force. Opening removes every other generation, whether half
//! written or old.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use super::committed;
use crate::seam::EngineError;

const POINTER: &str = "CURRENT";
const POINTER_UNFINISHED: &str = "CURRENT.tmp";
const PREFIX: &str = "generation-";

/// Finds the current generation, or begins the first; removes the others.
pub fn current(dir: &Path) -> Result<u64, EngineError> {
    fs::create_dir_all(dir).map_err(io_error("creating", dir))?;
    let pointer = dir.join(POINTER);
    let current = match fs::read_to_string(&pointer) {
        Ok(text) => parse(text.trim_end()).ok_or_else(|| {
            EngineError::Corrupt(format!(
                "{} names no generation of the engine's content: it holds {text:?}. Put back a copy of the data folder, \
                 or remove this member from the cluster, wipe its data folder and add it again",
                pointer.display()
            ))
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Without a pointer the first generation was never finished.
            remove_others(dir, None)?;
            begin(dir, 1)?;
            sync_all(dir, 1)?;
            switch(dir, 1)?;
            if let Some(parent) = dir.parent() {
                sync_dir(parent)?;
            }
            1
        }
        Err(error) => return Err(io_error("reading", &pointer)(error)),
    };
    if !path(dir, current).is_dir() {
        return Err(EngineError::Corrupt(format!(
            "{} names {}, which is not there. Put back a copy of the data folder, or remove this member from the \
             cluster, wipe its data folder and add it again",
            pointer.display(),
            path(dir, current).display()
        )));
    }
    remove_others(dir, Some(current))?;
    Ok(current)
}

/// Makes an empty folder for a generation, with nothing committed.
pub fn begin(dir: &Path, generation: u64) -> Result<(), EngineError> {
    let path = path(dir, generation);
    if path.exists() {
        fs::remove_dir_all(&path).map_err(io_error("removing the unfinished", &path))?;
    }
    fs::create_dir_all(&path).map_err(io_error("creating", &path))?;
    committed::write(&path, 0)
}

/// Makes a generation the current one. Its content is durable already.
pub fn switch(dir: &Path, generation: u64) -> Result<(), EngineError> {
    let unfinished = dir.join(POINTER_UNFINISHED);
    let write = || {
        let mut file = fs::File::create(&unfinished)?;
        writeln!(file, "{PREFIX}{generation:016x}")?;
        file.sync_all()
    };
    write().map_err(io_error("writing", &unfinished))?;
    let pointer = dir.join(POINTER);
    fs::rename(&unfinished, &pointer).map_err(io_error("renaming into place", &pointer))?;
    sync_dir(dir)
}

/// Removes every generation but one.
pub fn remove_others(dir: &Path, keep: Option<u64>) -> Result<(), EngineError> {
    for entry in fs::read_dir(dir).map_err(io_error("listing", dir))? {
        let entry = entry.map_err(io_error("listing", dir))?;
        let generation = entry.file_name().to_str().and_then(parse);
        if generation.is_some() && generation != keep {
            fs::remove_dir_all(entry.path()).map_err(io_error("removing", &entry.path()))?;
        }
    }
    Ok(())
}

/// Makes every file in a generation's folder durable, and their names.
pub fn sync_all(dir: &Path, generation: u64) -> Result<(), EngineError> {
    let mut folders = vec![path(dir, generation)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(io_error("listing", &folder))? {
            let path = entry.map_err(io_error("listing", &folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let sync = || fs::File::open(&path)?.sync_all();
                sync().map_err(io_error("syncing", &path))?;
            }
        }
        sync_dir(&folder)?;
    }
    sync_dir(dir)
}

/// A generation's folder.
pub fn path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("{PREFIX}{generation:016x}"))
}

/// Names what was being done in an I/O error.
pub fn io_error<'a>(doing: &'a str, path: &'a Path) -> impl Fn(io::Error) -> EngineError + 'a {
    move |source| EngineError::Io { context: format!("{doing} {}", path.display()), source }
}

/// The refusal of a store that is open elsewhere.
pub fn locked(dir: &Path) -> EngineError {
    EngineError::Locked(format!(
        "the engine in {} is open in another process, which holds its lock: most likely this member is running \
         already. Stop that process, or start this member with a data folder of its own",
        dir.display()
    ))
}

fn sync_dir(dir: &Path) -> Result<(), EngineError> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let sync = || fs::File::open(dir)?.sync_all();
    sync().map_err(io_error("syncing the folder", dir))
}

fn parse(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    if digits.len() == 16 { u64::from_str_radix(digits, 16).ok() } else { None }
}
