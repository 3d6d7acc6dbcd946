//! Makes a member of a new cluster from an old cluster's snapshot (`etcdutl snapshot restore`).

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use raft::eraftpb::{ConfState, HardState};
use squall_core::{ClusterId, Index, Member, MemberId, Revision, State, Term, cluster_id};

use super::{OfflineError, status};
use crate::{
    durable,
    node::bootstrap_entries,
    seam::{Engines, Files},
    snapshot::{Check, read_backup},
    wal::{Metadata, SnapshotRecord, Wal},
};

/// The size limit of a WAL segment. It does not matter here, since a new member's log is small.
const SEGMENT_BYTES: u64 = 64_000_000;

/// What to restore, and as which member.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The snapshot file.
    pub snapshot: PathBuf,
    /// The new member's data folder; absent or empty.
    pub data_dir: PathBuf,
    /// The new member's name; one of `initial_cluster`'s.
    pub name: String,
    /// The new cluster's members as (name, peer URL); a name with several URLs comes several times.
    pub initial_cluster: Vec<(String, String)>,
    /// Makes the new cluster's ids differ from those of other clusters with the same URLs, above all the old one's.
    pub initial_cluster_token: String,
    /// The new member's peer URLs, as in `initial_cluster`.
    pub advertise_peer_urls: Vec<String>,
    /// Accept a file without a checksum, or with a wrong one.
    pub skip_hash_check: bool,
}

/// The result of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// The new member.
    pub member_id: MemberId,
    /// The new cluster.
    pub cluster_id: ClusterId,
    /// The store's revision: that of the snapshot.
    pub revision: Revision,
}

/// Makes a member's data folder from a snapshot. Durable on return. The log is made last and appears as a whole. So
/// if a crash interrupts the restore, no member starts from the folder.
///
/// # Errors
/// Before anything is written: `Options`, `NotEmpty`, `Snapshot`, `Rows`. `Engine`, `Wal`, `Io` may leave the folder
/// unfinished.
pub async fn snapshot_restore(
    files: Arc<dyn Files>,
    engines: &dyn Engines,
    options: &RestoreOptions,
) -> Result<Restored, OfflineError> {
    let (own, members) = members(options)?;
    refuse_non_empty(&*files, &options.data_dir).await?;
    let check = if options.skip_hash_check { Check::Skip } else { Check::Checksum };
    let backup = read_backup(&*files, &options.snapshot, check).await?;
    let state = status::restore(&options.snapshot, backup)?;
    found(files, engines, &options.data_dir, own, &members, state).await
}

/// Founds a new cluster of these members in a data folder, from an old one's state. The log comes last.
pub(super) async fn found(
    files: Arc<dyn Files>,
    engines: &dyn Engines,
    data_dir: &Path,
    own: MemberId,
    members: &[Member],
    state: State,
) -> Result<Restored, OfflineError> {
    let state = state.into_new_cluster(members.iter().cloned());
    let member_dir = data_dir.join("member");
    let snap_dir = member_dir.join("snap");
    let made = durable::create_dir_all(&*files, &snap_dir).await;
    made.map_err(|source| OfflineError::Io { context: format!("creating {}", snap_dir.display()), source })?;

    let engine = engines.open(&snap_dir.join("db")).await?;
    let replaced = engine.replace(state.rows().collect()).await;
    engine.close().await;
    replaced?;

    let (entries, hard_state) = bootstrap_entries(members);
    let mut ids: Vec<u64> = members.iter().map(|member| member.id.0).collect();
    ids.sort_unstable();
    let last = ids.len() as u64;
    let hard_state = HardState { vote: ids[0], ..hard_state };
    let metadata =
        Metadata { member_id: own, cluster_id: cluster_id(members.iter().map(|member| member.id)) };
    let snapshot =
        SnapshotRecord { index: Index(last), term: Term(1), conf_state: ConfState::from((ids, Vec::new())) };
    let wal_dir = member_dir.join("wal");
    Wal::create_with(files, &wal_dir, metadata, SEGMENT_BYTES, &entries, &hard_state, Some(&snapshot))
        .await?;
    Ok(Restored { member_id: own, cluster_id: metadata.cluster_id, revision: state.revision() })
}

/// The id of this member, and the new cluster's members.
fn members(options: &RestoreOptions) -> Result<(MemberId, Vec<Member>), OfflineError> {
    let refuse = |what: String| Err(OfflineError::Options(what));
    let mut urls: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, url) in &options.initial_cluster {
        urls.entry(name).or_default().push(url.clone());
    }
    let Some(own) = urls.get(options.name.as_str()) else {
        return refuse(format!(
            "the initial cluster has no member named {:?}. Add {0}=URL to --initial-cluster, or correct --name",
            options.name
        ));
    };
    let sorted = |urls: &[String]| {
        let mut urls = urls.to_vec();
        urls.sort();
        urls
    };
    if sorted(own) != sorted(&options.advertise_peer_urls) {
        return refuse(format!(
            "--initial-cluster says that {} is reached at {}, and --initial-advertise-peer-urls says {}. Make the two \
             agree",
            options.name,
            own.join(","),
            options.advertise_peer_urls.join(",")
        ));
    }
    let token = &options.initial_cluster_token;
    let own_id = squall_core::member_id(own, token, None);
    let mut by_id: BTreeMap<MemberId, &str> = BTreeMap::new();
    let mut members = Vec::new();
    for (name, urls) in &urls {
        let member = Member { name: (*name).to_owned(), ..Member::new(urls.clone(), token, None) };
        if let Some(other) = by_id.insert(member.id, name) {
            return refuse(format!(
                "--initial-cluster gives {other} and {name} the same peer URLs. Give each member its own"
            ));
        }
        members.push(member);
    }
    Ok((own_id, members))
}

async fn refuse_non_empty(files: &dyn Files, dir: &Path) -> Result<(), OfflineError> {
    match files.list(dir).await {
        Ok(names) if names.is_empty() => Ok(()),
        Ok(_) => Err(OfflineError::NotEmpty { dir: dir.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(OfflineError::Io { context: format!("listing {}", dir.display()), source }),
    }
}
