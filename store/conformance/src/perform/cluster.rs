//! The members: listed, added, removed, updated, promoted.

use squall_store::proto::etcdserverpb::{self as pb, cluster_client::ClusterClient};

use super::answer;
use crate::{
    answer::Answer,
    operation::{Call, Caller},
    server::Server,
};

impl Server {
    pub(super) async fn cluster(&mut self, caller: &Caller, call: &Call) -> Answer {
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
}
