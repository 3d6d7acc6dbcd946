//! Compares the log with a naive model, on a disk that loses power.
//!
//! The model is the list of everything that was appended, record by record, and how much of it was synced. After any
//! crash the log must equal the result of some prefix of that list, no shorter than the synced part.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use raft::eraftpb::{ConfState, Entry, HardState};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use squall_core::{ClusterId, Index, MemberId, Term};

use super::{
    Metadata, Replayed, SnapshotRecord, Wal, WalError,
    crash_disk::{CrashDisk, block_on},
    record::SECTOR_BYTES,
};
use crate::seam::{Files as _, conformance::files::files_suite};

const METADATA: Metadata = Metadata { member_id: MemberId(0xA1), cluster_id: ClusterId(0xC1) };

fn dir() -> &'static Path {
    Path::new("/wal")
}

fn create(disk: &CrashDisk, segment_bytes: u64) -> Result<Wal, WalError> {
    block_on(Wal::create(Arc::new(disk.clone()), dir(), METADATA, segment_bytes))
}

fn open(disk: &CrashDisk, segment_bytes: u64) -> Result<(Wal, Replayed), WalError> {
    block_on(Wal::open(Arc::new(disk.clone()), dir(), segment_bytes))
}

fn entry(index: u64, term: u64, data: Vec<u8>) -> Entry {
    Entry { index, term, data: data.into(), ..Entry::default() }
}

fn hard_state(term: u64, vote: u64, commit: u64) -> HardState {
    HardState { term, vote, commit, ..HardState::default() }
}

fn snapshot(index: u64, term: u64) -> SnapshotRecord {
    SnapshotRecord {
        index: Index(index),
        term: Term(term),
        conf_state: ConfState::from((vec![1, 2, index], vec![])),
    }
}

/// One record, as the model sees it.
#[derive(Debug, Clone)]
enum Step {
    Entry(Entry),
    HardState(HardState),
    Snapshot(SnapshotRecord),
}

/// The naive model: the whole log by index, never released.
#[derive(Debug, Default, Clone, PartialEq)]
struct Model {
    log: BTreeMap<u64, Entry>,
    hard_state: HardState,
    snapshot: Option<SnapshotRecord>,
}

impl Model {
    fn of(steps: &[Step]) -> Self {
        let mut model = Self::default();
        for step in steps {
            match step {
                Step::Entry(entry) => {
                    model.log.retain(|index, _| *index < entry.index);
                    model.log.insert(entry.index, entry.clone());
                    model.reach(entry.term);
                }
                Step::HardState(state) => model.hard_state = state.clone(),
                Step::Snapshot(snapshot) => {
                    if model.term_at(snapshot.index.0) != Some(snapshot.term.0) {
                        model.log.clear();
                    }
                    model.hard_state.commit = model.hard_state.commit.max(snapshot.index.0);
                    model.reach(snapshot.term.0);
                    model.snapshot = Some(snapshot.clone());
                }
            }
        }
        model
    }

    fn reach(&mut self, term: u64) {
        if self.hard_state.term < term {
            self.hard_state = hard_state(term, 0, self.hard_state.commit);
        }
    }

    fn snapshot_index(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index.0)
    }

    fn term_at(&self, index: u64) -> Option<u64> {
        let at_snapshot = self.snapshot.as_ref().filter(|snapshot| snapshot.index.0 == index);
        self.log.get(&index).map(|entry| entry.term).or(at_snapshot.map(|snapshot| snapshot.term.0))
    }

    fn last(&self) -> u64 {
        self.log.last_key_value().map_or(0, |(last, _)| *last).max(self.snapshot_index())
    }

    fn replayed(&self) -> Replayed {
        Replayed {
            metadata: METADATA,
            snapshot: self.snapshot.clone(),
            hard_state: self.hard_state.clone(),
            entries: self.log.range(self.snapshot_index() + 1..).map(|(_, entry)| entry.clone()).collect(),
            repaired_bytes: None,
        }
    }
}

/// Which paths the runs took. The test fails if no run took one of them.
#[derive(Debug, Default)]
struct Seen {
    crashes: u64,
    kills: u64,
    crashes_in_open: u64,
    crashes_in_create: u64,
    torn: u64,
    unsynced_kept: u64,
    unsynced_lost: u64,
    cuts: u64,
    released: u64,
    conflicts: u64,
    installs: u64,
    corruptions: u64,
}

/// A raft-like writer over a log that crashes.
struct Writer {
    random: ChaCha8Rng,
    disk: CrashDisk,
    segment_bytes: u64,
    steps: Vec<Step>,
    synced: usize,
}

impl Writer {
    fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let segment_bytes = [600, 3_000, 20_000][random.gen_range(0..3)];
        Self { random, disk: CrashDisk::new(), segment_bytes, steps: Vec::new(), synced: 0 }
    }

    /// Creates the log. Power may be lost meanwhile.
    fn create(&mut self, seen: &mut Seen) -> Wal {
        loop {
            if self.random.gen_bool(0.3) {
                self.disk.fail_power_after(self.random.gen_range(0..8));
            }
            match create(&self.disk, self.segment_bytes) {
                Ok(wal) => {
                    self.disk.kill();
                    return wal;
                }
                Err(_) => {
                    self.disk.crash(self.random.r#gen());
                    seen.crashes_in_create += 1;
                    if block_on(self.disk.exists(dir())).expect("exists never fails here") {
                        let (wal, replayed) =
                            open(&self.disk, self.segment_bytes).expect("a whole log or none");
                        assert_eq!(replayed, Model::default().replayed());
                        return wal;
                    }
                }
            }
        }
    }

    /// One random step of a member's life.
    fn act(&mut self, wal: &mut Wal, seen: &mut Seen) -> Result<(), WalError> {
        let model = Model::of(&self.steps);
        let (snapshot_at, last) = (model.snapshot_index(), model.last());
        let commit = model.hard_state.commit;
        match self.random.gen_range(0..20) {
            0..=9 => {
                let conflict = last > commit && self.random.gen_bool(0.2);
                let first = if conflict { self.random.gen_range(commit + 1..=last) } else { last + 1 };
                seen.conflicts += u64::from(conflict);
                let term = model.hard_state.term.max(1) + u64::from(conflict);
                let count = self.random.gen_range(1..6);
                let entries: Vec<Entry> =
                    (first..first + count).map(|index| entry(index, term, self.data())).collect();
                let commit = self.random.gen_range(commit..first + count);
                let state =
                    self.random.gen_bool(0.6).then(|| hard_state(term, self.random.gen_range(0..3), commit));
                self.steps.extend(entries.iter().cloned().map(Step::Entry));
                self.steps.extend(state.iter().cloned().map(Step::HardState));
                block_on(wal.append(&entries, state.as_ref()))?;
            }
            10 => {
                let state = hard_state(model.hard_state.term + self.random.gen_range(0..2), 2, commit);
                self.steps.push(Step::HardState(state.clone()));
                block_on(wal.append(&[], Some(&state)))?;
            }
            11 | 12 if commit > snapshot_at => {
                // Its own snapshot: somewhere in what is committed.
                let index = self.random.gen_range(snapshot_at + 1..=commit);
                let record = snapshot(index, model.term_at(index).expect("committed entries are in the log"));
                self.steps.push(Step::Snapshot(record.clone()));
                block_on(wal.append_snapshot_record(&record))?;
            }
            13 if self.random.gen_bool(0.5) => {
                // The leader's snapshot: beyond the log, or in the place of entries that were never committed.
                let index = self.random.gen_range(commit + 1..=last + 20);
                let record = snapshot(index, model.hard_state.term + 1);
                self.steps.push(Step::Snapshot(record.clone()));
                seen.installs += 1;
                block_on(wal.append_snapshot_record(&record))?;
            }
            14 => seen.released += block_on(wal.release_to(Index(self.random.gen_range(0..=last))))? as u64,
            _ => {
                seen.cuts += u64::from(block_on(wal.sync())?);
                self.synced = self.steps.len();
            }
        }
        Ok(())
    }

    fn data(&mut self) -> Vec<u8> {
        match self.random.gen_range(0..5) {
            0 => Vec::new(),
            // A naive detector of tears takes these zeros for a hole.
            1 => vec![0; self.random.gen_range(1..1_500)],
            2 => (0..self.random.gen_range(500..1_500)).map(|_| self.random.r#gen()).collect(),
            _ => (0..self.random.gen_range(0..60)).map(|_| self.random.r#gen()).collect(),
        }
    }

    /// Loses power or kills the process, opens the log (sometimes losing power again), and compares it with the
    /// model.
    fn crash_and_open(&mut self, seen: &mut Seen) -> Wal {
        let mut least = self.synced;
        if self.random.gen_bool(0.2) {
            self.disk.kill();
            seen.kills += 1;
        } else {
            self.disk.crash(self.random.r#gen());
            seen.crashes += 1;
        }
        if self.random.gen_bool(0.3) {
            self.disk.fail_power_after(self.random.gen_range(0..4));
            match open(&self.disk, self.segment_bytes) {
                // It opened with fewer changes than the count at which power was to be lost.
                Ok((_, replayed)) => least = self.matching(least, &replayed),
                Err(error @ WalError::Corrupt { .. }) => panic!("refused after a crash: {error}"),
                Err(WalError::Io { .. }) => {}
            }
            self.disk.crash(self.random.r#gen());
            seen.crashes_in_open += 1;
        }
        let (wal, replayed) = open(&self.disk, self.segment_bytes)
            .unwrap_or_else(|error| panic!("unsynced data stopped the start: {error}"));
        seen.torn += u64::from(replayed.repaired_bytes.is_some());
        let kept = self.matching(least, &replayed);
        seen.unsynced_kept += u64::from(kept > self.synced);
        seen.unsynced_lost += u64::from(kept < self.steps.len());
        self.steps.truncate(kept);
        self.synced = kept;
        wal
    }

    /// The number of steps, `least` or more, whose result equals what was replayed.
    fn matching(&self, least: usize, replayed: &Replayed) -> usize {
        let found = Replayed { repaired_bytes: None, ..replayed.clone() };
        (least..=self.steps.len()).find(|count| Model::of(&self.steps[..*count]).replayed() == found).unwrap_or_else(
            || {
                panic!(
                    "no prefix of at least {least} of {} steps comes to what was replayed\nsteps: {:#?}\nfound: {found:#?}",
                    self.steps.len(),
                    self.steps
                )
            },
        )
    }

    /// The segments' paths with their lengths in bytes.
    fn segments(&self) -> Vec<(PathBuf, u64)> {
        let names = block_on(self.disk.list(dir())).expect("the folder is there");
        let paths = names.into_iter().map(|name| dir().join(name));
        paths
            .map(|path| (path.clone(), block_on(self.disk.read(&path)).expect("it is there").len() as u64))
            .collect()
    }
}

fn life(seed: u64, seen: &mut Seen) {
    let mut writer = Writer::new(seed);
    let mut wal = writer.create(seen);
    for _ in 0..writer.random.gen_range(1..6) {
        if writer.random.gen_bool(0.8) {
            writer.disk.fail_power_after(writer.random.gen_range(0..60));
        }
        for _ in 0..60 {
            match writer.act(&mut wal, seen) {
                Ok(()) => {}
                Err(WalError::Io { .. }) => break,
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        wal = writer.crash_and_open(seen);
    }
}

/// If the disk broke the seam's contract, the tests would prove nothing.
#[test]
fn the_disk_of_these_tests_conforms() {
    block_on(files_suite(Arc::new(CrashDisk::new()), Path::new("/")));
}

#[test]
fn any_crash_leaves_everything_synced_and_a_prefix_of_the_rest() {
    let mut seen = Seen::default();
    for seed in 0..500 {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| life(seed, &mut seen)));
        if let Err(panic) = result {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
    eprintln!("{seen:?}");
    let Seen { crashes, kills, crashes_in_open, crashes_in_create, torn, .. } = seen;
    for count in [crashes, kills, crashes_in_open, crashes_in_create, torn] {
        assert!(count > 100, "too rare to mean anything: {seen:?}");
    }
    let Seen { unsynced_kept, unsynced_lost, cuts, released, conflicts, installs, .. } = seen;
    for count in [unsynced_kept, unsynced_lost, cuts, released, conflicts, installs] {
        assert!(count > 100, "too rare to mean anything: {seen:?}");
    }
}

#[test]
fn any_flipped_bit_is_refused() {
    let mut seen = Seen::default();
    for seed in 0..200 {
        let mut writer = Writer::new(seed);
        let mut wal = writer.create(&mut seen);
        for _ in 0..writer.random.gen_range(1..60) {
            writer.act(&mut wal, &mut seen).expect("the disk is sound");
        }
        block_on(wal.sync()).expect("the disk is sound");
        let segments = writer.segments();
        for _ in 0..20 {
            let (path, bytes) = &segments[writer.random.gen_range(0..segments.len())];
            let bit = writer.random.gen_range(0..bytes * 8);
            writer.disk.flip_bit(path, bit);
            match open(&writer.disk, writer.segment_bytes) {
                Err(WalError::Corrupt { file, offset, .. }) => {
                    assert_eq!(&file, path, "seed {seed}: the right file is blamed");
                    assert!(offset <= bit / 8, "seed {seed}: blamed {offset}, flipped {}", bit / 8);
                    seen.corruptions += 1;
                }
                Err(error) => panic!("seed {seed}: {error}"),
                Ok(_) => panic!("seed {seed}: bit {bit} of {} flipped, and nobody saw it", path.display()),
            }
            writer.disk.flip_bit(path, bit);
        }
        assert!(open(&writer.disk, writer.segment_bytes).is_ok(), "seed {seed}: all bits are back");
    }
    assert_eq!(seen.corruptions, 4_000);
}

/// A sector that was synced and reads as zeros looks like a tear. Only the records that were written later show that
/// it is none.
#[test]
fn a_synced_sector_that_reads_as_zeros_is_refused() {
    let disk = CrashDisk::new();
    let mut wal = create(&disk, 1 << 20).expect("creates");
    for index in 1..=20 {
        block_on(wal.append(&[entry(index, 1, vec![7; 300])], Some(&hard_state(1, 1, index - 1))))
            .expect("appends");
        block_on(wal.sync()).expect("syncs");
    }
    let path = dir().join("0000000000000000-0000000000000001.wal");
    let lost = 5 * SECTOR_BYTES..6 * SECTOR_BYTES;
    disk.damage(&path, |content| content[lost.clone()].fill(0));
    let error = open(&disk, 1 << 20).map(|_| ()).expect_err("a synced sector is gone");
    let text = error.to_string();
    assert!(text.contains("was written after it had been synced"), "{text}");
    assert!(
        text.starts_with("the write-ahead log is corrupt: /wal/0000000000000000-0000000000000001.wal"),
        "{text}"
    );
}

#[test]
fn a_missing_segment_and_a_foreign_one_are_refused() {
    let disk = CrashDisk::new();
    let mut wal = create(&disk, 500).expect("creates");
    for index in 1..=9 {
        block_on(wal.append(&[entry(index, 1, vec![7; 300])], Some(&hard_state(1, 1, index))))
            .expect("appends");
        block_on(wal.sync()).expect("syncs");
    }
    assert!(wal.segment_count() > 3);
    let names = block_on(disk.list(dir())).expect("lists");
    let second = dir().join(&names[1]);
    let kept = block_on(disk.read(&second)).expect("reads");
    block_on(disk.remove(&second)).expect("removes");
    let text = open(&disk, 500).map(|_| ()).expect_err("a gap").to_string();
    assert!(text.contains("segment number 1 is missing before it"), "{text}");

    let mut foreign = block_on(disk.create(&second)).expect("creates");
    let first = block_on(disk.read(&dir().join(&names[0]))).expect("reads");
    assert_ne!(first, kept);
    block_on(foreign.append(first)).expect("appends");
    let text = open(&disk, 500).map(|_| ()).expect_err("the chain is broken").to_string();
    assert!(text.contains("continues a log whose checksum chain stood at 00000000"), "{text}");
}

#[test]
fn a_broken_log_takes_no_more() {
    let disk = CrashDisk::new();
    let mut wal = create(&disk, 1 << 20).expect("creates");
    disk.fail_power_after(0);
    let first = block_on(wal.append(&[entry(1, 1, vec![1])], None));
    assert!(matches!(first, Err(WalError::Io { .. })), "{first:?}");
    disk.kill();
    // The disk would succeed now. The log must still refuse, since it is unknown what the first attempt left on the
    // disk.
    let second = block_on(wal.sync());
    let text = second.expect_err("broken for good").to_string();
    assert!(text.contains("an earlier write to the log failed"), "{text}");
}
