//! The seam's channel with an error type that has a name: the compiler cannot see that a task holding a call over
//! `Box<dyn Error>` is `Send`.

use std::task::{Context, Poll};

use tonic::Status;
use tower::Service;

use crate::seam::{BoxFuture, Channel, GrpcRequest, GrpcResponse};

/// A channel to a peer.
#[derive(Clone)]
pub(super) struct PeerChannel(pub Channel);

impl Service<GrpcRequest> for PeerChannel {
    type Response = GrpcResponse;
    type Error = Status;
    type Future = BoxFuture<'static, Result<GrpcResponse, Status>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.0.poll_ready(cx).map_err(Status::from_error)
    }

    fn call(&mut self, request: GrpcRequest) -> Self::Future {
        let response = self.0.call(request);
        Box::pin(async { response.await.map_err(Status::from_error) })
    }
}
