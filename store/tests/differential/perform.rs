//! Carries an operation out on one server, and makes its answer neutral.

use std::{fmt::Debug, time::Duration};

use futures_util::stream;
use squall_store::proto::{
    authpb,
    etcdserverpb::{
        self as pb, WatchRequest, WatchResponse, auth_client::AuthClient, cluster_client::ClusterClient,
        kv_client::KvClient, lease_client::LeaseClient, maintenance_client::MaintenanceClient,
        watch_request::RequestUnion,
    },
};
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::{
    answer::{Answer, NO_ID},
    neutral,
    operation::{Call, Caller, Operation},
    server::{PATIENCE, Server},
    watching::{Received, Watching},
    world::World,
};

/// How long something that may not come is waited for.
const GRACE: Duration = Duration::from_millis(60);

/// A call with one answer, within the time that is allowed.
macro_rules! unary {
    ($server:ident, $caller:expr, $client:ident . $method:ident ($request:expr)) => {{
        let mut request = Request::new($request);
        *request.metadata_mut() = $server.metadata($caller);
        let mut client = $client::new($server.channel.clone()).max_decoding_message_size(usize::MAX);
        in_time(client.$method(request)).await
    }};
}

/// A call whose response has nothing to make neutral but its header.
macro_rules! plain {
    ($server:ident, $caller:expr, $client:ident . $method:ident ($request:expr)) => {
        match unary!($server, $caller, $client.$method($request)) {
            Ok(mut response) => {
                let revision = $server.ids.header(&mut response.header);
                Answer::said(&response, revision)
            }
            Err(status) => Answer::refused(&status),
        }
    };
}

async fn in_time<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Status> {
    match timeout(PATIENCE, call).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("(no answer in time)")),
    }
}

fn answer<T: Debug>(result: Result<T, Status>, make_neutral: impl FnOnce(&mut T) -> i64) -> Answer {
    match result {
        Ok(mut response) => {
            let revision = make_neutral(&mut response);
            Answer::said(&response, revision)
        }
        Err(status) => Answer::refused(&status),
    }
}

impl Server {
    /// Carries it out and waits for the answer.
    pub async fn perform(&mut self, operation: &Operation, world: &World) -> Answer {
        let caller = &operation.caller;
        match &operation.call {
            Call::Range(_) | Call::Put(_) | Call::DeleteRange(_) | Call::Txn(_) | Call::Compact(_) => {
                self.kv(caller, &operation.call).await
            }
            Call::LeaseGrant(_)
            | Call::LeaseRevoke(_)
            | Call::LeaseTimeToLive(_)
            | Call::LeaseLeases
            | Call::LeaseKeepAlive(_)
            | Call::LeaseEnds(_) => self.lease(caller, &operation.call).await,
            Call::WatchOpen { .. }
            | Call::WatchCreate { .. }
            | Call::WatchCancel { .. }
            | Call::WatchProgress { .. }
            | Call::WatchNothing { .. }
            | Call::WatchClose { .. } => self.watch(caller, &operation.call, world).await,
            Call::MemberList { .. }
            | Call::MemberAdd { .. }
            | Call::MemberRemove(_)
            | Call::MemberUpdate { .. }
            | Call::MemberPromote(_) => self.cluster(caller, &operation.call).await,
            Call::Alarm(_)
            | Call::Status
            | Call::Defragment
            | Call::Hash
            | Call::HashKv(_)
            | Call::MoveLeader(_)
            | Call::Downgrade(_) => self.maintenance(caller, &operation.call).await,
            call => self.auth(caller, call).await,
        }
    }

    async fn kv(&self, caller: &Caller, call: &Call) -> Answer {
        match call {
            Call::Range(request) => {
                let response = unary!(self, caller, KvClient.range(request.clone()));
                answer(response, |response| {
                    neutral::range(request, response);
                    self.ids.header(&mut response.header)
                })
            }
            Call::Put(request) => plain!(self, caller, KvClient.put(request.clone())),
            Call::DeleteRange(request) => plain!(self, caller, KvClient.delete_range(request.clone())),
            Call::Txn(request) => {
                let response = unary!(self, caller, KvClient.txn(request.clone()));
                answer(response, |response| {
                    neutral::txn(request, response);
                    self.ids.header(&mut response.header)
                })
            }
            Call::Compact(request) => plain!(self, caller, KvClient.compact(*request)),
            call => unreachable!("{call:?} is no call of this service"),
        }
    }

    async fn lease(&mut self, caller: &Caller, call: &Call) -> Answer {
        match call {
            Call::LeaseGrant(request) => match unary!(self, caller, LeaseClient.lease_grant(*request)) {
                Ok(mut response) => {
                    if request.id == 0 {
                        response.id = self.ids.add_lease(response.id);
                    }
                    let revision = self.ids.header(&mut response.header);
                    Answer::said(&response, revision).with_id(response.id)
                }
                Err(status) => Answer::refused(&status),
            },
            Call::LeaseRevoke(request) => {
                let request = pb::LeaseRevokeRequest { id: self.ids.real_lease(request.id) };
                plain!(self, caller, LeaseClient.lease_revoke(request))
            }
            Call::LeaseTimeToLive(request) => {
                let request = pb::LeaseTimeToLiveRequest { id: self.ids.real_lease(request.id), ..*request };
                let response = unary!(self, caller, LeaseClient.lease_time_to_live(request));
                answer(response, |response| {
                    response.id = self.ids.neutral_lease(response.id);
                    // Neither server promises an order: etcd's is that of a Go map.
                    response.keys.sort();
                    self.ids.header(&mut response.header)
                })
            }
            Call::LeaseLeases => {
                let response = unary!(self, caller, LeaseClient.lease_leases(pb::LeaseLeasesRequest {}));
                answer(response, |response| {
                    for lease in &mut response.leases {
                        lease.id = self.ids.neutral_lease(lease.id);
                    }
                    // They come in the order in which they end, which is a matter of microseconds.
                    response.leases.sort_by_key(|lease| lease.id);
                    self.ids.header(&mut response.header)
                })
            }
            Call::LeaseKeepAlive(ids) => self.keep_alive(caller, ids).await,
            Call::LeaseEnds(id) => {
                let id = self.ids.real_lease(*id);
                let began = std::time::Instant::now();
                loop {
                    let request = pb::LeaseTimeToLiveRequest { id, keys: false };
                    let left = unary!(self, caller, LeaseClient.lease_time_to_live(request));
                    match left {
                        Err(status) => return Answer::refused(&status),
                        Ok(mut response) if response.ttl == -1 => {
                            response.id = self.ids.neutral_lease(response.id);
                            let revision = self.ids.header(&mut response.header);
                            return Answer::said(&response, revision);
                        }
                        Ok(_) if began.elapsed() > PATIENCE => return Answer::silence(),
                        Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    }
                }
            }
            call => unreachable!("{call:?} is no call of this service"),
        }
    }

    async fn keep_alive(&self, caller: &Caller, ids: &[i64]) -> Answer {
        let requests: Vec<_> =
            ids.iter().map(|id| pb::LeaseKeepAliveRequest { id: self.ids.real_lease(*id) }).collect();
        // The stream stays open on this side until all answers are there.
        let requests = futures_util::StreamExt::chain(stream::iter(requests), stream::pending());
        let responses = match unary!(self, caller, LeaseClient.lease_keep_alive(requests)) {
            Ok(responses) => responses,
            Err(status) => return Answer::refused(&status),
        };
        let mut responses = responses;
        let mut said = Vec::new();
        for _ in ids {
            match timeout(PATIENCE, responses.message()).await {
                Ok(Ok(Some(mut response))) => {
                    response.id = self.ids.neutral_lease(response.id);
                    self.ids.header(&mut response.header);
                    said.push(response);
                }
                Ok(Ok(None)) => break,
                Ok(Err(status)) => return Answer::refused(&status),
                Err(_) => return Answer::silence(),
            }
        }
        Answer::said(&said, 0)
    }

    async fn watch(&mut self, caller: &Caller, call: &Call, world: &World) -> Answer {
        let nothing = Answer::said(&(), 0);
        match call {
            Call::WatchOpen { stream, wants_leader } => {
                let mut metadata = self.metadata(caller);
                if *wants_leader {
                    metadata.insert("hasleader", "true".parse().expect("ASCII"));
                }
                let watching = Watching::open(&self.channel, metadata);
                watching.send_barrier();
                let opened = watching.wait(PATIENCE, |received| !received.control.is_empty()).await;
                let answer = if opened { self.control(&watching, 1) } else { Answer::silence() };
                self.streams.insert(*stream, watching);
                answer
            }
            Call::WatchCreate { stream, request } => {
                let watching = &self.streams[stream];
                let before = watching.received().control.len();
                watching.send(RequestUnion::CreateRequest(request.clone()));
                let made = watching.wait(PATIENCE, |received| received.control.len() > before).await;
                if !made {
                    return Answer::silence();
                }
                let made = watching.received().control.get(before).cloned();
                // What is compacted is found out when history is read.
                let reads_gone = request.start_revision > 0 && request.start_revision < world.compacted;
                let id = match made {
                    Some(response) if response.canceled => NO_ID,
                    Some(response) => {
                        if reads_gone {
                            watching.wait(PATIENCE, |received| received.control.len() > before + 1).await;
                        }
                        response.watch_id
                    }
                    None => NO_ID,
                };
                self.control(watching, before).with_id(id)
            }
            Call::WatchCancel { stream, id } => {
                let watching = &self.streams[stream];
                let before = watching.received().control.len();
                watching.send(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id: *id }));
                self.after_barrier(watching, before).await
            }
            Call::WatchProgress { stream } => {
                let watching = &self.streams[stream];
                let (before, told) = {
                    let received = watching.received();
                    (received.control.len(), received.progress.len())
                };
                watching.send(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}));
                let patience = if world.tells_progress(*stream) { PATIENCE } else { GRACE };
                watching.wait(patience, |received| received.progress.len() > told).await;
                let answer = self.after_barrier(watching, before).await;
                let mut progress = watching.received().progress[told..].to_vec();
                for response in &mut progress {
                    self.ids.header(&mut response.header);
                }
                match answer.said {
                    Ok(text) => Answer { said: Ok(format!("{text}\n{progress:#?}")), ..answer },
                    Err(_) => answer,
                }
            }
            Call::WatchNothing { stream } => {
                let watching = &self.streams[stream];
                let before = watching.received().control.len();
                watching.send_raw(WatchRequest { request_union: None });
                self.after_barrier(watching, before).await
            }
            Call::WatchClose { stream } => {
                self.streams.remove(stream);
                nothing
            }
            call => unreachable!("{call:?} is no call of this service"),
        }
    }

    /// What has come since `before`, once all that was asked for is answered.
    async fn after_barrier(&self, watching: &Watching, before: usize) -> Answer {
        watching.send_barrier();
        let is_barrier = |response: &WatchResponse| response.created && response.canceled;
        let barrier = |received: &Received| received.control[before..].iter().any(is_barrier);
        if !watching.wait(PATIENCE, barrier).await {
            return Answer::silence();
        }
        // The barrier's own answer is no part of it.
        {
            let control = &mut watching.received().control;
            if let Some(at) = control.iter().skip(before).position(is_barrier) {
                control.remove(before + at);
            }
        }
        self.control(watching, before)
    }

    /// The control responses from a place on, or why the stream has ended.
    fn control(&self, watching: &Watching, from: usize) -> Answer {
        let received = watching.received();
        if let Some(ended) = &received.ended {
            return match ended {
                Some(status) => Answer::refused(status),
                None => Answer::said(&"the stream has ended", 0),
            };
        }
        let mut control = received.control[from..].to_vec();
        for response in &mut control {
            self.ids.header(&mut response.header);
        }
        Answer::said(&control, 0)
    }

    async fn cluster(&mut self, caller: &Caller, call: &Call) -> Answer {
        let urls = |urls: &[String]| urls.iter().map(|url| self.ids.peer_url(url)).collect();
        match call {
            Call::MemberList { linearizable } => {
                let request = pb::MemberListRequest { linearizable: *linearizable };
                let response = unary!(self, caller, ClusterClient.member_list(request));
                answer(response, |response| {
                    self.ids.members(&mut response.members);
                    self.ids.header(&mut response.header)
                })
            }
            Call::MemberAdd { peer_urls, is_learner } => {
                let request = pb::MemberAddRequest { peer_urls: urls(peer_urls), is_learner: *is_learner };
                match unary!(self, caller, ClusterClient.member_add(request)) {
                    Ok(mut response) => {
                        let added = response.member.as_ref().map_or(0, |member| member.id);
                        let id = self.ids.add_member(added);
                        response.member.iter_mut().for_each(|member| self.ids.member(member));
                        self.ids.members(&mut response.members);
                        let revision = self.ids.header(&mut response.header);
                        Answer::said(&response, revision).with_id(id as i64)
                    }
                    Err(status) => Answer::refused(&status),
                }
            }
            Call::MemberRemove(id) => {
                let request = pb::MemberRemoveRequest { id: self.ids.real(*id) };
                let response = unary!(self, caller, ClusterClient.member_remove(request));
                answer(response, |response| {
                    self.ids.members(&mut response.members);
                    self.ids.header(&mut response.header)
                })
            }
            Call::MemberUpdate { id, peer_urls } => {
                let request = pb::MemberUpdateRequest { id: self.ids.real(*id), peer_urls: urls(peer_urls) };
                let response = unary!(self, caller, ClusterClient.member_update(request));
                answer(response, |response| {
                    self.ids.members(&mut response.members);
                    self.ids.header(&mut response.header)
                })
            }
            Call::MemberPromote(id) => {
                let request = pb::MemberPromoteRequest { id: self.ids.real(*id) };
                let response = unary!(self, caller, ClusterClient.member_promote(request));
                answer(response, |response| {
                    self.ids.members(&mut response.members);
                    self.ids.header(&mut response.header)
                })
            }
            call => unreachable!("{call:?} is no call of this service"),
        }
    }

    async fn maintenance(&self, caller: &Caller, call: &Call) -> Answer {
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

    async fn auth(&mut self, caller: &Caller, call: &Call) -> Answer {
        match call.clone() {
            Call::AuthEnable => plain!(self, caller, AuthClient.auth_enable(pb::AuthEnableRequest {})),
            Call::AuthDisable => plain!(self, caller, AuthClient.auth_disable(pb::AuthDisableRequest {})),
            Call::AuthStatus => plain!(self, caller, AuthClient.auth_status(pb::AuthStatusRequest {})),
            Call::Authenticate { place, name, password } => {
                let request = pb::AuthenticateRequest { name, password };
                match unary!(self, caller, AuthClient.authenticate(request)) {
                    Ok(mut response) => {
                        let token = std::mem::replace(&mut response.token, "(a token)".to_owned());
                        assert!(token.is_ascii() && token.len() > 8, "{}'s token: {token:?}", self.name);
                        self.tokens.insert(place, token);
                        let revision = self.ids.header(&mut response.header);
                        Answer::said(&response, revision)
                    }
                    Err(status) => Answer::refused(&status),
                }
            }
            Call::UserAdd { name, password, no_password } => {
                let options = no_password.map(|no_password| authpb::UserAddOptions { no_password });
                let request = pb::AuthUserAddRequest { name, password, options, ..Default::default() };
                plain!(self, caller, AuthClient.user_add(request))
            }
            Call::UserGet(name) => plain!(self, caller, AuthClient.user_get(pb::AuthUserGetRequest { name })),
            Call::UserList => plain!(self, caller, AuthClient.user_list(pb::AuthUserListRequest {})),
            Call::UserDelete(name) => {
                plain!(self, caller, AuthClient.user_delete(pb::AuthUserDeleteRequest { name }))
            }
            Call::UserChangePassword { name, password } => {
                let request = pb::AuthUserChangePasswordRequest { name, password, ..Default::default() };
                plain!(self, caller, AuthClient.user_change_password(request))
            }
            Call::UserGrantRole { user, role } => {
                plain!(self, caller, AuthClient.user_grant_role(pb::AuthUserGrantRoleRequest { user, role }))
            }
            Call::UserRevokeRole { user, role } => {
                let request = pb::AuthUserRevokeRoleRequest { name: user, role };
                plain!(self, caller, AuthClient.user_revoke_role(request))
            }
            Call::RoleAdd(name) => plain!(self, caller, AuthClient.role_add(pb::AuthRoleAddRequest { name })),
            Call::RoleGet(role) => plain!(self, caller, AuthClient.role_get(pb::AuthRoleGetRequest { role })),
            Call::RoleList => plain!(self, caller, AuthClient.role_list(pb::AuthRoleListRequest {})),
            Call::RoleDelete(role) => {
                plain!(self, caller, AuthClient.role_delete(pb::AuthRoleDeleteRequest { role }))
            }
            Call::RoleGrantPermission { role, permission } => {
                let request = pb::AuthRoleGrantPermissionRequest { name: role, perm: permission };
                plain!(self, caller, AuthClient.role_grant_permission(request))
            }
            Call::RoleRevokePermission { role, key, range_end } => {
                let (key, range_end) = (key.into(), range_end.into());
                let request = pb::AuthRoleRevokePermissionRequest { role, key, range_end };
                plain!(self, caller, AuthClient.role_revoke_permission(request))
            }
            call => unreachable!("{call:?} is no call of this service"),
        }
    }
}
