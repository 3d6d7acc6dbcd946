//! One open sled. All of this runs on the host thread.

use std::{
    collections::BTreeMap,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use bytes::Bytes;
use squall_core::BatchOp;

use super::{committed, generations, rows};
use crate::seam::{EngineError, View, panic_text};

/// How often, and how long each time, opening waits for a lock that a closing sled still holds: 5 seconds in all.
const LOCK_TRIES: u32 = 500;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// How many parts of rows go into one sled batch while the whole content is replaced.
const REPLACE_BATCH: usize = 1000;

/// The key of the sled row with the count of batches. The keys of rows' parts are longer.
const COUNT_KEY: &[u8] = b"n";

/// One open sled.
pub struct Store {
    pub dir: PathBuf,
    generation: u64,
    db: sled::Db,
    /// How many batches were written to this generation.
    batches: u64,
    /// Why the store is broken: the text of its first failure.
    pub broken: Option<String>,
}

impl Store {
    pub fn open(dir: &Path) -> Result<Self, EngineError> {
        let generation = generations::current(dir)?;
        let db = open_sled(dir, generation)?;
        // Data that a crash of the process left in the page cache is made durable before it is used.
        generations::sync_all(dir, generation)?;
        let path = generations::path(dir, generation);
        let stored = db.get(COUNT_KEY).map_err(|error| sled_error("reading", &path, error))?;
        let batches = match stored {
            Some(stored) => stored.as_ref().try_into().map(u64::from_be_bytes),
            None => Ok(0),
        };
        let batches = batches.map_err(|_| corrupt(&path, "its count of batches is no number"))?;
        match committed::read(&path)? {
            Some(committed) if committed <= batches => {}
            Some(committed) => {
                let what = format!("{committed} batches were committed to it, and sled found {batches}");
                return Err(corrupt(&path, &what));
            }
            None => {
                return Err(corrupt(&path, "the count of committed batches beside it is missing or damaged"));
            }
        }
        Ok(Self { dir: dir.to_owned(), generation, db, batches, broken: None })
    }

    pub fn write(&mut self, ops: Vec<BatchOp>) -> Result<(), EngineError> {
        // A later write to a row wins.
        let mut last = BTreeMap::new();
        for op in ops {
            match op {
                BatchOp::Put { key, value } => last.insert(key, Some(value)),
                BatchOp::Delete { key } => last.insert(key, None),
            };
        }
        let mut batch = sled::Batch::default();
        for (key, value) in last {
            let first = rows::first_key(&key);
            let stale_from = value.as_ref().map_or(0, |value| rows::parts(value.len()));
            if let Some(stored) = self.db.get(&first).map_err(|error| self.sled_error("reading", error))? {
                let stale = rows::keys_from(&key, stale_from, &stored);
                let stale = stale.ok_or_else(|| corrupt(&self.path(), "a row's first part has no length"))?;
                stale.for_each(|key| batch.remove(key));
            }
            if let Some(value) = value {
                rows::encode(&key, &value).for_each(|(key, part)| batch.insert(key, part));
            }
        }
        self.batches += 1;
        batch.insert(COUNT_KEY, &self.batches.to_be_bytes());
        self.db.apply_batch(batch).map_err(|error| self.sled_error("writing to", error))
    }

    pub fn commit(&self) -> Result<(), EngineError> {
        self.db.flush().map_err(|error| self.sled_error("flushing", error))?;
        // sled's flush on Linux is sync_file_range, which does not flush the disk's cache.
        let file = self.path().join("db");
        let sync = || fs::File::open(&file)?.sync_all();
        sync().map_err(generations::io_error("syncing", &file))?;
        committed::write(&self.path(), self.batches)
    }

    pub fn view(&self) -> Result<View, EngineError> {
        let mut decoder = rows::Decoder::default();
        let corrupt = |what: String| corrupt(&self.path(), &what);
        for row in self.db.iter() {
            let (key, value) = row.map_err(|error| self.sled_error("reading", error))?;
            if key == COUNT_KEY {
                continue;
            }
            decoder.push(&key, &value).map_err(corrupt)?;
        }
        decoder.finish().map(View).map_err(corrupt)
    }

    pub fn replace(&mut self, rows: &[(Bytes, Bytes)]) -> Result<(), EngineError> {
        let next = self.generation + 1;
        generations::begin(&self.dir, next)?;
        let db = open_sled(&self.dir, next)?;
        let mut batch = sled::Batch::default();
        let mut parts = 0;
        let path = generations::path(&self.dir, next);
        let failed = |error| sled_error("writing to", &path, error);
        for (key, part) in rows.iter().flat_map(|(key, value)| rows::encode(key, value)) {
            batch.insert(key, part);
            parts += 1;
            if parts % REPLACE_BATCH == 0 {
                db.apply_batch(std::mem::take(&mut batch)).map_err(failed)?;
            }
        }
        batch.insert(COUNT_KEY, &1_u64.to_be_bytes());
        db.apply_batch(batch).map_err(failed)?;
        db.flush().map_err(failed)?;
        committed::write(&path, 1)?;
        generations::sync_all(&self.dir, next)?;
        generations::switch(&self.dir, next)?;
        self.db = db;
        self.generation = next;
        self.batches = 1;
        // The old store's threads may still write to its unlinked files, which are not read any more.
        generations::remove_others(&self.dir, Some(next))
    }

    /// Drops sled and waits until it has let go of its lock.
    pub fn close(self) {
        let path = self.path();
        drop(self.db);
        let free = || -> io::Result<bool> {
            let file = fs::File::open(path.join("db"))?;
            Ok(file.try_lock().is_ok())
        };
        for _ in 0..LOCK_TRIES {
            match free() {
                Ok(false) => thread::sleep(LOCK_WAIT),
                // Without a file there is no lock to wait for.
                Ok(true) | Err(_) => return,
            }
        }
    }

    fn path(&self) -> PathBuf {
        generations::path(&self.dir, self.generation)
    }

    fn sled_error(&self, doing: &str, error: sled::Error) -> EngineError {
        sled_error(doing, &self.path(), error)
    }
}

fn open_sled(dir: &Path, generation: u64) -> Result<sled::Db, EngineError> {
    let path = generations::path(dir, generation);
    // sled does not flush by itself: durable are the committed batches, and at most a prefix of the later ones.
    let config = sled::Config::new().path(&path).flush_every_ms(None);
    for _ in 0..LOCK_TRIES {
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(sled::Error::Io(error))) if is_lock_error(&error) => thread::sleep(LOCK_WAIT),
            Ok(Err(error)) => return Err(sled_error("opening", &path, error)),
            Err(panic) => return Err(corrupt(&path, &format!("sled panicked: {}", panic_text(&*panic)))),
        }
    }
    Err(generations::locked(dir))
}

/// sled wraps the refusal of its lock into an error of kind `Other`, with this text.
fn is_lock_error(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().starts_with("could not acquire lock")
}

fn sled_error(doing: &str, path: &Path, error: sled::Error) -> EngineError {
    match error {
        sled::Error::Io(source) => generations::io_error(doing, path)(source),
        error @ sled::Error::Corruption { .. } => corrupt(path, &error.to_string()),
        error => generations::io_error(doing, path)(io::Error::other(error)),
    }
}

fn corrupt(path: &Path, what: &str) -> EngineError {
    EngineError::Corrupt(format!(
        "the engine in {} is damaged: {what}. Put back a copy of the data folder, or remove this member from the \
         cluster, wipe its data folder and add it again",
        path.display()
    ))
}

pub fn broken(dir: &Path, what: &str) -> EngineError {
    let context = format!("using the engine in {}", dir.display());
    EngineError::Io { context, source: io::Error::other(what.to_owned()) }
}
