//! A script's disk: the crash disk of the WAL's tests. It prints every change, and has a gate in front of each.
//!
//! While the gate is held, a change waits until the script lets it through, so that a script can stop a member
//! between any two steps and crash it there. An append to the log is printed as its records.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    task::Poll,
};

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Entry, HardState, SnapshotMetadata};
use squall_core::{Batch, BatchOp, State};

use super::narrate::{Narrator, entry_text};
use crate::{
    seam::{BoxFuture, DirLock, Engine, EngineError, Engines, File, Files, View},
    wal::{
        crash_disk::CrashDisk,
        record::{self, Kind, Step},
    },
};

/// Lets changes through, or makes them wait.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<Mutex<(bool, u32)>>);

impl Gate {
    /// After `after` more changes, each change waits for a permit.
    pub(super) fn hold(&self, after: u32) {
        *self.0.lock().unwrap() = (true, after);
    }

    /// Lets the next `changes` changes through.
    pub(super) fn permit(&self, changes: u32) {
        self.0.lock().unwrap().1 += changes;
    }

    /// Opens the gate for all changes.
    pub(super) fn release(&self) {
        *self.0.lock().unwrap() = (false, 0);
    }

    async fn pass(&self) {
        poll_fn(|_| {
            let (held, permits) = &mut *self.0.lock().unwrap();
            if !*held {
                return Poll::Ready(());
            }
            match permits.checked_sub(1) {
                Some(left) => {
                    *permits = left;
                    Poll::Ready(())
                }
                None => Poll::Pending,
            }
        })
        .await;
    }
}

/// The files of one member.
#[derive(Clone)]
pub(super) struct ScriptDisk {
    pub(super) disk: CrashDisk,
    pub(super) gate: Gate,
    narrator: Narrator,
    /// For each log segment: how many of its bytes have been printed, and the chain's value there.
    told: Arc<Mutex<BTreeMap<PathBuf, (usize, u32)>>>,
}

impl ScriptDisk {
    pub(super) fn new(narrator: Narrator, gate: Gate) -> ScriptDisk {
        ScriptDisk { disk: CrashDisk::new(), gate, narrator, told: Arc::default() }
    }

    /// Power loss: everything unsynced is gone.
    pub(super) fn lose_unsynced(&self) {
        self.disk.lose_unsynced();
        self.told.lock().unwrap().clear();
    }

    fn line(&self, what: &str) {
        self.narrator.line(&format!("disk: {what}"));
    }

    /// Prints the records that an append to a log segment wrote.
    fn tell_records(&self, path: &Path, content: &[u8]) {
        let mut told = self.told.lock().unwrap();
        let (mut offset, mut chain) =
            told.get(path).copied().unwrap_or((0, record::chain_at_start(content).unwrap_or(0)));
        let mut texts = Vec::new();
        while let Step::Record { record, next, chain: after } = record::decode(content, offset, chain) {
            (offset, chain) = (next, after);
            texts.extend(self.record_text(record.kind, &record.payload));
        }
        told.insert(path.to_owned(), (offset, chain));
        drop(told);
        if !texts.is_empty() {
            self.narrator.line(&format!("wal: append {}", texts.join(", ")));
        }
    }

    fn record_text(&self, kind: Kind, payload: &[u8]) -> Option<String> {
        match kind {
            Kind::Entry => Some(format!("entry {}", entry_text(&Entry::parse_from_bytes(payload).ok()?))),
            Kind::HardState => {
                let state = HardState::parse_from_bytes(payload).ok()?;
                let vote = self.narrator.names.name(state.vote);
                Some(format!("hard state term={} vote={vote} commit={}", state.term, state.commit))
            }
            Kind::Snapshot => {
                let metadata = SnapshotMetadata::parse_from_bytes(payload).ok()?;
                let voters = self.narrator.names.list(&metadata.get_conf_state().voters);
                Some(format!("snapshot record {}/{} voters={voters}", metadata.index, metadata.term))
            }
            Kind::Chain | Kind::Metadata => None,
        }
    }
}

fn short(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn is_wal(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "wal")
}

/// Passes a change through the gate, makes it, and prints it.
macro_rules! change {
    ($self:ident, $told:expr, $change:expr) => {
        Box::pin(async move {
            $self.gate.pass().await;
            let result = $change.await;
            if result.is_ok() {
                $self.line(&$told);
            }
            result
        })
    };
}

impl Files for ScriptDisk {
    fn create<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn File>>> {
        Box::pin(async move {
            self.gate.pass().await;
            let file = self.disk.create(path).await?;
            self.line(&format!("create {}", short(path)));
            self.told.lock().unwrap().remove(path);
            let file: Box<dyn File> =
                Box::new(ScriptFile { disk: self.clone(), path: path.to_owned(), file });
            Ok(file)
        })
    }

    fn open<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn File>>> {
        Box::pin(async move {
            let mut file = self.disk.open(path).await?;
            if is_wal(path) {
                // The content that is there already is not printed again.
                let content = file.read_at(0, usize::MAX / 2).await?;
                let (mut offset, mut chain) = (0, record::chain_at_start(&content).unwrap_or(0));
                while let Step::Record { next, chain: after, .. } = record::decode(&content, offset, chain) {
                    (offset, chain) = (next, after);
                }
                self.told.lock().unwrap().insert(path.to_owned(), (offset, chain));
            }
            let file: Box<dyn File> =
                Box::new(ScriptFile { disk: self.clone(), path: path.to_owned(), file });
            Ok(file)
        })
    }

    fn read<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Bytes>> {
        self.disk.read(path)
    }

    fn list<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<Vec<String>>> {
        self.disk.list(dir)
    }

    fn exists<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<bool>> {
        self.disk.exists(path)
    }

    fn create_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        self.disk.create_dir_all(dir)
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        change!(self, format!("rename {} to {}", short(from), short(to)), self.disk.rename(from, to))
    }

    fn remove<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            // Removing a file that does not exist changes nothing.
            if !self.disk.exists(path).await? {
                return self.disk.remove(path).await;
            }
            self.gate.pass().await;
            self.disk.remove(path).await?;
            self.line(&format!("remove {}", short(path)));
            Ok(())
        })
    }

    fn remove_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        change!(self, format!("remove all of {}", short(dir)), self.disk.remove_dir_all(dir))
    }

    fn sync_dir<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        change!(self, format!("sync folder {}", short(dir)), self.disk.sync_dir(dir))
    }

    fn lock<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn DirLock>>> {
        self.disk.lock(path)
    }
}

struct ScriptFile {
    disk: ScriptDisk,
    path: PathBuf,
    file: Box<dyn File>,
}

impl File for ScriptFile {
    fn append(&mut self, data: Bytes) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            self.disk.gate.pass().await;
            self.file.append(data).await?;
            if is_wal(&self.path) {
                let content = self.file.read_at(0, usize::MAX / 2).await?;
                self.disk.tell_records(&self.path, &content);
            }
            Ok(())
        })
    }

    fn read_at(&mut self, offset: u64, len: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        self.file.read_at(offset, len)
    }

    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            self.disk.gate.pass().await;
            self.file.sync().await?;
            if is_wal(&self.path) {
                self.disk.narrator.line("wal: sync");
            } else {
                self.disk.line(&format!("sync {}", short(&self.path)));
            }
            Ok(())
        })
    }

    fn truncate(&mut self, len: u64) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            self.disk.gate.pass().await;
            self.file.truncate(len).await?;
            self.disk.line(&format!("cut {}", short(&self.path)));
            Ok(())
        })
    }

    fn len(&self) -> u64 {
        self.file.len()
    }
}

/// The engine of one member: what is durable, and the batches that are not yet.
#[derive(Clone)]
pub(super) struct ScriptEngine {
    rows: Arc<Mutex<EngineRows>>,
    gate: Gate,
    narrator: Narrator,
}

#[derive(Default)]
struct EngineRows {
    durable: BTreeMap<Bytes, Bytes>,
    pending: Vec<Batch>,
}

impl EngineRows {
    fn all(&self) -> BTreeMap<Bytes, Bytes> {
        let mut rows = self.durable.clone();
        self.pending.iter().for_each(|batch| write(&mut rows, batch));
        rows
    }
}

fn write(rows: &mut BTreeMap<Bytes, Bytes>, batch: &Batch) {
    for op in batch.ops() {
        match op {
            BatchOp::Put { key, value } => rows.insert(key.clone(), value.clone()),
            BatchOp::Delete { key } => rows.remove(key),
        };
    }
}

impl ScriptEngine {
    pub(super) fn new(narrator: Narrator, gate: Gate) -> ScriptEngine {
        ScriptEngine { rows: Arc::default(), gate, narrator }
    }

    /// Power loss: of the batches that were not committed, the first `keep` survive.
    pub(super) fn lose_unsynced(&self, keep: usize) {
        let mut rows = self.rows.lock().unwrap();
        let pending = std::mem::take(&mut rows.pending);
        pending.iter().take(keep).for_each(|batch| write(&mut rows.durable, batch));
    }

    /// The index up to which the engine is durable.
    pub(super) fn durable_index(&self) -> u64 {
        let rows = self.rows.lock().unwrap().durable.clone();
        State::restore(rows).expect("the engine holds what the core wrote").applied().0.0
    }
}

impl Engines for ScriptEngine {
    fn open<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, Result<Arc<dyn Engine>, EngineError>> {
        let engine: Arc<dyn Engine> = Arc::new(self.clone());
        Box::pin(async move { Ok(engine) })
    }
}

impl Engine for ScriptEngine {
    fn write(&self, batch: &Batch) {
        self.rows.lock().unwrap().pending.push(batch.clone());
    }

    fn commit(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        // What is written after this call belongs to a later commit.
        let count = self.rows.lock().unwrap().pending.len();
        Box::pin(async move {
            self.gate.pass().await;
            {
                let mut rows = self.rows.lock().unwrap();
                let batches: Vec<Batch> = {
                    let count = count.min(rows.pending.len());
                    rows.pending.drain(..count).collect()
                };
                batches.iter().for_each(|batch| write(&mut rows.durable, batch));
            }
            self.narrator.line(&format!("engine: durable up to {}", self.durable_index()));
            Ok(())
        })
    }

    fn view(&self) -> Result<View, EngineError> {
        Ok(View(self.rows.lock().unwrap().all().into_iter().collect()))
    }

    fn replace(&self, rows: Vec<(Bytes, Bytes)>) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async move {
            self.gate.pass().await;
            *self.rows.lock().unwrap() =
                EngineRows { durable: rows.into_iter().collect(), pending: Vec::new() };
            self.narrator.line(&format!("engine: replaced, durable up to {}", self.durable_index()));
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
