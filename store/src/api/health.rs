//! gRPC's own health service, as etcd 3.5.1 has it: a member that answers at all is `SERVING`, and no service has a state of
//! its own. Like every call it waits until the member is part of a working cluster.
//!
//! Sources: `google.golang.org/grpc/health`, gRPC's health checking protocol.

use std::pin::Pin;

use futures_util::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status};

use super::{Service, leader_lost::LeaderLost};
use crate::proto::grpc::health::v1::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
};

/// The name that stands for the whole server.
const WHOLE_SERVER: &str = "";

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status as i32 }
}

#[tonic::async_trait]
impl Health for Service {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.enter(request.metadata()).await?;
        match request.get_ref().service.as_str() {
            WHOLE_SERVER => Ok(Response::new(answer(ServingStatus::Serving))),
            _ => Err(Status::not_found("unknown service")),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// The answer never changes, so the stream carries one answer and stays open. It does so for an unknown service
    /// too, which might be added later.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.enter(request.metadata()).await?;
        let mut leader_lost = LeaderLost::of(&self.node, request.metadata());
        let status = match request.get_ref().service.as_str() {
            WHOLE_SERVER => ServingStatus::Serving,
            _ => ServingStatus::ServiceUnknown,
        };
        let first = stream::once(async move { Ok(answer(status)) });
        let end = stream::once(async move { Err(leader_lost.lost().await) });
        Ok(Response::new(Box::pin(first.chain(end))))
    }
}
