//! Snapshots: the record after which the log may be removed, the stream to a member that lags, and the install
//! there.
//!
//! A member keeps no snapshot file of its own state: the engine holds it. Once the engine is durable up to index i,
//! with the membership of i, a snapshot record at i is written to the WAL. Only then may the log before it be
//! removed.
//!
//! A member that lags behind the entries in the leader's memory gets the engine's content instead. raft's message is
//! a token without data. When it is sent, the engine's rows travel with it on a separate stream, and its metadata is
//! set to the index of these rows (etcd merges the two in the same way). The receiver writes `<index>.snap.db`,
//! syncs it, and then hands the message to its raft. The outcome is always reported to the leader's raft, which
//! sends that member nothing until it has a report.
//!
//! An install first makes the snapshot record durable and then replaces the engine's content. A crash between the two
//! leaves an engine that is behind the last snapshot record; nothing else leaves that, so the next start knows what
//! happened and finishes the install from the file (`server::data`). A file is removed only when the engine is durable
//! beyond it (etcd #18055).

use std::{
    io,
    path::{Path, PathBuf},
};

use raft::{SnapshotStatus, eraftpb::Message};
use squall_core::{Index, MemberId, State, Term, planted::planted};

use super::{
    Halt, Input, Mark,
    driver::Node,
    ready::{snapshot_record, wal_failed},
};
use crate::{
    seam::{Files, Point, ProbeEvent},
    snapshot,
};

/// The path of a snapshot from the leader: `<index>.snap.db`, the index in 16 hexadecimal digits.
pub(crate) fn snapshot_path(snap_dir: &Path, index: u64) -> PathBuf {
    snap_dir.join(format!("{index:016x}.snap.db"))
}

/// Removes the snapshot files up to and including `index`, whole or half-written.
pub(crate) async fn remove_files(files: &dyn Files, dir: &Path, index: u64) -> io::Result<()> {
    for name in files.list(dir).await? {
        let old = name
            .trim_end_matches(".part")
            .strip_suffix(".snap.db")
            .and_then(|stem| u64::from_str_radix(stem, 16).ok())
            .is_some_and(|of| of <= index);
        if old {
            files.remove(&dir.join(name)).await?;
        }
    }
    Ok(())
}

impl Node {
    /// Writes a snapshot record at `mark`, up to which the engine is durable, if enough entries have come since the
    /// last record.
    pub(super) async fn save_snapshot(&mut self, mark: Mark) -> Result<(), Halt> {
        if mark.index.saturating_sub(self.snapshot_index) < self.config.snapshot_count {
            return Ok(());
        }
        self.env.points.reached(Point::SnapshotBeforeRecord).await;
        self.wal.append_snapshot_record(&snapshot_record(&mark)).await.map_err(wal_failed)?;
        if !planted!(SnapshotRecordNotSynced) {
            self.sync_wal().await?;
        }
        self.env.points.reached(Point::SnapshotAfterRecord).await;
        self.snapshot_index = mark.index;
        self.env.probe.emit(ProbeEvent::SnapshotSaved { index: Index(mark.index) });
        let release = if planted!(SegmentReleasedEarly) { self.applied_index() } else { mark.index };
        self.wal.release_to(Index(release)).await.map_err(wal_failed)?;
        self.env.points.reached(Point::SnapshotAfterRelease).await;
        // These snapshots arrived too late to be of use.
        let snap_dir = self.config.snap_dir();
        remove_files(&*self.env.files, &snap_dir, mark.index)
            .await
            .map_err(|error| Halt::Failed(format!("snapshots in {}: {error}", snap_dir.display())))?;
        // A member that is taking a snapshot will need the entries after it.
        if self.snapshots_in_flight == 0 || planted!(CatchupForgottenWhileSending) {
            self.raft.mut_store().compact(mark.index.saturating_sub(self.config.snapshot_catchup_entries));
        }
        Ok(())
    }

    /// Sends raft's snapshot message with the engine's content as of now.
    pub(super) fn send_snapshot(&mut self, mut message: Message) {
        let to = MemberId(message.to);
        let mark = self.raft.store().applied().clone();
        let token = message.get_snapshot().get_metadata().index;
        assert!(mark.index >= token, "a snapshot at {token} was promised, and {} is applied", mark.index);
        message.mut_snapshot().set_metadata(mark.metadata());
        if planted!(SnapshotLeavesOutLearners) {
            message.mut_snapshot().mut_metadata().mut_conf_state().learners.clear();
        }
        let meta = snapshot::Meta {
            index: Index(mark.index),
            term: Term(mark.term),
            revision: self.shared.state().revision(),
        };
        let sending = self
            .engine
            .view()
            .ok()
            .and_then(|view| self.transport.send_snapshot(message, snapshot::Encoder::new(meta, view.0)));
        let Some(sending) = sending else {
            self.report_later(to, false);
            return;
        };
        let Some(inputs) = self.own_inputs.upgrade() else { return };
        self.snapshots_in_flight += 1;
        self.env.probe.emit(ProbeEvent::SnapshotSent { to, index: Index(mark.index) });
        let (points, clock) = (self.env.points.clone(), self.env.clock.clone());
        let metrics = self.shared.metrics.clone();
        let task = async move {
            let began = clock.monotonic();
            points.reached(Point::SnapshotBeforeSend).await;
            let delivered = sending.await;
            metrics.snapshot_sent.observe(clock.monotonic().since(began));
            let peer = metrics.peer(to);
            if delivered.is_ok() {
                peer.snapshots_sent.inc()
            } else {
                peer.snapshots_not_sent.inc()
            }
            points.reached(Point::SnapshotBeforeReport).await;
            if let Err(error) = &delivered {
                tracing::warn!(%to, index = mark.index, %error, "snapshot not delivered");
            }
            let _ = inputs.send(Input::SnapshotReport { to, delivered: delivered.is_ok() }).await;
        };
        self.env.tasks.spawn("snapshot to a peer", Box::pin(task)).detach();
    }

    /// Reports the outcome of a snapshot as soon as raft may be told.
    fn report_later(&mut self, to: MemberId, delivered: bool) {
        let Some(inputs) = self.own_inputs.upgrade() else { return };
        self.snapshots_in_flight += 1;
        let report = async move {
            let _ = inputs.send(Input::SnapshotReport { to, delivered }).await;
        };
        self.env.tasks.spawn("snapshot report", Box::pin(report)).detach();
    }

    pub(super) fn snapshot_report(&mut self, to: MemberId, delivered: bool) {
        self.snapshots_in_flight -= 1;
        if !delivered && planted!(SnapshotFailureUnreported) {
            return;
        }
        let status = if delivered { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
        self.raft.report_snapshot(to.0, status);
    }

    /// Replaces this member's state by the snapshot at `mark`, whose file and record are durable.
    pub(super) async fn install_snapshot(&mut self, mark: Mark) -> Result<(), Halt> {
        let snap_dir = self.config.snap_dir();
        let path = snapshot_path(&snap_dir, mark.index);
        let failed =
            |what: &dyn std::fmt::Display| Halt::Failed(format!("snapshot {}: {what}", path.display()));
        let opening = self.env.points.reached_before_io(Point::InstallBeforeOpen).await;
        opening.map_err(|error| failed(&error))?;
        let (meta, rows) = snapshot::read_file(&*self.env.files, &path, snapshot::Check::Checksum)
            .await
            .map_err(|error| failed(&error))?;
        if meta.index.0 != mark.index {
            return Err(failed(&format_args!("holds index {}, not {}", meta.index, mark.index)));
        }
        let mut state = State::restore(rows.iter().cloned()).map_err(|error| failed(&error))?;
        if planted!(SnapshotFileGoneEarly) {
            remove_files(&*self.env.files, &snap_dir, mark.index).await.map_err(|error| failed(&error))?;
        }
        self.env.points.reached(Point::InstallBeforeReplace).await;
        {
            // Until the state is replaced too, engine and state do not belong together, and `installing` says so.
            let _state = self.shared.state();
            self.shared.installing.send_replace(true);
        }
        self.replace_rows(rows).await?;
        #[cfg(madsim)]
        self.replace_by_copy().await?;
        self.env.points.reached(Point::InstallAfterReplace).await;

        let finished = state.finished_compact_revision().0;
        {
            let mut shared = self.shared.state();
            let mut watches = self.shared.watches();
            watches.settle(&shared);
            if planted!(AuthCacheKept) {
                state.keep_permissions_of(&shared);
            }
            *shared = state;
            // The skipped entries may have voided some of the tokens, and nothing tells which.
            if !planted!(InstallKeepsTokens) {
                self.shared.tokens().clear();
            }
            watches.restored(&shared);
            self.shared.installing.send_replace(false);
        }
        self.shared.compacted.send_replace(finished);
        self.shared.written().clone_from(&mark);
        self.shared.update_status(|status| status.set_applied(Index(mark.index)));
        self.shared.applied.send_replace(mark.index);
        self.snapshot_index = mark.index;
        self.compaction = None;
        let pending = self.shared.state().compaction_pending();
        // The compaction counts as begun already. The probe is told of it below, after the install.
        self.compaction_began = pending.then(|| self.env.clock.monotonic());
        if !planted!(InstallKeepsCompaction) {
            self.schedule_compaction();
        }
        let index = mark.index;
        self.raft.mut_store().restore(mark);
        self.connect_members();
        self.tell_configuration(Index(index));
        self.env.points.reached(Point::InstallBeforeRelease).await;
        self.wal.release_to(Index(index)).await.map_err(wal_failed)?;
        remove_files(&*self.env.files, &snap_dir, index).await.map_err(|error| failed(&error))?;
        self.env.probe.emit(ProbeEvent::SnapshotInstalled { index: Index(index) });
        if pending {
            self.tell_compaction();
        }
        self.env.points.reached(Point::InstallAfter).await;
        self.answer_reads(index);
        Ok(())
    }

    /// Replaces the engine's content by a snapshot's rows.
    async fn replace_rows(&mut self, mut rows: snapshot::Rows) -> Result<(), Halt> {
        if planted!(InstallOnlyInMemory) {
            return Ok(());
        }
        if planted!(InstallKeepsOldRows)
            && let Ok(old) = self.engine.view()
        {
            let mut merged: std::collections::BTreeMap<_, _> = old.0.into_iter().collect();
            merged.extend(rows);
            rows = merged.into_iter().collect();
        }
        self.engine.replace(rows).await.map_err(|error| Halt::Failed(format!("engine: {error}")))
    }

    /// Replaces an installed snapshot by an older copy from a defragmentation. Only a planted error does this.
    #[cfg(madsim)]
    async fn replace_by_copy(&mut self) -> Result<(), Halt> {
        let now = self.env.clock.monotonic();
        match self.copied.rows.take() {
            Some((since, rows)) if now.since(since) < std::time::Duration::from_secs(5) => {
                self.replace_rows(rows).await
            }
            _ => Ok(()),
        }
    }

    /// Replaces the engine's content with that of the snapshot at `index`. Only a planted error does this apart from the
    /// rest of an install.
    pub(super) async fn replace_engine(&mut self, index: u64) -> Result<(), Halt> {
        let path = snapshot_path(&self.config.snap_dir(), index);
        let (_, rows) = snapshot::read_file(&*self.env.files, &path, snapshot::Check::Checksum)
            .await
            .map_err(|error| Halt::Failed(error.to_string()))?;
        self.replace_rows(rows).await
    }
}
