//! The open log: create, open, append, sync, cut, release.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use raft::eraftpb::{Entry, HardState, SnapshotMetadata};
use squall_core::{ClusterId, Index, MemberId, planted::planted};

use super::{
    WalError,
    error::Context as _,
    record::{self, Kind},
    replay::{Fold, Replayed, SnapshotRecord, encode_metadata, raise_to_snapshot},
    segment::{self, Name, UNFINISHED},
};
use crate::{
    metrics::Metrics,
    seam::{Clock, File, Files, Point, Points},
};

/// Whose log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// The member.
    pub member_id: MemberId,
    /// Its cluster.
    pub cluster_id: ClusterId,
}

/// Upper bounds, in bytes, of an entry's record without its data and of a hard state's record. With them the buffer
/// of an append need not grow.
const ENTRY_BYTES: usize = record::HEADER_BYTES + 48;
const HARD_STATE_BYTES: usize = record::HEADER_BYTES + 40;

/// An open write-ahead log. Appends go to the last segment.
///
/// If a method fails, or its future is dropped half-way, the log is broken: every later call returns an error,
/// because what is on the disk is unknown. The member stops, and opens the log again at its next start.
pub struct Wal {
    files: Arc<dyn Files>,
    dir: PathBuf,
    segment_bytes: u64,
    metadata: Metadata,
    segments: Vec<Name>,
    file: Box<dyn File>,
    /// The last segment's path, for errors. To build it at each append would cost more than the checksums.
    path: PathBuf,
    chain: u32,
    /// How many bytes of the last segment are durable.
    durable: u64,
    hard_state: HardState,
    /// The last hard state's commit index, once that hard state is durable.
    durable_commit: u64,
    last_index: u64,
    snapshot: Option<SnapshotRecord>,
    /// The last snapshot record's index, once that record is durable.
    durable_snapshot: u64,
    broken: bool,
    points: Points,
    meter: Option<Meter>,
}

/// Measures the log for the metrics.
struct Meter {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
}

impl Wal {
    /// Creates an empty log in `dir`, which must not exist; its parent must. The log is durable on return. A crash
    /// leaves either no `dir` or a whole log.
    ///
    /// # Errors
    /// `Io`; with `AlreadyExists` if `dir` exists.
    pub async fn create(
        files: Arc<dyn Files>,
        dir: &Path,
        metadata: Metadata,
        segment_bytes: u64,
    ) -> Result<Self, WalError> {
        Self::create_with(files, dir, metadata, segment_bytes, &[], &HardState::default(), None).await
    }

    /// Like [`Wal::create`], for a log that begins with these entries and this hard state. A crash leaves either no
    /// `dir` or all of it.
    ///
    /// # Errors
    /// As [`Wal::create`].
    ///
    /// # Panics
    /// If the entries are not those from index 1 on.
    pub async fn create_with(
        files: Arc<dyn Files>,
        dir: &Path,
        metadata: Metadata,
        segment_bytes: u64,
        entries: &[Entry],
        hard_state: &HardState,
        snapshot: Option<&SnapshotRecord>,
    ) -> Result<Self, WalError> {
        if files.exists(dir).await.context("looking for", dir)? {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists))
                .context("creating the write-ahead log", dir);
        }
        let parent = dir.parent().unwrap_or(Path::new(""));
        let unfinished = dir.with_extension("tmp");
        if files.exists(&unfinished).await.context("looking for", &unfinished)? {
            files.remove_dir_all(&unfinished).await.context("removing the unfinished", &unfinished)?;
        }
        files.create_dir_all(&unfinished).await.context("creating", &unfinished)?;

        let name = Name { sequence: 0, first_index: 1 };
        let (head, chain) = head(0, None, &HardState::default(), metadata);
        let path = name.path(&unfinished);
        let mut file = files.create(&path).await.context("creating", &path)?;
        file.append(head).await.context("writing", &path)?;
        let mut wal = Self {
            files,
            dir: unfinished.clone(),
            segment_bytes,
            metadata,
            segments: vec![name],
            file,
            path,
            chain,
            durable: 0,
            hard_state: HardState::default(),
            durable_commit: 0,
            last_index: 0,
            snapshot: None,
            durable_snapshot: 0,
            broken: false,
            points: Points::default(),
            meter: None,
        };
        if !entries.is_empty() || *hard_state != HardState::default() {
            wal.append(entries, Some(hard_state)).await?;
        }
        if let Some(snapshot) = snapshot {
            wal.append_snapshot_record(snapshot).await?;
        }
        wal.sync().await?;
        wal.files.sync_dir(&unfinished).await.context("syncing the folder", &unfinished)?;
        wal.files.rename(&unfinished, dir).await.context("renaming into place", dir)?;
        wal.files.sync_dir(parent).await.context("syncing the folder", parent)?;

        // The log is opened again under its final name, since the seam does not promise that a handle survives the
        // rename of its folder. The first entries may have filled the first segment already.
        wal.dir = dir.to_owned();
        wal.path = wal.segments[wal.segments.len() - 1].path(dir);
        wal.file = wal.files.open(&wal.path).await.context("opening", &wal.path)?;
        Ok(wal)
    }

    /// Whether there is a log in `dir`.
    ///
    /// # Errors
    /// `Io`.
    pub async fn exists(files: &dyn Files, dir: &Path) -> Result<bool, WalError> {
        files.exists(dir).await.context("looking for", dir)
    }

    /// Opens the log in `dir`, cuts off a torn tail, and makes durable whatever is left.
    ///
    /// # Errors
    /// `Corrupt` for damage that no crash explains; `Io`.
    pub async fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        segment_bytes: u64,
    ) -> Result<(Self, Replayed), WalError> {
        let segments = segments(&*files, dir).await?;
        let mut fold = Fold::new();
        let mut chain = None;
        let mut last = (0, 0);
        for (at, name) in segments.iter().enumerate() {
            let path = name.path(dir);
            let content = files.read(&path).await.context("reading", &path)?;
            let scan = segment::scan(&path, &content, chain, at + 1 == segments.len())?;
            for (offset, record) in &scan.records {
                fold.record(&path, *offset, record)?;
            }
            chain = Some(scan.chain);
            last = (scan.valid_bytes, content.len() as u64);
        }
        let mut replayed = fold.finish()?;

        let (valid, found) = last;
        let path = segments[segments.len() - 1].path(dir);
        let mut file = files.open(&path).await.context("opening", &path)?;
        if valid < found && !planted!(TornTailKept) {
            file.truncate(valid).await.context("cutting the torn tail of", &path)?;
            replayed.repaired_bytes = Some(found - valid);
        }
        // Appends that a crash of the process left unsynced are only in the page cache.
        if !planted!(ReopenedLogNotSynced) {
            file.sync().await.context("syncing", &path)?;
        }
        files.sync_dir(dir).await.context("syncing the folder", dir)?;

        let wal = Self {
            files,
            dir: dir.to_owned(),
            segment_bytes,
            metadata: replayed.metadata,
            segments,
            file,
            path,
            chain: chain.unwrap_or_default(),
            durable: valid,
            hard_state: replayed.hard_state.clone(),
            durable_commit: replayed.hard_state.commit,
            last_index: replayed.last_index().0,
            durable_snapshot: replayed.snapshot.as_ref().map_or(0, |snapshot| snapshot.index.0),
            snapshot: replayed.snapshot.clone(),
            broken: false,
            points: Points::default(),
            meter: None,
        };
        Ok((wal, replayed))
    }

    /// Sets the points that the log reaches from now on.
    pub fn set_points(&mut self, points: Points) {
        self.points = points;
    }

    /// From now on the log's syncs are timed and its bytes counted.
    pub(crate) fn set_metrics(&mut self, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) {
        self.meter = Some(Meter { metrics, clock });
    }

    /// Whose log it is.
    pub fn metadata(&self) -> Metadata {
        self.metadata
    }

    /// The index of the last entry, or of the snapshot if no entry follows it.
    pub fn last_index(&self) -> Index {
        Index(self.last_index)
    }

    /// The commit index of the last hard state that was appended.
    pub(crate) fn commit(&self) -> u64 {
        self.hard_state.commit
    }

    /// The commit index of the last hard state that is durable.
    pub(crate) fn durable_commit(&self) -> u64 {
        self.durable_commit
    }

    /// Appends entries, and then a hard state: in this order, so that a commit index never outlives the entries it
    /// names. Durable after the next [`Wal::sync`]. An entry at or below the last index replaces the log from there.
    ///
    /// # Errors
    /// `Io`.
    ///
    /// # Panics
    /// If the entries leave a gap, or reach below the last snapshot: raft does neither.
    pub async fn append(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
    ) -> Result<(), WalError> {
        let floor = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index.0);
        let payloads = entries.iter().map(|entry| entry.data.len() + entry.context.len() + ENTRY_BYTES);
        let mut buffer = Vec::with_capacity(payloads.sum::<usize>() + HARD_STATE_BYTES);
        for entry in entries {
            assert!(
                entry.index > floor && entry.index <= self.last_index + 1,
                "entry {} appended to a log from {floor} (exclusive) to {}",
                entry.index,
                self.last_index
            );
            self.encode(&mut buffer, Kind::Entry, &encode(entry));
            self.last_index = entry.index;
        }
        if let Some(state) = hard_state {
            self.encode(&mut buffer, Kind::HardState, &encode(state));
            self.hard_state = state.clone();
        }
        self.write(buffer).await
    }

    /// Records that the state up to `snapshot.index` is durable outside the log: in the engine, or in a snapshot
    /// file. The caller has made it durable before. If the log does not hold that entry with that term, all of its
    /// entries become void.
    ///
    /// # Errors
    /// `Io`.
    ///
    /// # Panics
    /// If the index is below an earlier snapshot's.
    pub async fn append_snapshot_record(&mut self, snapshot: &SnapshotRecord) -> Result<(), WalError> {
        let floor = self.snapshot.as_ref().map_or(0, |earlier| earlier.index.0);
        assert!(snapshot.index.0 >= floor, "a snapshot at {} after one at {floor}", snapshot.index);
        let mut buffer = Vec::new();
        self.encode(&mut buffer, Kind::Snapshot, &encode_snapshot(snapshot));
        self.last_index = self.last_index.max(snapshot.index.0);
        self.snapshot = Some(snapshot.clone());
        self.write(buffer).await
    }

    /// Makes everything appended so far durable, and then begins a new segment if this one has reached the limit.
    /// True if it began one.
    ///
    /// # Errors
    /// `Io`.
    pub async fn sync(&mut self) -> Result<bool, WalError> {
        self.begin()?;
        if self.file.len() == self.durable {
            self.broken = false;
            return Ok(false);
        }
        let began = self.meter.as_ref().map(|meter| meter.clock.monotonic());
        self.points.reached_before_io(Point::WalBeforeSync).await.context("syncing", &self.path)?;
        if !(planted!(SyncSkipped) && (self.file.len() / 512).is_multiple_of(8)) {
            self.file.sync().await.context("syncing", &self.path)?;
        }
        if let (Some(meter), Some(began)) = (&self.meter, began) {
            meter.metrics.wal_fsync.observe(meter.clock.monotonic().since(began));
        }
        self.points.reached(Point::WalAfterSync).await;
        self.durable = self.file.len();
        self.durable_commit = self.hard_state.commit;
        self.durable_snapshot = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index.0);
        let full = self.durable >= self.segment_bytes;
        if full {
            self.points.reached_before_io(Point::WalBeforeCut).await.context("cutting", &self.path)?;
            self.cut().await?;
            self.points.reached(Point::WalAfterCut).await;
        }
        self.broken = false;
        Ok(full)
    }

    /// Removes the segments that hold nothing but entries up to `index`, or up to the last durable snapshot record
    /// if that is lower. Returns how many were removed. The log keeps at least its last segment.
    ///
    /// # Errors
    /// `Io`.
    pub async fn release_to(&mut self, index: Index) -> Result<usize, WalError> {
        self.begin()?;
        let asked = index;
        let mut index = index.0.min(self.durable_snapshot);
        if planted!(SegmentReleasedEarly) || planted!(SnapshotRecordNotSynced) {
            index = asked.0;
        }
        // All live entries before a segment are below its first index.
        let keep = self
            .segments
            .iter()
            .rposition(|name| name.first_index <= index + 1 + u64::from(planted!(SegmentReleasedOneTooFar)))
            .unwrap_or(0);
        if keep > 0 {
            self.points.reached(Point::WalBeforeRelease).await;
        }
        for _ in 0..keep {
            // Removed oldest first, each removal made durable before the next, so that a crash leaves no gap in the
            // numbers.
            let path = self.segments[0].path(&self.dir);
            self.files.remove(&path).await.context("removing", &path)?;
            self.files.sync_dir(&self.dir).await.context("syncing the folder", &self.dir)?;
            self.segments.remove(0);
            self.points.reached(Point::WalBetweenReleases).await;
        }
        self.broken = false;
        Ok(keep)
    }

    /// How many segments the log has.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    async fn cut(&mut self) -> Result<(), WalError> {
        let last = self.segments[self.segments.len() - 1];
        let name = Name { sequence: last.sequence + 1, first_index: self.last_index + 1 };
        let mut hard_state = self.hard_state.clone();
        if let Some(snapshot) = &self.snapshot {
            raise_to_snapshot(&mut hard_state, snapshot);
        }
        if planted!(SegmentHeadWithoutHardState) {
            hard_state = HardState::default();
        }
        let snapshot = self.snapshot.as_ref().filter(|_| !planted!(SegmentHeadWithoutSnapshot));
        let (head, chain) = head(self.chain, snapshot, &hard_state, self.metadata);
        let durable = head.len() as u64;

        let unfinished = self.dir.join(UNFINISHED);
        let mut file = self.files.create(&unfinished).await.context("creating", &unfinished)?;
        file.append(head).await.context("writing", &unfinished)?;
        if !planted!(SegmentNotSynced) {
            file.sync().await.context("syncing", &unfinished)?;
        }
        drop(file);
        let path = name.path(&self.dir);
        self.points.reached_before_io(Point::WalBeforeRename).await.context("renaming into place", &path)?;
        self.files.rename(&unfinished, &path).await.context("renaming into place", &path)?;
        if !planted!(FolderNotSynced) {
            self.files.sync_dir(&self.dir).await.context("syncing the folder", &self.dir)?;
        }
        self.file = self.files.open(&path).await.context("opening", &path)?;
        self.path = path;
        self.segments.push(name);
        self.chain = chain;
        self.durable = durable;
        Ok(())
    }

    fn encode(&mut self, buffer: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
        self.chain = record::encode(buffer, kind, payload, self.durable, self.chain);
    }

    async fn write(&mut self, buffer: Vec<u8>) -> Result<(), WalError> {
        self.begin()?;
        if !buffer.is_empty() {
            if let Some(meter) = &self.meter {
                meter.metrics.wal_bytes.add(buffer.len() as u64);
            }
            self.file.append(Bytes::from(buffer)).await.context("appending to", &self.path)?;
        }
        self.broken = false;
        Ok(())
    }

    /// Marks the log broken until the caller has finished its work.
    fn begin(&mut self) -> Result<(), WalError> {
        if self.broken {
            let error = io::Error::other("an earlier write to the log failed or was cut short");
            return Err(error).context("writing", &self.dir);
        }
        self.broken = true;
        Ok(())
    }
}

/// The log's segments in order. Removes what an interrupted cut left behind. Files of other names are left to the
/// operator.
async fn segments(files: &dyn Files, dir: &Path) -> Result<Vec<Name>, WalError> {
    let mut segments = Vec::new();
    for file in files.list(dir).await.context("listing", dir)? {
        if file == UNFINISHED {
            let path = dir.join(&file);
            files.remove(&path).await.context("removing the unfinished", &path)?;
        } else if let Some(name) = Name::parse(&file) {
            segments.push(name);
        }
    }
    segments.sort_unstable();
    if segments.is_empty() {
        return Err(WalError::corrupt(dir, 0, "the folder holds no segment"));
    }
    for pair in segments.windows(2) {
        let expected = pair[0].sequence + 1;
        if pair[1].sequence != expected {
            let what = format!("segment number {expected} is missing before it");
            return Err(WalError::corrupt(&pair[1].path(dir), 0, what));
        }
    }
    Ok(segments)
}

/// A segment's first records, and the chain's value after them.
fn head(
    chain: u32,
    snapshot: Option<&SnapshotRecord>,
    hard_state: &HardState,
    metadata: Metadata,
) -> (Bytes, u32) {
    let mut head = Vec::new();
    let mut chain = record::encode(&mut head, Kind::Chain, &chain.to_le_bytes(), 0, chain);
    if let Some(snapshot) = snapshot {
        chain = record::encode(&mut head, Kind::Snapshot, &encode_snapshot(snapshot), 0, chain);
    }
    chain = record::encode(&mut head, Kind::HardState, &encode(hard_state), 0, chain);
    chain = record::encode(&mut head, Kind::Metadata, &encode_metadata(metadata), 0, chain);
    (head.into(), chain)
}

fn encode_snapshot(snapshot: &SnapshotRecord) -> Vec<u8> {
    let mut metadata = SnapshotMetadata::default();
    metadata.set_conf_state(snapshot.conf_state.clone());
    metadata.index = snapshot.index.0;
    metadata.term = snapshot.term.0;
    encode(&metadata)
}

fn encode<M: protobuf::Message>(message: &M) -> Vec<u8> {
    // rust-protobuf fails only for a message that lacks a required field; proto3 has none.
    message.write_to_bytes().expect("a proto3 message always encodes")
}
