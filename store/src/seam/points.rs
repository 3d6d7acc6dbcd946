//! Named points in the store's work, at which the simulated world can crash, stall or fail a member: gofail's failpoints
//! (etcd runs its robustness tests with 48 of them), awaited.
//!
//! A point lies where a crash leaves a state that no neighbouring point leaves: before and after each step that
//! makes something durable, visible or promised. The real build has no points: [`Points`] has size zero, and
//! reaching one compiles to nothing.

use std::io;

#[cfg(madsim)]
use std::sync::Arc;

#[cfg(madsim)]
use super::BoxFuture;

/// Makes [`Point`] from a list. A point marked `fails` is followed by I/O, and can make that I/O fail.
macro_rules! points {
    ($($area:literal: $($Point:ident $name:literal $([$fails:ident])? $about:literal,)+;)+) => {
        /// A point.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Point {
            $($(#[doc = $about] $Point,)+)+
        }

        impl Point {
            /// All points, by area, in the order of the work.
            pub const ALL: &'static [Point] = &[$($(Point::$Point,)+)+];

            /// Its name in scenarios, traces and counters.
            pub fn name(self) -> &'static str {
                match self { $($(Point::$Point => $name,)+)+ }
            }

            /// Where the point lies, in words.
            pub fn about(self) -> &'static str {
                match self { $($(Point::$Point => $about,)+)+ }
            }

            /// The part of the store that the point lies in.
            pub fn area(self) -> &'static str {
                match self { $($(Point::$Point => $area,)+)+ }
            }

            /// Whether an I/O error can be injected here.
            pub fn can_fail(self) -> bool {
                match self { $($(Point::$Point => points!(@fails $($fails)?),)+)+ }
            }
        }
    };
    (@fails fails) => { true };
    (@fails) => { false };
}

points! {
    "raft":
    RaftBeforeLeaderSend "raftBeforeLeaderSend" "a leader is about to send, before its own fsync",
    RaftBeforeSave "raftBeforeSave" [fails] "entries or a hard state are about to be appended to the WAL",
    RaftAfterSave "raftAfterSave" "they are appended, and synced where they must be",
    RaftBeforeFollowerSend "raftBeforeFollowerSend" "promises (votes, accepted entries) are about to be sent",
    RaftBeforeAdvance "raftBeforeAdvance" "raft is about to hear that all of it is done",
    RaftAfterAdvance "raftAfterAdvance" "raft has heard it, and what it then committed is not applied yet",
    RaftBeforeTransfer "raftBeforeTransfer" "a leader that stops is about to hand the leadership over",;
    "wal":
    WalBeforeSync "walBeforeSync" [fails] "records are written and not synced",
    WalAfterSync "walAfterSync" "records are durable, and nobody has been told",
    WalBeforeCut "walBeforeCut" [fails] "a full segment is durable, and the next is not begun",
    WalBeforeRename "walBeforeRename" [fails] "a new segment is durable under its temporary name",
    WalAfterCut "walAfterCut" "a new segment is in its place",
    WalBeforeRelease "walBeforeRelease" "old segments are about to be removed",
    WalBetweenReleases "walBetweenReleases" "an old segment is removed, and others may follow",;
    "snapshot":
    SnapshotBeforeRecord "snapshotBeforeRecord" "the engine is durable, and the WAL does not say so yet",
    SnapshotAfterRecord "snapshotAfterRecord" "the WAL has the snapshot record, and the log before it is still there",
    SnapshotAfterRelease "snapshotAfterRelease" "the log before a snapshot record is gone",
    SnapshotBeforeSend "snapshotBeforeSend" "a snapshot is about to be streamed to a member that lags",
    SnapshotBeforeReport "snapshotBeforeReport" "a snapshot's transfer has ended, and raft does not know",
    SnapshotBeforeCreate "snapshotBeforeCreate" [fails] "a snapshot arrives, and has no file yet",
    SnapshotBeforeChunk "snapshotBeforeChunk" [fails] "a piece of a snapshot has arrived and is not written",
    SnapshotBeforeFinish "snapshotBeforeFinish" [fails] "a whole snapshot has arrived, and its file is not synced",
    SnapshotBeforeHandOver "snapshotBeforeHandOver" "a snapshot's file is durable, and raft has not heard of it",
    SnapshotBeforeSaveSnap "raftBeforeSaveSnap" "a received snapshot's record is about to be appended to the WAL",
    SnapshotAfterSaveSnap "raftAfterSaveSnap" "that record is appended and not synced",
    InstallBeforeOpen "applyBeforeOpenSnapshot" [fails] "a received snapshot's record is durable, and its file is not read",
    InstallBeforeReplace "applyAfterOpenSnapshot" "its file is read, and the engine still holds the old content",
    InstallAfterReplace "installAfterReplace" "the engine holds the new content, and the state the old one",
    InstallBeforeRelease "installBeforeRelease" "the new state serves, and log and file of the snapshot are still there",
    InstallAfter "raftAfterApplySnap" "a snapshot is installed",;
    "apply":
    ApplyBeforeEntries "applyBeforeEntries" "committed entries are about to be applied",
    ApplyBeforeConfChange "beforeApplyOneConfChange" "a change of the membership is among them",
    ApplyAfterConfChange "afterApplyConfChange" "a change of the membership is applied, and its links are not made",
    ApplyBeforeAnswers "applyBeforeAnswers" "entries are applied, and who waits for them has not heard",
    ApplyAfterAnswers "applyAfterAnswers" "who waited for applied entries has heard",;
    "engine":
    EngineBeforeCommit "beforeCommit" [fails] "the engine is about to make its batches durable",
    EngineAfterCommit "afterCommit" "the engine is durable, and the node's loop does not know",;
    "defragment":
    DefragBeforeCopy "defragBeforeCopy" "a defragmentation is about to copy the engine's content",
    DefragBeforeRename "defragBeforeRename" [fails] "the content is copied, and the copy has not taken its place",
    DefragAfterRename "defragAfterRename" "the copy has taken its place, and who waits for it has not heard",;
    "compaction":
    CompactAfterSchedule "compactAfterCommitScheduledCompact" "a compaction is applied, and nothing is deleted yet",
    CompactBeforeStep "compactBeforeCommitBatch" "a step of a compaction is about to delete",
    CompactAfterStep "compactAfterCommitBatch" "a step of a compaction has deleted",
    CompactAfterFinish "compactAfterSetFinishedCompact" "a compaction has finished, and who waits for it has not heard",;
    "peers":
    PeerBeforeCall "peerBeforeCall" "a lane is about to open its call to a peer",
    PeerBeforeRead "peerBeforeRead" "a peer has opened a lane, and nothing is read from it yet",
    PeerBeforeHandOver "peerBeforeHandOver" "messages of a peer are read, and raft has not got them",
    PeerBeforeMembers "peerBeforeMembers" "a joiner asks who is in the cluster",;
    "api":
    ApiBeforePropose "apiBeforePropose" "a request is checked and not proposed",
    ApiAfterPropose "apiAfterPropose" "a request's outcome is known, and its client has not heard",
    ApiBeforeReadIndex "apiBeforeReadIndex" "a linearizable read is about to be confirmed",
    ApiAfterReadIndex "apiAfterReadIndex" "a linearizable read is confirmed, and nothing is read yet",;
    "lease":
    LeaseBeforeRenew "beforeCheckpointInLeaseRenew" "a leader has proven itself, and has not renewed the lease yet",;
    "watch":
    WatchBeforeSend "beforeSendWatchResponse" "a watch response is made, and the transport has not got it",;
    "start":
    StartBeforeEngine "startBeforeEngine" [fails] "the data folder is locked, and nothing in it is opened",
    StartBeforeWal "startBeforeWal" [fails] "the engine is open, and the WAL is not",
    StartBeforeInstall "startBeforeFinishInstall" "a start is about to finish an install that a crash cut short",
    StartAfterReplay "startAfterReplay" "engine and WAL are read, and the node does not run yet",
    StartBeforePublish "beforePublishing" "the node runs, and has not told the cluster its name",
    StartBeforeReady "startBeforeReady" "the cluster knows the name, and clients are not served yet",;
}

/// The simulated side: what happens at a point.
#[cfg(madsim)]
pub trait OnPoint: Send + Sync {
    /// The member has reached `point`. If this returns a future, the member awaits it, and the future's result is
    /// the point's result. If the member dies there, the future never ends. Must not call back into the member.
    fn reached(&self, point: Point) -> Option<BoxFuture<'static, io::Result<()>>>;
}

/// A member's points. Cheap to clone; has size zero in the real build.
#[derive(Clone, Default)]
pub struct Points {
    #[cfg(madsim)]
    on_point: Option<Arc<dyn OnPoint>>,
}

impl Points {
    /// Points at which `on_point` decides what happens.
    #[cfg(madsim)]
    pub fn new(on_point: Arc<dyn OnPoint>) -> Self {
        Self { on_point: Some(on_point) }
    }

    /// The member has reached a point where nothing can fail.
    #[inline]
    pub async fn reached(&self, point: Point) {
        debug_assert!(!point.can_fail(), "an error at {} would be lost", point.name());
        let _nothing_fails_here = self.reach(point).await;
    }

    /// The member has reached a point before some I/O.
    ///
    /// # Errors
    /// The error with which that I/O must fail.
    #[inline]
    pub async fn reached_before_io(&self, point: Point) -> io::Result<()> {
        debug_assert!(point.can_fail(), "{} is not listed as one that can fail", point.name());
        self.reach(point).await
    }

    #[cfg(madsim)]
    async fn reach(&self, point: Point) -> io::Result<()> {
        match self.on_point.as_ref().and_then(|on_point| on_point.reached(point)) {
            Some(what_happens) => what_happens.await,
            None => Ok(()),
        }
    }

    #[cfg(not(madsim))]
    #[expect(clippy::unused_async, reason = "the simulated build waits here")]
    async fn reach(&self, _: Point) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_camel_case() {
        let names: BTreeSet<&str> = Point::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
        for name in names {
            assert!(name.starts_with(|c: char| c.is_ascii_lowercase()), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
        }
    }
}
