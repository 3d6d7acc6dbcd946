//! Maintenance: alarms, status, hashes, defragmentation, leadership.

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
                    // Of one kind they come by member in no order that etcd promises.
                    response.alarms.sort_by_key(|alarm| (alarm.alarm, alarm.member_id));
                    self.ids.header(&mut response.header)
                })
            }
            Call::Status => {
                let response = unary!(self, caller, MaintenanceClient.status(pb::StatusRequest {}));
                answer(response, |response| {
                    response.version.clear();
                    response.leader = self.ids.neutral(response.leader);
                    // Sizes, and places in logs of their own.
                    response.db_size = response.db_size.min(1);
                    response.db_size_in_use = response.db_size_in_use.min(1);
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
                    // Of all that the engine holds.
                    response.hash = 0;
                    self.ids.header(&mut response.header)
                })
            }
            Call::HashKv(revision) => {
                let request = pb::HashKvRequest { revision: *revision };
                let response = unary!(self, caller, MaintenanceClient.hash_kv(request));
                answer(response, |response| {
                    // etcd 3.5.1 does not have the field yet.
                    response.hash_revision = 0;
                    self.ids.header(&mut response.header)
                })
            }
            Call::MoveLeader(target) => {
                let request = pb::MoveLeaderRequest { target_id: self.ids.real(*target) };
                plain!(self, caller, MaintenanceClient.move_leader(request))
            }
            Call::Downgrade(request) => {
                let response = unary!(self, caller, MaintenanceClient.downgrade(request.clone()));
                answer(response, |response| self.ids.header(&mut response.header))
            }
            call => unreachable!("{call:?} is no call of this service"),
        }
    }
}
