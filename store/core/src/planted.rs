//! Planted errors: plausible mistakes, each a switch, so that the harness can show that it notices them.
//!
//! A planted error changes what the code does, so it is reached as code is, from anywhere: `planted!(Name)` is true where
//! it is switched on. What is switched on belongs to the thread. A simulated run has a thread of its own, so two runs
//! never meet; a member switches on what its configuration says when it starts ([`plant`]). The real build has none of
//! this: there `planted!` is the constant `false`, and the compiler drops what it guards.
//!
//! The numbers in brackets are issues of etcd in which the error, or one like it, was once real.

/// `planted!(Name)`: whether this error is switched on.
#[cfg(madsim)]
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is($crate::planted::Bug::$bug)
    };
}

/// In the real build no error is planted.
#[cfg(not(madsim))]
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::never(stringify!($bug))
    };
}

/// False, whatever the error's name. A function and no literal: clippy would call two of them in one condition redundant.
#[cfg(not(madsim))]
#[inline(always)]
pub const fn never(_name: &str) -> bool {
    false
}

pub use planted;

#[cfg(madsim)]
pub use switches::*;

#[cfg(madsim)]
mod switches {
    use std::cell::Cell;

    macro_rules! bugs {
        ($( $bug:ident $name:literal $area:literal $what:literal; )*) => {
            /// A planted error.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub enum Bug { $( #[doc = $what] $bug, )* }

            impl Bug {
                /// Every one, by area.
                pub const ALL: &[Bug] = &[$( Bug::$bug, )*];
                /// Their names, in the same order.
                pub const NAMES: &[&str] = &[$( $name, )*];

                /// As scenarios write it.
                pub fn name(self) -> &'static str {
                    match self { $( Bug::$bug => $name, )* }
                }

                /// The part of the store that it is planted in.
                pub fn area(self) -> &'static str {
                    match self { $( Bug::$bug => $area, )* }
                }

                /// What it breaks.
                pub fn what(self) -> &'static str {
                    match self { $( Bug::$bug => $what, )* }
                }
            }
        };
    }

    bugs! {
        NewLifeKeepsCreateRevision "newLifeKeepsCreateRevision" "mvcc"
            "a key that was deleted and put again keeps the create revision of its first life";
        NewLifeKeepsVersion "newLifeKeepsVersion" "mvcc"
            "a key that was deleted and put again counts its version on";
        VersionNotRaised "versionNotRaised" "mvcc"
            "the second put of a key leaves its version at 1";
        NoEffectTakesRevision "noEffectTakesRevision" "mvcc"
            "a delete that finds nothing takes a revision all the same";
        TxnWritesTakeRevisions "txnWritesTakeRevisions" "mvcc"
            "each write of a transaction takes a main revision of its own (etcd before v3)";
        PutForgetsOldRevision "putForgetsOldRevision" "mvcc"
            "a put drops the key's older revisions from the index: reads of the past miss the key";
        CompactionForgetsBase "compactionForgetsBase" "mvcc"
            "a compaction also drops the newest change at or before its revision if the key changed later: a read at the compact revision misses the key";
        CompactionOffByOne "compactionOffByOne" "mvcc"
            "a compaction also forgets what a read at its own revision needs, if the key changed in the next one";
        CompactionAcceptedTwice "compactionAcceptedTwice" "mvcc"
            "a compaction at the compact revision succeeds where it must be refused";
        ReadsBelowCompaction "readsBelowCompaction" "mvcc"
            "a read below the compact revision is answered from what is left";
        CompactRevisionUnreadable "compactRevisionUnreadable" "mvcc"
            "reads at the compact revision are refused, though it is the oldest that stays readable";
        CompactionStepTakesKept "compactionStepTakesKept" "mvcc"
            "the last record that a step of a compaction looks at is removed from the engine though the index holds it";
        CompactionLostAtRestart "compactionLostAtRestart" "mvcc"
            "a restart in the middle of a compaction forgets that it was begun: the compact revision goes back";
        RevisionLostAtRestart "revisionLostAtRestart" "mvcc"
            "after a compaction of everything a restart takes the newest record's revision for the store's (etcd #6633, #17780)";
        TombstoneLivesAtRestart "tombstoneLivesAtRestart" "mvcc"
            "a key of which only a tombstone is left counts as there after a restart (etcd #19179)";
        CompactionTakesTombstone "compactionTakesTombstone" "mvcc"
            "a compaction also forgets a deletion at its own revision: a watch from there on misses it (etcd #18089)";
        TombstoneForgottenAtRestart "tombstoneForgottenAtRestart" "mvcc"
            "a restart leaves out of the key index a key of which only a tombstone is left (etcd #19179)";
        RestoreIgnoresSub "restoreIgnoresSub" "mvcc"
            "a restart keeps of a transaction's changes the first alone in the key index";
        CompareGreaterOrEqual "compareGreaterOrEqual" "txn"
            "`greater` holds for equal numbers too";
        CompareLessOrEqual "compareLessOrEqual" "txn"
            "`less` holds for equal numbers too";
        CompareNotEqualIsEqual "compareNotEqualIsEqual" "txn"
            "`not equal` of a version is taken for `equal`";
        CompareCreateAsMod "compareCreateAsMod" "txn"
            "a compare of the create revision looks at the mod revision";
        CompareVersionOfDeleted "compareVersionOfDeleted" "txn"
            "a compare of a key that was deleted sees its last version instead of 0";
        CompareValueOfAbsent "compareValueOfAbsent" "txn"
            "a compare of an absent key's value holds if the constant is empty";
        CompareRangeFirstKey "compareRangeFirstKey" "txn"
            "a compare over an interval looks at its first key alone";
        CompareRangeEmptyFails "compareRangeEmptyFails" "txn"
            "a compare over an interval without keys is false whatever it asks";
        ComparesAreOr "comparesAreOr" "txn"
            "one compare that holds suffices";
        ElseBranchSkipped "elseBranchSkipped" "txn"
            "the else branch's writes are left out";
        NestedTakesSuccess "nestedTakesSuccess" "txn"
            "a nested transaction always takes its first branch";
        TxnReadsBefore "txnReadsBefore" "txn"
            "a read in a transaction does not see the transaction's own writes";
        TxnPutHalf "txnPutHalf" "txn"
            "of two puts in one transaction only the first is stored, and both are answered";
        SortDescendIgnored "sortDescendIgnored" "range"
            "a descending order is answered ascending";
        SortByValueIsByKey "sortByValueIsByKey" "range"
            "an order by value is answered by key";
        SortByVersionIsByMod "sortByVersionIsByMod" "range"
            "an order by version is answered by mod revision";
        LimitOffByOne "limitOffByOne" "range"
            "a range with a limit returns one record more";
        MoreWhenExact "moreWhenExact" "range"
            "`more` is said where the limit was met exactly";
        MoreNeverSaid "moreNeverSaid" "range"
            "`more` is never said";
        CountOfReturned "countOfReturned" "range"
            "the count is that of the records returned";
        FilterMinExclusive "filterMinExclusive" "range"
            "the least mod revision of a filter is excluded";
        FilterCreateIgnored "filterCreateIgnored" "range"
            "the bounds on the create revision are ignored";
        KeysOnlyKeepsValues "keysOnlyKeepsValues" "range"
            "keys_only returns the values too";
        CountOnlyOfNow "countOnlyOfNow" "range"
            "count_only counts the newest revision whatever was asked";
        HistoricalReadsNow "historicalReadsNow" "range"
            "a read at an older revision answers from the newest";
        HistoricalOffByOne "historicalOffByOne" "range"
            "a read at an older revision sees the one after it";
        FromKeyIsOneKey "fromKeyIsOneKey" "range"
            "a range without an end (from the key on) returns the one key";
        RangeEndIncluded "rangeEndIncluded" "range"
            "a range includes the key at its end";
        PrevKvIsNew "prevKvIsNew" "put"
            "a put with prev_kv answers the new record";
        PrevKvOmitted "prevKvOmitted" "put"
            "a put with prev_kv answers without it";
        IgnoreValueWritesEmpty "ignoreValueWritesEmpty" "put"
            "a put with ignore_value stores an empty value";
        DeleteCountsOne "deleteCountsOne" "delete"
            "a delete of several keys answers that it deleted one";
        DeletePrevKvFirst "deletePrevKvFirst" "delete"
            "a delete with prev_kv returns the first record alone";
        DeleteRangeFirstKey "deleteRangeFirstKey" "delete"
            "a delete of an interval removes its first key alone";
        PutRevisionIsOld "putRevisionIsOld" "put"
            "a put answers the revision before its own";
        HashMissesInterrupted "hashMissesInterrupted" "hash"
            "HashKV leaves out what a compaction kept that a restart interrupted (etcd #15919)";
        HashSeesProgress "hashSeesProgress" "hash"
            "HashKV covers records that a compaction has yet to remove (etcd before 3.5)";
        ReplyDiffersAfterRestart "replyDiffersAfterRestart" "apply"
            "a member that has restarted counts a delete's keys one too low";
        HiddenRowDiffers "hiddenRowDiffers" "apply"
            "a member that has restarted does not note a removed member's id: no client reads that row";
        VoteBeforeSync "voteBeforeSync" "node"
            "a vote is answered before the hard state is synced";
        AckBeforeSync "ackBeforeSync" "node"
            "a follower acknowledges entries before they are synced";
        SingleVoterAcknowledgesBeforeFsync "singleVoterAcknowledgesBeforeFsync" "node"
            "a single voter applies and answers an entry before its fsync (etcd #14370)";
        HardStateNotSynced "hardStateNotSynced" "node"
            "a hard state without entries is written and not synced: a vote may be lost";
        VoteNotStored "voteNotStored" "node"
            "the vote is left out of the stored hard state";
        CommitNotStored "commitNotStored" "node"
            "the commit index is left out of the stored hard state";
        LeaderServesReadsWithoutReadIndex "leaderServesReadsWithoutReadIndex" "node"
            "a leader answers linearizable reads without asking a quorum (etcd #741)";
        ReadBeforeApply "readBeforeApply" "node"
            "a read is answered at once when its index is confirmed, before that is applied";
        ReadJoinsBatch "readJoinsBatch" "node"
            "a read joins the batch that is under way, whose index may be older than the read";
        LeaseReads "leaseReads" "node"
            "a leader answers reads by its lease instead of a quorum: a pause is not noticed";
        ReadIdReused "readIdReused" "node"
            "every ReadIndex has the same id: a late confirmation of an earlier one confirms a later read (etcd #20418)";
        ReadsOutliveLeader "readsOutliveLeader" "node"
            "a batch of reads goes on when the leader changes, and those that wait join it: a confirmation from before they began answers them (etcd #21375)";
        AnswersSwapped "answersSwapped" "node"
            "two proposals applied together get each other's answers";
        AnswerLost "answerLost" "node"
            "every 50th answer is never sent";
        ProposalTwice "proposalTwice" "node"
            "every twentieth proposal goes into the log twice (a retry without deduplication)";
        ProposalRefusedAndKept "proposalRefusedAndKept" "node"
            "a proposal that finds no leader is refused, and proposed all the same once there is one";
        LeaderGuessesAck "leaderGuessesAck" "node"
            "a leader counts one follower as having what it has only been sent: a quorum lacks one";
        TxnReadsStripped "txnReadsStripped" "node"
            "a member that did not propose a transaction leaves out its reads, and so the check of their revisions (etcd #18667)";
        TailKept "tailKept" "node"
            "an append that conflicts keeps what stood behind it in the log in memory";
        WalTailKept "walTailKept" "wal"
            "a replay of the WAL keeps entries that a later append replaced";
        IdsRepeat "idsRepeat" "node"
            "a member counts its proposals from the same number in each life: an old entry answers a new client";
        RestartTakesSnapshotVoters "restartTakesSnapshotVoters" "node"
            "a restart takes the voters of the last snapshot record instead of those of the applied state";
        RestartSkipsEntry "restartSkipsEntry" "node"
            "a restart begins to apply one entry behind the one that comes next";
        VoteForgottenAtRestart "voteForgottenAtRestart" "node"
            "a restart forgets the vote of the current term";
        SyncSkipped "syncSkipped" "wal"
            "about every eighth sync of the WAL does nothing";
        TornTailKept "tornTailKept" "wal"
            "a torn record at the WAL's end is left there, and appends go behind it";
        SegmentReleasedEarly "segmentReleasedEarly" "wal"
            "segments are released up to the applied index, not the durable snapshot record";
        SegmentHeadWithoutHardState "segmentHeadWithoutHardState" "wal"
            "a new segment begins without the hard state: once the earlier ones are gone, so is the vote";
        SegmentNotSynced "segmentNotSynced" "wal"
            "a new segment is renamed into place before it is synced";
        FolderNotSynced "folderNotSynced" "wal"
            "the WAL's folder is not synced after a new segment";
        SnapshotRecordNotSynced "snapshotRecordNotSynced" "wal"
            "segments are released behind a snapshot record that is not synced";
        AppliedIndexApart "appliedIndexApart" "engine"
            "the applied index reaches the engine in a batch of its own behind the data (etcd #14685)";
        AppliedIndexAhead "appliedIndexAhead" "engine"
            "the applied index reaches the engine in a batch of its own before the data (etcd #13766)";
        CommitReportedEarly "commitReportedEarly" "engine"
            "the engine's commit is reported before it is done: the log is released too early";
        EngineMarkAhead "engineMarkAhead" "engine"
            "the mark of a commit is taken after it, so entries count as durable that came meanwhile";
        RefusalNotAdvanced "refusalNotAdvanced" "engine"
            "the applied index does not move over a refused entry (etcd #13937, #14419)";
        InstallKeepsOldRows "installKeepsOldRows" "snapshot"
            "an installed snapshot is written over the old rows without removing them";
        InstallOnlyInMemory "installOnlyInMemory" "snapshot"
            "an installed snapshot replaces the state in memory and not the rows in the engine";
        SnapshotWithoutTombstones "snapshotWithoutTombstones" "snapshot"
            "a snapshot leaves deletions out: a deleted key lives on where it is installed";
        SnapshotDropsRow "snapshotDropsRow" "snapshot"
            "a snapshot leaves out a row of a removed member, which no client reads";
        SnapshotDropsKey "snapshotDropsKey" "snapshot"
            "a snapshot leaves out the last key's row";
        SnapshotFileNotSynced "snapshotFileNotSynced" "snapshot"
            "a received snapshot's file is not synced before raft hears of it";
        InstallBeforeRecord "installBeforeRecord" "snapshot"
            "the engine is replaced before the snapshot's record is in the WAL";
        HardStateBeforeSnapshotRecord "hardStateBeforeSnapshotRecord" "snapshot"
            "a received snapshot's record is written and synced after the hard state that counts on it (etcd #10219)";
        SnapshotFileGoneEarly "snapshotFileGoneEarly" "snapshot"
            "a received snapshot's file is removed before the engine holds its rows (etcd #18055)";
        RemovedIdReturns "removedIdReturns" "membership"
            "a removed id may be added again, and its messages are taken";
        AddWithoutCheck "addWithoutCheck" "membership"
            "a member is added though another has its peer URL";
        RemovedStillVotes "removedStillVotes" "membership"
            "a removed member stays a voter in raft's configuration";
        RefusedChangeApplied "refusedChangeApplied" "membership"
            "raft applies a membership change that the state machine refused";
        ForceDropsApplied "forceDropsApplied" "membership"
            "a forced new cluster cuts the log at the stored commit index, below what is applied (etcd #20071)";
        RemovedGoesOn "removedGoesOn" "membership"
            "a removed member does not stop";
        LostDataForgotten "lostDataForgotten" "membership"
            "a member that has found out that it lost data starts again as if it had not";
        TimeoutIsDefinite "timeoutIsDefinite" "api"
            "a request that timed out is answered as one that certainly did nothing";
        LeaderLossIsDefinite "leaderLossIsDefinite" "api"
            "a proposal that met a change of leader is refused as \"no leader\", which says that nothing happened";
        RefusedFromLocalState "refusedFromLocalState" "api"
            "a read at a revision is refused as future by what this member has applied, before it asks for an index";
        CompactRefusedLocally "compactRefusedLocally" "api"
            "a compaction is refused by what this member has applied";
        DeleteAnsweredLocally "deleteAnsweredLocally" "api"
            "a delete of a key that this member does not have is answered without the log";
        TxnReadIsSerializable "txnReadIsSerializable" "api"
            "a transaction that only reads is answered from local state";
        LeaderChangeIgnored "leaderChangeIgnored" "api"
            "a read whose leader changed is answered from local state";
        HeaderRevisionLate "headerRevisionLate" "api"
            "a put's header carries the store's present revision, not the put's own";
        MemberListLocal "memberListLocal" "api"
            "a linearizable member list is answered from local state";
        RangeHeaderEarly "rangeHeaderEarly" "api"
            "a range's header carries the revision at which the request arrived";
        QuotaIgnoresNested "quotaIgnoresNested" "quota"
            "the puts of nested transactions cost nothing: they pass the quota and its alarm (etcd #22139)";
        AlarmListNotAdvanced "alarmListNotAdvanced" "engine"
            "the applied index does not move over a listing of alarms (etcd #14419)";
        DefragmentKeepsOldIndex "defragmentKeepsOldIndex" "engine"
            "a defragmentation's copy has the applied index of the last commit beside newer data (etcd #14685)";
        DefragmentDuringInstall "defragmentDuringInstall" "engine"
            "a defragmentation's copy takes the place of a snapshot that was installed meanwhile (etcd #20271)";
        DefragmentLeftoverReused "defragmentLeftoverReused" "engine"
            "what a crash left of a copy of the engine's content becomes part of the next copy (etcd #11613)";
        ForcePanicsOnLearner "forcePanicsOnLearner" "membership"
            "a forced new cluster holds the addition of a learner to be impossible (etcd #12285)";
        ForceKeepsLearners "forceKeepsLearners" "membership"
            "a forced new cluster does not remove the learners (etcd #20893)";
        PromotionNotStored "promotionNotStored" "membership"
            "a promotion is applied and not stored: the voter is a learner again after a restart (etcd #19557)";
        UpdatePromotes "updatePromotes" "membership"
            "a new peer URL makes a voter of a learner, in the list of members and not in raft (etcd #21694)";
        LeaseDemotionMissed "leaseDemotionMissed" "lease"
            "a leader that lost the leadership goes on counting, and what expires then is revoked through the new leader (etcd #15247)";
        LeaseRenewUnproven "leaseRenewUnproven" "lease"
            "a leader renews a lease without proving that it still leads";
        LeaseRenewChecksFirst "leaseRenewChecksFirst" "lease"
            "a renewal looks for the lease before it waits, and not again after it (etcd #20547)";
        LeaseRenewalIgnored "leaseRenewalIgnored" "lease"
            "a renewal is answered, and the lease ends when it would have";
        LeasePromotionKeepsGrant "leasePromotionKeepsGrant" "lease"
            "a new leader counts leases from their grant, though it knows of no renewal";
        LeaseRevokeNotRetried "leaseRevokeNotRetried" "lease"
            "the revocation of one expired lease in eight is lost, and not proposed again (etcd #10686)";
        LeaseRenewedWhileRevoked "leaseRenewedWhileRevoked" "lease"
            "the lease that was revoked last is still renewed, though its keys are gone (etcd #14758)";
        LockSessionUnchecked "lockSessionUnchecked" "lock"
            "who waited for a lock is told that it holds, also where its lease has ended meanwhile (etcd #11456)";
        WatchNextNotAdvanced "watchNextNotAdvanced" "watch"
            "a watcher's place is not moved when it is told of a change: it goes back there after an installed snapshot (etcd #15271)";
        WatchInstallNotFollowed "watchInstallNotFollowed" "watch"
            "watchers are not told what an installed snapshot brought (etcd #8411)";
        WatchFutureInstallPanics "watchFutureInstallPanics" "watch"
            "an installed snapshot finds a watcher of a future revision, which is held to be impossible (etcd #9775)";
        WatchProgressOfFuture "watchProgressOfFuture" "watch"
            "a notice of progress goes to a watcher that starts later (etcd #20221)";
        WatchFutureForgotten "watchFutureForgotten" "watch"
            "after an installed snapshot a watcher of a future revision hears of all changes (etcd #20221)";
        WatchProgressOvertakes "watchProgressOvertakes" "watch"
            "a notice of progress overtakes events that wait (etcd #15220)";
        WatchProgressWithheld "watchProgressWithheld" "watch"
            "progress that was asked for while a watcher was behind is never told (etcd #17557)";
        WatchCompactionUntold "watchCompactionUntold" "watch"
            "a watcher whose next change is compacted goes on with the newest and is not cancelled (etcd #17529)";
        WatchHandoverTwice "watchHandoverTwice" "watch"
            "a watcher that catches up is told the last piece of history twice (etcd #17247)";
        WatchFragmentNeverEnds "watchFragmentNeverEnds" "watch"
            "the last part of a response that was cut says that more follows";
        WatchPrevKvIsNew "watchPrevKvIsNew" "watch"
            "a watcher is told the new record as the previous one";
        AuthIndexNotAdvanced "authIndexNotAdvanced" "auth"
            "a change of users and roles does not move the applied index: a restart makes it again (etcd #11651)";
        AuthCacheKept "authCacheKept" "auth"
            "an installed snapshot's users may do what they might before the install (etcd #14571)";
        DenialNotAdvanced "denialNotAdvanced" "auth"
            "the applied index does not move over an entry whose caller may not do it (etcd #13937)";
        AuthRevisionIgnored "authRevisionIgnored" "auth"
            "an entry is applied though its proposer looked at older users and roles";
        AuthPrevKvUnchecked "authPrevKvUnchecked" "auth"
            "a write that asks for the previous record is not asked for the permission to read it";
        AuthTokenKept "authTokenKept" "auth"
            "a token goes on to work when its user is deleted or gets another password";
        AuthReadUnchecked "authReadUnchecked" "auth"
            "a serializable read is answered whoever asks";
        WatchFiltersSwapped "watchFiltersSwapped" "watch"
            "a watcher that wants no puts is told of no deletes, and the other way round";
        WatchEndIncluded "watchEndIncluded" "watch"
            "the key at the end of a watched interval is watched too";
        WatchSlowSkips "watchSlowSkips" "watch"
            "a revision that does not fit into a full queue is left out instead of read later";
        WatchRevisionSplit "watchRevisionSplit" "watch"
            "the changes of one revision go out in a response each";
        WatchInstallRepeats "watchInstallRepeats" "watch"
            "an install makes watchers read again what they were told since their last event";
        WatchNoticeAhead "watchNoticeAhead" "watch"
            "a notice of progress speaks of the revision after the newest";
        WatchStartsAtNow "watchStartsAtNow" "watch"
            "a watcher without a start is told of the newest revision too";
        WatchCompactedAtNext "watchCompactedAtNext" "watch"
            "a cancelled watcher is told the revision that it wanted next for the compacted one";
        WatchHistoryWithoutPrev "watchHistoryWithoutPrev" "watch"
            "what is read from history comes without what it replaced";
        WatchByKeyForgotten "watchByKeyForgotten" "watch"
            "the end of one watcher of a key forgets all watchers of that key";
        RevokeKeepsKeys "revokeKeepsKeys" "lease"
            "a revocation leaves the last of its keys";
        LeaseNotDetached "leaseNotDetached" "lease"
            "a key that is put without a lease still hangs on the lease before";
        LeaseKeysLostAtRestart "leaseKeysLostAtRestart" "lease"
            "after a restart or an install keys hang on no lease";
        LeaseGrantedTwice "leaseGrantedTwice" "lease"
            "a grant of a lease that is there is no error";
        LeaseUnknownAccepted "leaseUnknownAccepted" "lease"
            "a put may name a lease that is not there";
        LeaseTimeHalved "leaseTimeHalved" "lease"
            "a renewal gives a lease half of its time";
        LeaseCheckpointOutlivesRenewal "leaseCheckpointOutlivesRenewal" "lease"
            "a renewal does not take back what a checkpoint has noted";
        LeaseExpiredIsRenewed "leaseExpiredIsRenewed" "lease"
            "a lease whose time is over is renewed as long as it is there";
        LeasePromotedByTheFirst "leasePromotedByTheFirst" "lease"
            "a new leader counts only the leases that are granted in its term";
        ClientRetriesBlindly "clientRetriesBlindly" "client"
            "a client sends a request again when its answer is lost, and believes the last answer (etcd #14890)";
        ClientReadsStale "clientReadsStale" "client"
            "a client asks for serializable reads and takes them for linearizable ones";
        LockTurnNotRechecked "lockTurnNotRechecked" "lock"
            "who waits for the one before it has its turn once that one is gone";
        LockCountsItself "lockCountsItself" "lock"
            "who waits for its turn also waits for itself";
        PlaceNotGivenUp "placeNotGivenUp" "lock"
            "a place whose caller has gone away stays in the queue";
        PlaceFoundIsFirst "placeFoundIsFirst" "lock"
            "a place that was there before is taken for the first in its queue";
        ProclaimUnfenced "proclaimUnfenced" "lock"
            "who led before may still speak as the leader";
        ResignUnfenced "resignUnfenced" "lock"
            "a resignation, or the end of a place, removes whatever stands there by now";
        ObserverStaysWithTheFirst "observerStaysWithTheFirst" "lock"
            "an observer hears of no other leader once the first one is gone";
        SortByCreateIsByMod "sortByCreateIsByMod" "range"
            "an order by creation revision is one by modification revision";
        LimitBeforeSort "limitBeforeSort" "range"
            "a limit cuts before the order is made";
        LimitBeforeFilter "limitBeforeFilter" "range"
            "a limit cuts before the filters by revision are looked at";
        FilterMaxIgnored "filterMaxIgnored" "range"
            "the upper bounds of revisions are not looked at";
        CompareLeaseHolds "compareLeaseHolds" "txn"
            "a compare of a lease always holds";
        IgnoreLeaseDrops "ignoreLeaseDrops" "put"
            "a put that keeps the lease takes it away";
        NestedReadsUnchecked "nestedReadsUnchecked" "txn"
            "the revisions of reads in nested transactions are not checked before the writes";
        TxnOverCompacted "txnOverCompacted" "txn"
            "a transaction may read below the compact revision";
        DisarmTakesAll "disarmTakesAll" "alarm"
            "the end of one alarm ends all of its member";
        AlarmsForgottenAtRestart "alarmsForgottenAtRestart" "alarm"
            "after a restart or an install no alarm is active";
        NoSpaceSparesTransactions "noSpaceSparesTransactions" "alarm"
            "an alarm NOSPACE stops puts, and neither transactions nor grants";
        UpdateNotStored "updateNotStored" "membership"
            "new addresses of a member are not stored";
        PublishNotStored "publishNotStored" "membership"
            "what a member says of itself is not stored";
        LearnersUnlimited "learnersUnlimited" "membership"
            "a cluster may have several learners";
        LearnerPromotedUnready "learnerPromotedUnready" "membership"
            "a learner may vote however far its log is behind";
        AuthComparesUnchecked "authComparesUnchecked" "auth"
            "what a transaction compares needs no permission";
        AuthOtherBranchUnchecked "authOtherBranchUnchecked" "auth"
            "what a transaction does otherwise needs no permission";
        AuthLeaseUnchecked "authLeaseUnchecked" "auth"
            "a key may be hung on the lease of keys that one may not write";
        AuthRangeByItsStart "authRangeByItsStart" "auth"
            "who may touch the first key of a range may touch all of it";
        AuthRoleStays "authRoleStays" "auth"
            "the end of a role leaves it with its users";
        AuthCompactionForAll "authCompactionForAll" "auth"
            "whoever has a token may compact";
        ReadConfirmedByAny "readConfirmedByAny" "node"
            "any confirmation of a read confirms the batch under way";
        ReadNotAskedAgain "readNotAskedAgain" "node"
            "a batch of reads that raft has dropped is not asked for again";
        PutBackLost "putBackLost" "node"
            "what raft does not take is forgotten, and its client waits in vain";
        InstallKeepsCompaction "installKeepsCompaction" "snapshot"
            "a compaction that the installed snapshot has under way is never finished";
        InstallKeepsTokens "installKeepsTokens" "snapshot"
            "a token outlives the install that made it void";
        SnapshotFailureUnreported "snapshotFailureUnreported" "snapshot"
            "raft is not told that a snapshot was not delivered, and sends that member nothing more";
        CatchupForgottenWhileSending "catchupForgottenWhileSending" "snapshot"
            "the log is cut while a member takes a snapshot";
        CountIsSerializable "countIsSerializable" "api"
            "a read that only counts asks no leader";
        PhysicalNotWaitedFor "physicalNotWaitedFor" "api"
            "a physical compaction is answered before its records are gone";
        RangeAtRevisionIsLocal "rangeAtRevisionIsLocal" "api"
            "a read of an older revision asks no leader";
        HistoryPieceSkips "historyPieceSkips" "mvcc"
            "a piece of history ends one revision too far: the next one begins behind a revision that nobody was told of";
        HistoryPieceSplits "historyPieceSplits" "mvcc"
            "a piece of history ends within a revision, and the next one begins with that revision again";
        HistoryFromCompactionRefused "historyFromCompactionRefused" "mvcc"
            "history from the compact revision on is refused, though it is there";
        CompactionOfTheFuture "compactionOfTheFuture" "mvcc"
            "a compaction at the revision after the newest succeeds";
        CompactionCursorKept "compactionCursorKept" "mvcc"
            "a compaction that overtakes another goes on where that one stood: what the first one kept stays for good";
        CountStopsAtLimit "countStopsAtLimit" "range"
            "the look-up stops once the limit is met, and the count with it";
        KeysOnlyBeforeSort "keysOnlyBeforeSort" "range"
            "keys_only takes the values away before they are put in order by value";
        PutLooksBeforeTxn "putLooksBeforeTxn" "put"
            "a put behind a delete of its key in one transaction goes on with the life that the delete has ended";
        HashMissesNewest "hashMissesNewest" "hash"
            "HashKV leaves out the newest of the revisions that it covers";
        AllocatedLostAtRestart "allocatedLostAtRestart" "quota"
            "after a restart or an install the store takes up no more than its rows do, though nobody has defragmented it";
        DefragmentKeepsSize "defragmentKeepsSize" "quota"
            "a defragmentation gives back nothing";
        RevokeTakesRevisions "revokeTakesRevisions" "lease"
            "a revocation takes a revision for each of its keys";
        LeasePutAgainDetached "leasePutAgainDetached" "lease"
            "a key that is put again with the lease that it hangs on hangs on none";
        CheckpointNotesElapsed "checkpointNotesElapsed" "lease"
            "a checkpoint notes the time that has passed instead of the time that is left";
        LeastTtlIgnored "leastTtlIgnored" "lease"
            "a lease may be shorter than an election takes";
        TimeToLiveUnproven "timeToLiveUnproven" "lease"
            "who led before answers what is left of a lease, though another leads";
        TimeToLiveIsGranted "timeToLiveIsGranted" "lease"
            "what is left of a lease is answered as what it was granted";
        LeasesOfTheCountdown "leasesOfTheCountdown" "lease"
            "a member that does not lead lists no leases, since it counts none down";
        NestedDuplicateAccepted "nestedDuplicateAccepted" "txn"
            "a key may be put in a nested transaction and beside it";
        MaxTxnOpsOffByOne "maxTxnOpsOffByOne" "txn"
            "a transaction may have one operation more than is allowed";
        IgnoreValueOfAbsent "ignoreValueOfAbsent" "put"
            "a put that keeps the value of a key that is not there makes the key, without a value";
        TxnSerializableByOne "txnSerializableByOne" "txn"
            "a transaction that only reads asks no leader if one of its reads is serializable";
        NoSpaceStopsDeletes "noSpaceStopsDeletes" "alarm"
            "an alarm NOSPACE stops deletes and compactions too: nobody can make room";
        CorruptSparesDeletes "corruptSparesDeletes" "alarm"
            "an alarm CORRUPT stops puts and transactions alone";
        AlarmReturnsAtRestart "alarmReturnsAtRestart" "alarm"
            "the end of an alarm is not stored: after a restart or an install it is active again";
        QuotaRefusesAtApply "quotaRefusesAtApply" "quota"
            "a member whose quota is used up leaves out a committed entry, which the others apply";
        CorruptComparesAcrossCompactions "corruptComparesAcrossCompactions" "corrupt"
            "the corruption check compares hashes of members that have compacted differently";
        RetentionIgnored "retentionIgnored" "compactor"
            "auto-compaction takes the newest revision that it has noted, not the one of a retention ago";
        UpdateWithoutCheck "updateWithoutCheck" "membership"
            "a member may get a peer URL that is another member's";
        LearnerVotesInRaft "learnerVotesInRaft" "membership"
            "raft takes a learner for a voter, and the list of members does not";
        LearnerServesAll "learnerServesAll" "api"
            "a learner serves as a voter does";
        LeaderNotInsistedOn "leaderNotInsistedOn" "api"
            "a client that insists on a leader is served by a member that knows none";
        SnapshotLeavesOutLearners "snapshotLeavesOutLearners" "snapshot"
            "a snapshot says who votes, and not who learns";
        ForceIgnoresUnapplied "forceIgnoresUnapplied" "membership"
            "a forced new cluster does not remove who was added by an entry that is not applied yet";
        ForceCutsAtCommit "forceCutsAtCommit" "membership"
            "a forced new cluster drops what its log holds behind the commit index that is on disk, as etcd does";
        ReadsAtOneIndexLost "readsAtOneIndexLost" "node"
            "of two batches of reads that wait for the same index the first is told that the member stops";
        SegmentReleasedOneTooFar "segmentReleasedOneTooFar" "wal"
            "a segment is released that holds the entry after the snapshot record";
        SegmentHeadWithoutSnapshot "segmentHeadWithoutSnapshot" "wal"
            "a new segment begins without the snapshot record: once the earlier ones are gone, so is the log's beginning";
        ReopenedLogNotSynced "reopenedLogNotSynced" "wal"
            "what a killed process has left in the page cache counts as durable when its log is opened again";
        RecordUnchecked "recordUnchecked" "wal"
            "a record of the log is read whatever its checksum says";
        SnapshotNameNotSynced "snapshotNameNotSynced" "snapshot"
            "the folder of a received snapshot is not synced once the file has its name";
        SnapshotUnchecked "snapshotUnchecked" "snapshot"
            "a snapshot file is read whatever its checksum says";
        WatchCancelKeepsQueue "watchCancelKeepsQueue" "watch"
            "a watcher that was cancelled is still told what waited for it";
        WatchTickWhileBehind "watchTickWhileBehind" "watch"
            "a periodic notice goes to a watcher that is behind";
        WatchIdTwice "watchIdTwice" "watch"
            "a watcher takes the place of the one whose id its client gives it";
        WatchFragmentLosesEvent "watchFragmentLosesEvent" "watch"
            "an event that does not fit into a part of a response is left out";
        AuthDisableKeepsTokens "authDisableKeepsTokens" "auth"
            "tokens outlive the time without auth";
        AuthMergedEndIsLast "authMergedEndIsLast" "auth"
            "of two permissions of which one lies within the other the inner one's end counts";
        AuthRevocationNotDerived "authRevocationNotDerived" "auth"
            "a permission that is taken from a role stays with its users until something else changes for them";
        AuthWatchUnchecked "authWatchUnchecked" "auth"
            "whoever has a stream may watch any key";
        AuthMaintenanceForAll "authMaintenanceForAll" "auth"
            "whoever has a token may take a backup, defragment and move the leadership";
        TokenNeverExpires "tokenNeverExpires" "auth"
            "a token that is not used for longer than it lives still works until it is swept away, and each use gives it its time again";
        AuthenticateRaces "authenticateRaces" "auth"
            "a password that was replaced while it was checked still gives a token";
        RestoreForgetsAuth "restoreForgetsAuth" "restore"
            "a cluster that is restored from a backup has no users, no roles, and auth off";
        RestoreForgetsAlarms "restoreForgetsAlarms" "restore"
            "a cluster that is restored from a backup has no alarms";
        StatusAppliedAhead "statusAppliedAhead" "api"
            "Status tells the committed index as the applied one";
        StatusKeepsLeader "statusKeepsLeader" "api"
            "Status tells who led last where the member knows of no leader";
        PublishOnce "publishOnce" "start"
            "a member publishes its name once, and waits for ever if that fails";
        JoinTakesAnyAnswer "joinTakesAnyAnswer" "start"
            "a joiner believes the first member that answers about who it is";
        ForeignClusterHeard "foreignClusterHeard" "peer"
            "a member takes messages of another cluster's members";
        OldestByModification "oldestByModification" "lock"
            "who was changed longest ago counts as the first in a queue, not who came first";
        QueueOfPrefix "queueOfPrefix" "lock"
            "a queue holds those of all names that begin with its own";
        CampaignKeepsOldValue "campaignKeepsOldValue" "lock"
            "who campaigns again from the place that it has goes on to say what it said before";
    }

    impl Bug {
        /// The error of this name.
        pub fn named(name: &str) -> Option<Bug> {
            Bug::ALL.iter().copied().find(|bug| bug.name() == name)
        }
    }

    /// A set of planted errors.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Set([u128; 3]);

    const _: () = assert!(Bug::ALL.len() <= 384, "a set has a bit for each error");

    impl Set {
        /// The set without errors.
        pub const NONE: Set = Set([0; 3]);

        /// Whether an error is in the set.
        pub fn contains(self, bug: Bug) -> bool {
            self.0[bug as usize / 128] & 1 << (bug as usize % 128) != 0
        }
    }

    impl From<Bug> for Set {
        fn from(bug: Bug) -> Set {
            let mut set = Set::NONE;
            set.0[bug as usize / 128] = 1 << (bug as usize % 128);
            set
        }
    }

    impl FromIterator<Bug> for Set {
        fn from_iter<I: IntoIterator<Item = Bug>>(bugs: I) -> Set {
            bugs.into_iter().fold(Set::NONE, |set, bug| {
                let one = Set::from(bug);
                Set(std::array::from_fn(|word| set.0[word] | one.0[word]))
            })
        }
    }

    thread_local! {
        static PLANTED: Cell<Set> = const { Cell::new(Set::NONE) };
    }

    /// Switches on these errors for this thread, and all others off.
    pub fn plant(bugs: Set) {
        PLANTED.set(bugs);
    }

    /// Whether an error is switched on.
    #[inline]
    pub fn is(bug: Bug) -> bool {
        PLANTED.get().contains(bug)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn names_are_unique_and_found() {
            for bug in Bug::ALL {
                assert_eq!(Bug::named(bug.name()), Some(*bug));
            }
            assert_eq!(Bug::named("everything"), None);
        }

        #[test]
        fn a_set_holds_what_was_put_in() {
            let set: Set = [Bug::ALL[0], Bug::ALL[3]].into_iter().collect();
            let held: Vec<Bug> = Bug::ALL.iter().copied().filter(|bug| set.contains(*bug)).collect();
            assert_eq!(held, [Bug::ALL[0], Bug::ALL[3]]);
        }
    }
}
