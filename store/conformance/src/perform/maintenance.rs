//! Maintenance: alarms, status, hashes, defragmentation, leadership.

use sha2::{Digest, Sha256};
use squall_store::proto::etcdserverpb::{self as pb, maintenance_client::MaintenanceClient};

use super::answer;
use crate::{
    answer::Answer,
    operation::{Call, Caller},
    server::Server,
};

impl Server {
    pub(super) async fn maintenance(&self, caller: &Caller, call: &Call) -> Answer {
        match call {
            Call::Alarm(request) => {
                let request = pb::AlarmRequest { member_id: self.ids.real(request.member_id), ..*request };
                let response = unary!(self, caller, MaintenanceClient.alarm(request));
                answer(response, |response| {
                    for alarm in &mut response.alarms {
                        alarm.member_id = self.ids.neutral(alarm.member_id);
                    }
                    // etcd promises no order of the members for alarms of one kind.
                    response.alarms.sort_by_key(|alarm| (alarm.alarm, alarm.member_id));
                    self.ids.header(&mut response.header)
                })
            }
            Call::Status => {
                let response = unary!(self, caller, MaintenanceClient.status(pb::StatusRequest {}));
                answer(response, |response| {
                    response.version.clear();
                    response.leader = self.ids.neutral(response.leader);
                    // Sizes differ between engines, and indexes between logs. An empty bbolt file already has pages.
                    let written = response.header.as_ref().is_some_and(|header| header.revision > 1);
                    let least = i64::from(written);
                    response.db_size = response.db_size.min(least);
                    response.db_size_in_use = response.db_size_in_use.min(least);
                    response.raft_index = response.raft_index.min(1);
                    response.raft_applied_index = response.raft_applied_index.min(1);
                    response.raft_term = response.raft_term.min(1);
                    for error in &mut response.errors {
                        *error = self.ids.text(error);
                    }
                    response.errors.sort();
                    self.ids.header(&mut response.header)
                })
            }
            Call::Defragment => plain!(self, caller, MaintenanceClient.defragment(pb::DefragmentRequest {})),
            Call::Hash => {
                let response = unary!(self, caller, MaintenanceClient.hash(pb::HashRequest {}));
                answer(response, |response| {
                    // It is a hash of all that the engine holds, which differs.
                    response.hash = 0;
                    self.ids.header(&mut response.header)
                })
            }
            Call::HashKv(revision) => {
                let request = pb::HashKvRequest { revision: *revision };
                let response = unary!(self, caller, MaintenanceClient.hash_kv(request));
                answer(response, |response| self.ids.header(&mut response.header))
            }
            Call::MoveLeader(target) => {
                let request = pb::MoveLeaderRequest { target_id: self.ids.real(*target) };
                plain!(self, caller, MaintenanceClient.move_leader(request))
            }
            Call::Downgrade(request) => {
                let response = unary!(self, caller, MaintenanceClient.downgrade(request.clone()));
                answer(response, |response| self.ids.header(&mut response.header))
            }
            Call::Snapshot => self.snapshot(caller).await,
            call => unreachable!("{call:?} is no call of this service"),
        }
    }

    /// The bytes of a snapshot differ between the servers. What is compared: it ends with the hash of the bytes before,
    /// and each message says how many bytes remain.
    async fn snapshot(&self, caller: &Caller) -> Answer {
        let mut parts = match unary!(self, caller, MaintenanceClient.snapshot(pb::SnapshotRequest {})) {
            Ok(parts) => parts,
            Err(status) => return Answer::refused(&status),
        };
        let (mut bytes, mut left) = (Vec::new(), Vec::new());
        loop {
            match self.seams.patiently(parts.message()).await {
                Ok(Ok(Some(part))) => {
                    bytes.extend_from_slice(&part.blob);
                    left.push((bytes.len() as u64, part.remaining_bytes));
                }
                Ok(Ok(None)) => break,
                Ok(Err(status)) => return Answer::refused(&status),
                Err(_) => return Answer::silence(),
            }
        }
        let (content, hash) = bytes.split_at(bytes.len().saturating_sub(32));
        let is_hashed = Sha256::digest(content)[..] == *hash;
        let is_counted = left.iter().all(|(sent, left)| sent + left == content.len() as u64 || *left == 0);
        Answer::said(&format!("hashed: {is_hashed}, counted: {is_counted}"), 0)
    }
}
