//! The answer to a request that is too large to be read: `ResourceExhausted`, in grpc-go's words, as etcd's clients know
//! it. tonic answers `OutOfRange`, which etcd uses for revisions.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use tonic::{Code, Status, server::NamedService};
use tower::Service;

use crate::seam::{BoxFuture, GrpcRequest, GrpcResponse};

/// A service whose answers to over-large requests are translated.
#[derive(Clone)]
pub(super) struct SizeLimit<S>(pub S);

impl<S: NamedService> NamedService for SizeLimit<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<GrpcRequest> for SizeLimit<S>
where
    S: Service<GrpcRequest, Response = GrpcResponse, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = GrpcResponse;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<GrpcResponse, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: GrpcRequest) -> Self::Future {
        let response = self.0.call(request);
        Box::pin(async move {
            let response = response.await?;
            let translated =
                Status::from_header_map(response.headers()).and_then(|status| translate(&status));
            Ok(translated.map_or(response, Status::into_http))
        })
    }
}

/// grpc-go's status for tonic's; `None` for any other.
fn translate(status: &Status) -> Option<Status> {
    if status.code() != Code::OutOfRange {
        return None;
    }
    let sizes = status.message().strip_prefix("Error, decoded message length too large: found ")?;
    let (found, limit) = sizes.strip_suffix(" bytes")?.split_once(" bytes, the limit is: ")?;
    let message = format!("grpc: received message larger than max ({found} vs. {limit})");
    Some(Status::resource_exhausted(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_transports_own_refusal_is_translated() {
        let too_large =
            "Error, decoded message length too large: found 3000000 bytes, the limit is: 2097152 bytes";
        let status = translate(&Status::out_of_range(too_large)).expect("translated");
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.message(), "grpc: received message larger than max (3000000 vs. 2097152)");
        let compacted = Status::out_of_range("etcdserver: mvcc: required revision has been compacted");
        assert!(translate(&compacted).is_none());
        assert!(translate(&Status::internal(too_large)).is_none());
    }
}
