//! A recording of a run: what was answered, operation by operation, as the simulated build plays it.

use std::{fs, path::PathBuf, time::Instant};

use squall_conformance::{
    Answer, Delivered, Entry, Learnt, Opening, Operation, Recording, Service, condensed,
};
use squall_store::proto::mvccpb::Event;

/// A recording in the making.
pub struct Notes {
    into: PathBuf,
    began: Instant,
    recording: Recording,
    /// Whether changes that come now belong to earlier operations, and not to the last one.
    settling: bool,
}

impl Notes {
    /// `None` unless SQUALL_DIFF_RECORD names a file.
    pub fn from_environment(seed: u64, services: &[(Service, u32)]) -> Option<Notes> {
        let into = std::env::var_os("SQUALL_DIFF_RECORD")?.into();
        let recording = Recording::new(Opening::of(seed, services.to_vec()));
        Some(Notes { into, began: Instant::now(), recording, settling: false })
    }

    /// An operation is about to be asked.
    pub fn begin(&mut self, operation: &Operation) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).expect("a run is short");
        self.recording.entries.push(Entry::new(ms, operation));
        self.settling = operation.call.needs_quiet();
    }

    fn entry(&mut self) -> &mut Entry {
        self.recording.entries.last_mut().expect("one has begun")
    }

    /// All changes of earlier operations have come.
    pub fn settled(&mut self) {
        self.settling = false;
    }

    /// The recorder was told of changes.
    pub fn changes(&mut self, events: &[Event]) {
        if self.recording.entries.is_empty() {
            return;
        }
        let settling = self.settling;
        let entry = self.entry();
        let into = if settling { &mut entry.before } else { &mut entry.changes };
        into.extend(condensed(events));
    }

    /// A watcher was told of changes.
    pub fn told(&mut self, told: Delivered) {
        if self.settling && told.count > 0 {
            self.entry().told.push(told);
        }
    }

    /// etcd answered.
    pub fn answered(&mut self, etcd: &Answer) {
        let entry = self.entry();
        entry.said = etcd.condensed();
        entry.learnt = Some(Learnt::from(etcd));
    }

    /// A known difference explains squalld's answer: it is recorded instead of etcd's, which may not exist.
    pub fn known(&mut self, name: &str, squalld: &Answer) {
        let entry = self.entry();
        entry.said = squalld.condensed();
        entry.known = name.to_owned();
    }

    /// Writes the file.
    pub fn write(&self) {
        let text = self.recording.to_text();
        fs::write(&self.into, &text).unwrap_or_else(|error| panic!("{}: {error}", self.into.display()));
        let (operations, bytes) = (self.recording.entries.len(), text.len());
        println!("{}: {operations} operations, {bytes} bytes", self.into.display());
    }
}
