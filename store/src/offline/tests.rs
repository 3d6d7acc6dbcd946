//! Tests of restore and forced clusters, by the files that they leave.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use protobuf::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeType, ConfState, Entry, EntryType, HardState};
use squall_core::{
    ClusterId, Command, Index, Member, MemberId, MembershipChange, PutRequest, Revision, State, Term,
    cluster_id, member_id,
};

use super::*;
use crate::{
    durable,
    engine::Memory,
    seam::{Engines as _, Files as _},
    snapshot::{BackupEncoder, Meta, write_file},
    wal::{
        Metadata, Replayed, SnapshotRecord, Wal,
        crash_disk::{CrashDisk, block_on},
    },
};

const SEGMENT_BYTES: u64 = 1 << 20;

fn member(name: &str) -> Member {
    Member::new(vec![format!("http://{name}:2380")], "old", None)
}

fn put(state: &mut State, term: u64, key: &str) {
    let request = PutRequest { key: key.to_owned().into(), value: "v".into(), ..PutRequest::default() };
    let applied = state.apply(state.applied().0.next(), Term(term), &Command::Put(request));
    applied.reply.expect("a sound put");
}

/// The state of an old cluster: three members, one of them removed, and some keys.
fn old_cluster() -> State {
    let mut state = State::new();
    let mut change = |change: MembershipChange| {
        state.apply_membership(state.applied().0.next(), Term(1), &change).reply.expect("valid");
    };
    for name in ["m1", "m2", "m3", "m4"] {
        change(MembershipChange::Add(member(name)));
    }
    change(MembershipChange::Remove(member("m4").id));
    for at in 0..50 {
        put(&mut state, 2, &format!("key{at}"));
    }
    state
}

/// Saves a snapshot as a client does.
fn save(disk: &CrashDisk, path: &Path, state: &State) {
    let content: Vec<u8> =
        BackupEncoder::new(state.rows().collect()).expect("rows of a store").flatten().collect();
    // A file of that name may exist.
    _ = block_on(disk.remove(path));
    let mut file = block_on(disk.create(path)).expect("the disk is sound");
    block_on(async {
        file.append(content.into()).await?;
        file.sync().await?;
        disk.sync_dir(Path::new("/")).await
    })
    .expect("the disk is sound");
}

/// Saves a snapshot as a member keeps it.
fn save_own(disk: &CrashDisk, path: &Path, state: &State) {
    let (index, term) = state.applied();
    let meta = Meta { index, term, revision: state.revision() };
    block_on(write_file(disk, path, meta, state.rows().collect())).expect("the disk is sound");
}

fn options(name: &str) -> RestoreOptions {
    let url = |name: &str| format!("http://{name}:2380");
    RestoreOptions {
        snapshot: "/backup.db".into(),
        data_dir: PathBuf::from("/").join(name).join("data"),
        name: name.into(),
        initial_cluster: ["m3", "m1", "m2"].map(|name| (name.to_owned(), url(name))).into(),
        initial_cluster_token: "new".into(),
        advertise_peer_urls: vec![url(name)],
        skip_hash_check: false,
    }
}

fn restore(disk: &CrashDisk, engines: &Memory, options: &RestoreOptions) -> Result<Restored, OfflineError> {
    block_on(snapshot_restore(Arc::new(disk.clone()), engines, options))
}

fn refusal(disk: &CrashDisk, options: &RestoreOptions) -> String {
    let error = restore(disk, &Memory::new(), options).expect_err("refused");
    let text = error.to_string();
    assert!(!text.contains('\n'), "one paragraph: {text}");
    text
}

fn engine_state(engines: &Memory, dir: &Path) -> State {
    let engine = block_on(engines.open(&dir.join("member/snap/db"))).expect("opens");
    let state = State::restore(engine.view().expect("reads").0).expect("rows of a store");
    block_on(engine.close());
    state
}

fn open_wal(disk: &CrashDisk, dir: &Path) -> Replayed {
    block_on(Wal::open(Arc::new(disk.clone()), &dir.join("member/wal"), SEGMENT_BYTES)).expect("opens").1
}

// --- restore -------------------------------------------------------------------------------------------------------

#[test]
fn a_restore_founds_a_new_cluster_with_the_old_data() {
    let old = old_cluster();
    let disk = CrashDisk::new();
    save(&disk, Path::new("/backup.db"), &old);
    let mut digests = Vec::new();
    let mut logs = Vec::new();
    for name in ["m1", "m2", "m3"] {
        let engines = Memory::new();
        let options = options(name);
        let restored = restore(&disk, &engines, &options).expect("restores");
        disk.lose_unsynced();

        let ids = ["m1", "m2", "m3"].map(|name| member_id(&[format!("http://{name}:2380")], "new", None));
        assert_eq!(restored.member_id, member_id(&[format!("http://{name}:2380")], "new", None));
        assert_eq!(restored.cluster_id, cluster_id(ids));
        assert_eq!(restored.revision, old.revision());

        let state = engine_state(&engines, &options.data_dir);
        assert_eq!(
            state.applied(),
            (Index(3), Term(1)),
            "the entries that make the members count as applied"
        );
        assert_eq!(state.revision(), old.revision());
        assert_eq!(state.hash_kv(Revision(0)), old.hash_kv(Revision(0)), "every key and its history");
        let members: Vec<_> = state.membership().members().map(|m| (m.id, m.name.as_str())).collect();
        let mut expected: Vec<_> = ids.into_iter().zip(["m1", "m2", "m3"]).collect();
        expected.sort();
        assert_eq!(members, expected);
        assert_eq!(state.membership().removed().count(), 0, "the old cluster's removed are forgotten");

        let replayed = open_wal(&disk, &options.data_dir);
        assert_eq!(
            replayed.metadata,
            Metadata { member_id: restored.member_id, cluster_id: restored.cluster_id }
        );
        let voters: Vec<u64> = expected.iter().map(|(id, _)| id.0).collect();
        assert_eq!(
            replayed.hard_state,
            HardState { term: 1, vote: voters[0], commit: 3, ..HardState::default() }
        );
        let record =
            SnapshotRecord { index: Index(3), term: Term(1), conf_state: ConfState::from((voters, vec![])) };
        assert_eq!(replayed.snapshot, Some(record));
        assert!(replayed.entries.is_empty(), "they lie below the snapshot record");
        digests.push(state.digest());
        let wal = options.data_dir.join("member/wal");
        logs.push(
            block_on(disk.read(&wal.join("0000000000000000-0000000000000001.wal"))).expect("reads").len(),
        );
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "all members begin in one state");
    assert_ne!(digests[0], old.digest());
    logs.dedup();
    assert_eq!(logs.len(), 1);
}

#[test]
fn a_restore_survives_a_crash_right_after_and_one_before_leaves_no_member() {
    let mut outcomes = [0; 2];
    for seed in 0..200 {
        let disk = CrashDisk::new();
        save(&disk, Path::new("/backup.db"), &old_cluster());
        disk.fail_power_after(seed % 30);
        let options = options("m2");
        let restored = restore(&disk, &Memory::new(), &options);
        disk.crash(seed);
        let wal = options.data_dir.join("member/wal");
        let there = block_on(disk.exists(&wal)).expect("exists");
        assert!(there || restored.is_err(), "seed {seed}: the restore was acknowledged, and its log is gone");
        if there {
            let replayed = open_wal(&disk, &options.data_dir);
            assert_eq!(
                replayed.snapshot.map(|record| record.index),
                Some(Index(3)),
                "seed {seed}: half a log"
            );
        }
        outcomes[usize::from(there)] += 1;
    }
    assert!(outcomes.iter().all(|count| *count > 20), "{outcomes:?}");
}

#[test]
fn what_cannot_be_restored_is_refused_before_anything_is_written() {
    let disk = CrashDisk::new();
    save(&disk, Path::new("/backup.db"), &old_cluster());
    let before = block_on(disk.list(Path::new("/"))).expect("lists");

    let text = refusal(&disk, &RestoreOptions { name: "m9".into(), ..options("m1") });
    assert!(text.contains("no member named \"m9\""), "{text}");
    let text =
        refusal(&disk, &RestoreOptions { advertise_peer_urls: vec!["http://x:1".into()], ..options("m1") });
    assert!(
        text.contains("m1 is reached at http://m1:2380, and --initial-advertise-peer-urls says http://x:1"),
        "{text}"
    );
    let mut twins = options("m1");
    twins.initial_cluster.push(("twin".into(), "http://m2:2380".into()));
    let text = refusal(&disk, &twins);
    assert!(text.contains("gives m2 and twin the same peer URLs"), "{text}");
    let text = refusal(&disk, &RestoreOptions { snapshot: "/nowhere.db".into(), ..options("m1") });
    assert!(text.contains("/nowhere.db"), "{text}");

    disk.flip_bit(Path::new("/backup.db"), 8 * 700);
    let text = refusal(&disk, &options("m1"));
    assert!(text.starts_with("/backup.db is not a whole snapshot"), "{text}");
    disk.flip_bit(Path::new("/backup.db"), 8 * 700);
    assert_eq!(
        block_on(disk.list(Path::new("/"))).expect("lists"),
        before,
        "a refusal left something behind"
    );

    let full = options("m1");
    block_on(durable::create_dir_all(&disk, &full.data_dir.join("something"))).expect("creates");
    let text = refusal(&disk, &full);
    assert!(text.contains("/m1/data is not empty"), "{text}");
}

#[test]
fn a_copy_without_its_checksum_needs_the_flag() {
    let disk = CrashDisk::new();
    let path = Path::new("/backup.db");
    save(&disk, path, &old_cluster());
    disk.damage(path, |content| content.truncate(content.len() - 32));
    let text = refusal(&disk, &options("m1"));
    assert!(text.contains("there is no checksum at its end"), "{text}");
    let skipping = RestoreOptions { skip_hash_check: true, ..options("m1") };
    let restored = restore(&disk, &Memory::new(), &skipping).expect("taken");
    assert_eq!(restored.revision, old_cluster().revision());
}

#[test]
fn the_status_of_a_snapshot() {
    let disk = CrashDisk::new();
    let path = Path::new("/backup.db");
    let old = old_cluster();
    save(&disk, path, &old);
    let status = block_on(snapshot_status(&disk, path)).expect("reads");
    assert_eq!((status.revision, status.index), (Revision(51), Index(55)));
    // The keys, and the marks: the index and the term twice, ours and etcd's. Members are left out.
    assert_eq!(status.total_keys as usize, 50 + 3);
    assert_eq!(status.total_size as usize + 32, block_on(disk.read(path)).expect("reads").len());
    let again = block_on(snapshot_status(&disk, path)).expect("reads");
    assert_eq!(status, again);
    let mut other = old_cluster();
    put(&mut other, 2, "one more");
    save(&disk, path, &other);
    assert_ne!(block_on(snapshot_status(&disk, path)).expect("reads").hash, status.hash);
    save_own(&disk, path, &old);
    let own = block_on(snapshot_status(&disk, path)).expect("reads");
    assert_eq!(
        (own.revision, own.index, own.total_keys as usize),
        (status.revision, status.index, old.rows().count())
    );
}

#[test]
fn a_members_own_snapshot_restores_as_well() {
    let disk = CrashDisk::new();
    save_own(&disk, Path::new("/backup.db"), &old_cluster());
    let restored = restore(&disk, &Memory::new(), &options("m1")).expect("restores");
    assert_eq!(restored.revision, old_cluster().revision());
}

#[test]
fn a_folder_made_durably_survives_a_crash() {
    for seed in 0..50 {
        let disk = CrashDisk::new();
        let dir = Path::new("/a/b/c");
        block_on(durable::create_dir_all(&disk, dir)).expect("creates");
        block_on(durable::create_dir_all(&disk, dir)).expect("creates again");
        disk.crash(seed);
        assert!(block_on(disk.exists(dir)).expect("exists"), "seed {seed}");
    }
    // Checks that the disk does drop what was not made durable. Otherwise the test would prove nothing.
    let dropped = (0..50).filter(|seed| {
        let disk = CrashDisk::new();
        block_on(disk.create_dir_all(Path::new("/a/b/c"))).expect("creates");
        disk.crash(*seed);
        !block_on(disk.exists(Path::new("/a/b/c"))).expect("exists")
    });
    assert!(dropped.count() > 10);
}

// --- force-new-cluster ---------------------------------------------------------------------------------------------

/// A member's log and engine, made by hand.
struct Survivor {
    disk: CrashDisk,
    own: MemberId,
    state: State,
    entries: Vec<Entry>,
    hard_state: HardState,
}

impl Survivor {
    /// Members 1, 2 and 3, of which this is 1; nine entries, three of them applied.
    fn new() -> Self {
        let mut survivor = Self {
            disk: CrashDisk::new(),
            own: MemberId(1),
            state: State::new(),
            entries: Vec::new(),
            hard_state: HardState { term: 4, vote: 2, commit: 5, ..HardState::default() },
        };
        for id in 1..=3 {
            survivor.change(ConfChangeType::AddNode, id, 1);
        }
        survivor.apply_to(3);
        (4..=9).for_each(|index| survivor.normal(index));
        survivor
    }

    fn normal(&mut self, index: u64) {
        self.entries.push(Entry { index, term: 3, ..Entry::default() });
    }

    fn change(&mut self, kind: ConfChangeType, id: u64, term: u64) {
        let member =
            Member { id: MemberId(id), peer_urls: vec![format!("http://{id}")], ..Member::default() };
        let change = match kind {
            ConfChangeType::RemoveNode => MembershipChange::Remove(member.id),
            _ => MembershipChange::Add(member),
        };
        let mut entry = conf_change(self.entries.len() as u64 + 1, term, &change);
        let mut change = ConfChange::parse_from_bytes(&entry.data).expect("just made");
        change.set_change_type(kind);
        entry.data = change.write_to_bytes().expect("encodes").into();
        self.entries.push(entry);
    }

    /// Applies entries to the engine's state.
    fn apply_to(&mut self, index: u64) {
        while self.state.applied().0.0 < index {
            let entry = &self.entries[self.state.applied().0.0 as usize];
            apply(&mut self.state, entry);
        }
    }

    fn force(&self) -> Result<(Forced, Replayed), ForceError> {
        let files: Arc<CrashDisk> = Arc::new(self.disk.clone());
        let metadata = Metadata { member_id: self.own, cluster_id: ClusterId(9) };
        let dir = Path::new("/wal");
        if !block_on(self.disk.exists(dir)).expect("exists") {
            let created = Wal::create_with(
                files.clone(),
                dir,
                metadata,
                SEGMENT_BYTES,
                &self.entries,
                &self.hard_state,
                None,
            );
            block_on(created).expect("creates");
        }
        let (mut wal, mut replayed) = block_on(Wal::open(files.clone(), dir, SEGMENT_BYTES)).expect("opens");
        let forced = block_on(force_new_cluster(&mut wal, &mut replayed, &self.state))?;
        self.disk.lose_unsynced();
        let (_, reopened) = block_on(Wal::open(files, dir, SEGMENT_BYTES)).expect("opens");
        assert_eq!(reopened, replayed, "what the member starts with is what is on the disk");
        assert_eq!(replayed.metadata, metadata, "ids don't change");
        Ok((forced, replayed))
    }

    /// The members once everything committed is applied.
    fn members_after(&self, replayed: &Replayed) -> Vec<u64> {
        let mut state = self.state.clone();
        for entry in replayed.entries.iter().filter(|entry| entry.index > self.state.applied().0.0) {
            apply(&mut state, entry);
        }
        assert_eq!(state.applied().0.0, replayed.hard_state.commit, "all of it is committed");
        state.membership().members().map(|member| member.id.0).collect()
    }
}

fn apply(state: &mut State, entry: &Entry) {
    let (index, term) = (Index(entry.index), Term(entry.term));
    if entry.get_entry_type() == EntryType::EntryNormal {
        state.apply_empty(index, term).reply.expect("nothing to refuse");
        return;
    }
    let change = ConfChange::parse_from_bytes(&entry.data).expect("a conf change");
    let id = MemberId(change.node_id);
    let change = match change.get_change_type() {
        ConfChangeType::RemoveNode => MembershipChange::Remove(id),
        _ => {
            use crate::proto::squall::raft::ConfChangeContext;
            use prost::Message as _;
            let context = ConfChangeContext::decode(change.context.clone()).expect("a context");
            let peer_urls = context.member.expect("whom").peer_urls;
            MembershipChange::Add(Member { id, peer_urls, ..Member::default() })
        }
    };
    // A refused change is not applied to raft either.
    let _ = state.apply_membership(index, term, &change);
}

/// Entries 6 to 9 are not known to be committed, but may have been acknowledged: the leader answers before the
/// followers learn of a commit, and a power cut may set the commit index back.
#[test]
fn the_survivor_keeps_its_whole_log_and_removes_the_others() {
    let survivor = Survivor::new();
    let (forced, replayed) = survivor.force().expect("forced");
    let removed = vec![MemberId(2), MemberId(3)];
    assert_eq!(forced, Forced { removed, adopted_entries: 4, dropped_entries: 0 });
    assert_eq!(replayed.hard_state, HardState { term: 4, vote: 2, commit: 11, ..HardState::default() });
    assert_eq!(replayed.entries[..9], survivor.entries[..], "what was there is there");
    let tail: Vec<_> = replayed.entries[9..].iter().map(|entry| (entry.index, entry.term)).collect();
    assert_eq!(tail, [(10, 4), (11, 4)], "the conf changes follow the log, in the current term");
    assert_eq!(survivor.members_after(&replayed), [1]);
}

#[test]
fn what_was_applied_is_committed_even_where_the_hard_state_lags() {
    let mut survivor = Survivor::new();
    survivor.apply_to(8);
    let (forced, replayed) = survivor.force().expect("forced");
    assert_eq!(forced.adopted_entries, 1);
    assert_eq!(replayed.hard_state.commit, 11);
    assert_eq!(survivor.members_after(&replayed), [1]);
}

#[test]
fn an_uncommitted_removal_of_the_survivor_is_not_kept() {
    let mut survivor = Survivor::new();
    survivor.change(ConfChangeType::RemoveNode, 1, 3);
    survivor.entries.push(Entry { index: 11, term: 3, ..Entry::default() });
    let (forced, replayed) = survivor.force().expect("forced");
    assert_eq!((forced.adopted_entries, forced.dropped_entries), (4, 2));
    assert_eq!(replayed.hard_state.commit, 11);
    assert_eq!(survivor.members_after(&replayed), [1]);
}

#[test]
fn the_last_members_removal_is_refused_when_it_is_applied_and_cuts_nothing_off() {
    let mut survivor = Survivor { disk: CrashDisk::new(), ..Survivor::new() };
    survivor.entries.clear();
    survivor.state = State::new();
    survivor.change(ConfChangeType::AddNode, 1, 1);
    survivor.change(ConfChangeType::RemoveNode, 1, 1);
    survivor.normal(3);
    survivor.hard_state.commit = 1;
    let (forced, replayed) = survivor.force().expect("forced");
    assert_eq!((forced.adopted_entries, forced.dropped_entries), (2, 0));
    assert_eq!(survivor.members_after(&replayed), [1]);
}

#[test]
fn forcing_twice_is_forcing_once() {
    let mut survivor = Survivor::new();
    let (_, first) = survivor.force().expect("forced");
    survivor.entries.clone_from(&first.entries);
    survivor.apply_to(first.hard_state.commit);
    let (forced, second) = survivor.force().expect("forced again");
    assert_eq!(forced, Forced { removed: vec![], adopted_entries: 0, dropped_entries: 0 });
    assert_eq!(second.entries, first.entries);
    assert_eq!(second.hard_state, first.hard_state);
}

#[test]
fn members_and_learners_that_are_in_the_log_alone_are_removed_too() {
    let mut survivor = Survivor::new();
    survivor.change(ConfChangeType::AddNode, 4, 3);
    survivor.change(ConfChangeType::AddLearnerNode, 5, 3);
    // It may still be refused when it is applied.
    survivor.change(ConfChangeType::RemoveNode, 2, 3);
    survivor.hard_state.commit = 12;
    // Not known to be committed, and kept.
    survivor.change(ConfChangeType::AddNode, 6, 3);
    let (forced, replayed) = survivor.force().expect("forced");
    assert_eq!(forced.removed, [2, 3, 4, 5, 6].map(MemberId));
    assert_eq!(forced.adopted_entries, 1);
    assert_eq!(survivor.members_after(&replayed), [1]);
}

#[test]
fn a_survivor_that_its_log_does_not_know_is_added_first() {
    let survivor = Survivor { own: MemberId(8), ..Survivor::new() };
    let (forced, replayed) = survivor.force().expect("forced");
    assert_eq!(forced.removed, [1, 2, 3].map(MemberId));
    assert_eq!(survivor.members_after(&replayed), [8]);
    let added = ConfChange::parse_from_bytes(&replayed.entries[9].data).expect("a conf change");
    assert_eq!((added.get_change_type(), added.node_id), (ConfChangeType::AddNode, 8));
}

#[test]
fn a_member_that_was_removed_is_refused() {
    let removed_and_applied = |apply: bool| {
        let mut survivor = Survivor::new();
        survivor.change(ConfChangeType::RemoveNode, 1, 3);
        survivor.hard_state.commit = 10;
        if apply {
            survivor.apply_to(10);
        }
        survivor.force().expect_err("refused").to_string()
    };
    for text in [removed_and_applied(true), removed_and_applied(false)] {
        assert!(text.contains("its member 1 was removed") && text.contains("remove all voters"), "{text}");
    }
}

#[test]
fn an_engine_ahead_of_its_log_is_refused() {
    let mut survivor = Survivor::new();
    survivor.apply_to(9);
    survivor.entries.truncate(7);
    let text = survivor.force().expect_err("refused").to_string();
    assert!(text.contains("has applied entry 9, and its log ends at entry 7"), "{text}");
}
