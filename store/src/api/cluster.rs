//! The Cluster service: the members of the cluster.

use squall_core::{Member, MemberId, Refusal, Revision, planted::planted};
use tonic::{Request, Response, Status};

use super::{Service, convert, credentials::Credentials, gate::Needs};
use crate::proto::etcdserverpb::{
    self as pb, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse, ResponseHeader, cluster_server::Cluster,
};
use crate::url::valid_peer_urls;

fn members(members: &[Member]) -> Vec<pb::Member> {
    members.iter().map(convert::member).collect()
}

impl Service {
    /// A header without the key space's revision, as in etcd.
    fn header_without_revision(&self) -> Option<ResponseHeader> {
        self.header(Revision(0))
    }
}

#[tonic::async_trait]
impl Cluster for Service {
    async fn member_add(
        &self,
        request: Request<MemberAddRequest>,
    ) -> Result<Response<MemberAddResponse>, Status> {
        self.enter(request.metadata()).await?;
        let credentials = Credentials::of(&request);
        let mut request = request.into_inner();
        if !valid_peer_urls(&request.peer_urls) {
            return Err(convert::status(Refusal::MemberBadUrls));
        }
        self.admit(&credentials, Needs::Root).await?;
        // As in etcd, a new member's URLs are sorted, and an update's URLs keep their order.
        request.peer_urls.sort();
        // As in etcd, the id is made from the time and not from the cluster's token, so that the same machine gets a
        // new id when it is added again.
        let now = self.node.env().clock.wall().as_secs() as i64;
        let is_learner = request.is_learner;
        let member = Member { is_learner, ..Member::new(request.peer_urls, "", Some(now)) };
        let after = self.node.add_member(member.clone()).await.map_err(convert::status)?;
        Ok(Response::new(MemberAddResponse {
            header: self.header_without_revision(),
            member: Some(convert::member(&member)),
            members: members(&after),
        }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        self.enter(request.metadata()).await?;
        let id = MemberId(request.into_inner().id);
        let after = self.node.remove_member(id).await.map_err(convert::status)?;
        Ok(Response::new(MemberRemoveResponse {
            header: self.header_without_revision(),
            members: members(&after),
        }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        self.enter(request.metadata()).await?;
        let MemberUpdateRequest { id, peer_urls } = request.into_inner();
        // etcd accepts any text here, even an empty one, and then cannot reach the member.
        if !valid_peer_urls(&peer_urls) {
            return Err(convert::status(Refusal::MemberBadUrls));
        }
        let after = self.node.update_member(MemberId(id), peer_urls).await.map_err(convert::status)?;
        Ok(Response::new(MemberUpdateResponse {
            header: self.header_without_revision(),
            members: members(&after),
        }))
    }

    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        self.enter(request.metadata()).await?;
        if request.into_inner().linearizable && !planted!(MemberListLocal) {
            self.node.read_index().await.map_err(convert::status)?;
        }
        let list: Vec<pb::Member> =
            self.node.shared().state().membership().members().map(convert::member).collect();
        Ok(Response::new(MemberListResponse { header: self.header_without_revision(), members: list }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        self.enter(request.metadata()).await?;
        let id = MemberId(request.into_inner().id);
        let after = self.node.promote_member(id).await.map_err(convert::status)?;
        Ok(Response::new(MemberPromoteResponse {
            header: self.header_without_revision(),
            members: members(&after),
        }))
    }
}
