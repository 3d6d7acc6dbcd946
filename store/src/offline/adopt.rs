//! Turns a data folder that `etcdctl snapshot restore` has made into a member's data folder. Operators' instructions
//! for etcd restore with etcd's tool, and then start the members.
//!
//! Such a folder holds etcd's database (`member/snap/db`, a file, where ours is a folder) and a log with one
//! conf-change entry for each member. Only the database is taken over. The new log is the one that our own restore
//! writes. A folder in which an etcd has run is refused: its log may hold writes that its database does not.
//!
//! # Promises
//! A crash leaves the folder as it was, or with etcd's parts under other names (`db.etcd`, `wal.etcd`), from which
//! the next start goes on, or as a complete member's folder. etcd's parts are removed at the very end.
//!
//! Source: etcd `etcdutl/snapshot/v3_snapshot.go`, `server/storage/wal`.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use prost::Message as _;
use protobuf::Message as _;
use raft::eraftpb::{Entry, EntryType};
use squall_core::{Buckets, Member, MemberId};

use super::{OfflineError, Restored, restore, status};
use crate::{
    seam::{Engines, Files},
    snapshot::{Backup, Check, read_backup},
};

/// Takes over the folder if etcd's tool has restored a snapshot into it, and returns the result; `None` if it holds
/// nothing of etcd's. Durable on return.
///
/// # Errors
/// Before anything is changed: `Foreign` if an etcd has run in the folder, if it belongs to a member of another
/// name, or if it is damaged; `Snapshot`, `Rows`. After `Engine`, `Wal` and `Io` the operation can be tried again.
pub async fn adopt_restored(
    files: Arc<dyn Files>,
    engines: &dyn Engines,
    data_dir: &Path,
    name: &str,
) -> Result<Option<Restored>, OfflineError> {
    let member_dir = data_dir.join("member");
    let places = Places::below(&member_dir);
    let Some(database) = places.database(&*files).await? else { return Ok(None) };
    let foreign = |what: String| OfflineError::Foreign { dir: data_dir.to_owned(), what };

    let backup = read_backup(&*files, &database, Check::Skip).await?;
    let Backup::Buckets(buckets, _) = &backup else {
        return Err(foreign("its database is not of etcd's format".into()));
    };
    let members = members(buckets).map_err(&foreign)?;
    let own = members.iter().find(|member| member.name == name).map(|member| member.id).ok_or_else(|| {
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        foreign(format!("it was restored for {}, and this member is {name:?}", names.join(", ")))
    })?;
    let state = status::restore(&database, backup)?;
    let (index, term) = state.applied();
    if (index.0, term.0) != (members.len() as u64, 1) {
        return Err(foreign(format!("an etcd has run in it, to index {index} of term {term}")));
    }
    for wal in [&places.wal, &places.kept_wal] {
        check_log(&*files, wal, index.0, &foreign).await?;
    }

    let io = |source| OfflineError::Io { context: format!("taking over {}", data_dir.display()), source };
    if files.exists(&places.wal).await.map_err(io)? {
        files.rename(&places.wal, &places.kept_wal).await.map_err(io)?;
        files.sync_dir(&member_dir).await.map_err(io)?;
    }
    if database != places.kept_database {
        files.rename(&database, &places.kept_database).await.map_err(io)?;
        files.sync_dir(&places.snap).await.map_err(io)?;
    }
    let restored = restore::found(files.clone(), engines, data_dir, own, &members, state).await?;
    places.sweep(&*files).await.map_err(io)?;
    Ok(Some(restored))
}

/// The paths of etcd's parts, before and while they are taken over.
struct Places {
    snap: PathBuf,
    database: PathBuf,
    kept_database: PathBuf,
    wal: PathBuf,
    kept_wal: PathBuf,
}

impl Places {
    fn below(member_dir: &Path) -> Self {
        let snap = member_dir.join("snap");
        Self {
            database: snap.join("db"),
            kept_database: snap.join("db.etcd"),
            snap,
            wal: member_dir.join("wal"),
            kept_wal: member_dir.join("wal.etcd"),
        }
    }

    /// The path of etcd's database, if there is one that has not been taken over.
    async fn database(&self, files: &dyn Files) -> Result<Option<PathBuf>, OfflineError> {
        let io =
            |source| OfflineError::Io { context: format!("looking into {}", self.snap.display()), source };
        let names = match files.list(&self.snap).await {
            Ok(names) => names,
            // Other errors of the path are reported by the start.
            Err(_) => return Ok(None),
        };
        if names.iter().any(|name| name == "db") {
            match files.list(&self.database).await {
                // The path is a file, so it is etcd's: our engine is a folder.
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                    return Ok(Some(self.database.clone()));
                }
                Ok(_) => {}
                Err(source) => return Err(io(source)),
            }
        }
        let begun = files.exists(&self.kept_database).await.map_err(io)?
            || files.exists(&self.kept_wal).await.map_err(io)?;
        if !begun {
            return Ok(None);
        }
        if files.exists(&self.wal).await.map_err(io)? {
            // The log is ours, so everything was taken over. A crash has left etcd's parts.
            self.sweep(files).await.map_err(io)?;
            return Ok(None);
        }
        Ok(Some(self.kept_database.clone()))
    }

    /// Removes etcd's remaining parts.
    async fn sweep(&self, files: &dyn Files) -> io::Result<()> {
        for name in files.list(&self.snap).await? {
            if name.ends_with(".snap") || name == "db.etcd" {
                files.remove(&self.snap.join(name)).await?;
            }
        }
        if files.exists(&self.kept_wal).await? {
            files.remove_dir_all(&self.kept_wal).await?;
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct EtcdMember {
    id: u64,
    #[serde(rename = "peerURLs", default)]
    peer_urls: Vec<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    is_learner: bool,
}

/// The members that the restore has written.
fn members(buckets: &Buckets) -> Result<Vec<Member>, String> {
    let mut members = Vec::new();
    for (key, value) in buckets.get(&b"members"[..]).into_iter().flatten() {
        let member: EtcdMember = serde_json::from_slice(value)
            .map_err(|error| format!("its member \"{}\" cannot be read: {error}", key.escape_ascii()))?;
        members.push(Member {
            id: MemberId(member.id),
            name: member.name,
            peer_urls: member.peer_urls,
            is_learner: member.is_learner,
            ..Member::default()
        });
    }
    if members.is_empty() { Err("its database names no members".into()) } else { Ok(members) }
}

/// A record of etcd's log.
#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(bytes = "bytes", tag = "3")]
    data: Bytes,
}

/// The kind (`walpb`) of a record that holds a raft entry.
const ENTRY: i64 = 2;

/// Refuses a log that holds anything other than the members' conf changes.
async fn check_log(
    files: &dyn Files,
    dir: &Path,
    last: u64,
    foreign: &impl Fn(String) -> OfflineError,
) -> Result<(), OfflineError> {
    let io = |source| OfflineError::Io { context: format!("reading {}", dir.display()), source };
    if !files.exists(dir).await.map_err(io)? {
        return Ok(());
    }
    for name in files.list(dir).await.map_err(io)?.iter().filter(|name| name.ends_with(".wal")) {
        let mut log = files.read(&dir.join(name)).await.map_err(io)?;
        while let Some(record) =
            next_record(&mut log).map_err(|what| foreign(format!("its log {name} {what}")))?
        {
            if record.kind != ENTRY {
                continue;
            }
            let entry = Entry::parse_from_bytes(&record.data).map_err(|error| {
                foreign(format!("its log {name} has an entry that cannot be read: {error}"))
            })?;
            if entry.get_entry_type() != EntryType::EntryConfChange || entry.index > last {
                return Err(foreign(format!("an etcd has run in it: its log has entry {}", entry.index)));
            }
        }
    }
    Ok(())
}

/// A frame: 8 bytes with the length, little-endian, whose top byte tells the padding; the record; the padding. Zeros
/// fill the preallocated rest of a log.
fn next_record(log: &mut Bytes) -> Result<Option<Record>, String> {
    let Some(frame) =
        log.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)).filter(|frame| *frame != 0)
    else {
        return Ok(None);
    };
    let length = usize::try_from(frame & ((1 << 56) - 1)).unwrap_or(usize::MAX);
    let padding = if frame >> 63 == 1 { (frame >> 56 & 7) as usize } else { 0 };
    let end = length.checked_add(8 + padding).filter(|end| *end <= log.len()).ok_or("is cut short")?;
    let record = log.split_to(end).slice(8..8 + length);
    Record::decode(record).map(Some).map_err(|error| format!("has a record that cannot be read: {error}"))
}
