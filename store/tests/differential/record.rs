//! A recording of a run: what was answered, operation by operation, as the simulated build plays it.

use std::{fs, path::PathBuf, time::Instant};

use squall_conformance::{Answer, Entry, Learnt, Opening, Operation, Recording, Service, Told};
use squall_store::proto::mvccpb::Event;

/// What is to be recorded.
pub struct Notes {
    into: PathBuf,
    began: Instant,
    recording: Recording,
    /// Where changes belong that come now: to what was before the operation, or to the operation.
    quiet_comes: bool,
}

impl Notes {
    /// Where SQUALL_DIFF_RECORD names a file.
    pub fn from_environment(seed: u64, services: &[(Service, u32)]) -> Option<Notes> {
        let into = std::env::var_os("SQUALL_DIFF_RECORD")?.into();
        let recording = Recording::new(Opening::of(seed, services.to_vec()));
        Some(Notes { into, began: Instant::now(), recording, quiet_comes: false })
    }

    /// An operation is about to be asked.
    pub fn begin(&mut self, operation: &Operation) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).expect("a run is short");
        self.recording.entries.push(Entry::new(ms, operation));
        self.quiet_comes = operation.call.needs_quiet();
    }

    fn entry(&mut self) -> &mut Entry {
        self.recording.entries.last_mut().expect("one has begun")
    }

    /// All that was before it is settled.
    pub fn is_quiet(&mut self) {
        self.quiet_comes = false;
    }

    /// The recorder was told of changes.
    pub fn changes(&mut self, events: &[Event]) {
        if self.recording.entries.is_empty() {
            return;
        }
        let settles = self.quiet_comes;
        let entry = self.entry();
        let into = if settles { &mut entry.before } else { &mut entry.changes };
        into.extend(events.iter().map(squall_conformance::condensed));
    }

    /// A watcher was told of changes.
    pub fn told(&mut self, told: Told) {
        if self.quiet_comes && told.count > 0 {
            self.entry().told.push(told);
        }
    }

    /// etcd answered.
    pub fn answered(&mut self, etcd: &Answer) {
        let entry = self.entry();
        entry.said = etcd.condensed();
        entry.learnt = Some(Learnt::from(etcd));
    }

    /// squalld answered otherwise, and this is why.
    pub fn is_known(&mut self, name: &str, squalld: &Answer) {
        let entry = self.entry();
        entry.said = squalld.condensed();
        entry.known = name.to_owned();
    }

    /// squalld alone was asked.
    pub fn alone(&mut self, name: &str, squalld: &Answer) {
        self.is_known(name, squalld);
    }

    /// Writes the file.
    pub fn write(&self) {
        let text = self.recording.to_text();
        fs::write(&self.into, &text).unwrap_or_else(|error| panic!("{}: {error}", self.into.display()));
        let (operations, bytes) = (self.recording.entries.len(), text.len());
        println!("{}: {operations} operations, {bytes} bytes", self.into.display());
    }
}
