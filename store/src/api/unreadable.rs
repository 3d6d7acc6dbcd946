//! Handles requests that the transport cannot read, and compressed requests, with grpc-go's words, codes and
//! behaviour, which etcd's clients know.
//!
//! tonic answers a request that is too large with `OutOfRange`, which etcd uses for revisions, and has its own words
//! for an unknown compression. tonic also compresses an answer if the client accepts that; grpc-go does so if the
//! client compressed its request. The real build supports gzip, the simulated build no compression.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use http::HeaderValue;
use tonic::{Code, Status, server::NamedService};
use tower::Service;

use crate::seam::{BoxFuture, GrpcRequest, GrpcResponse};

/// A service that tonic generated, with grpc-go's behaviour.
#[derive(Clone)]
pub(super) struct Readable<S>(pub S);

impl<S: NamedService> NamedService for Readable<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<GrpcRequest> for Readable<S>
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

    fn call(&mut self, mut request: GrpcRequest) -> Self::Future {
        // The answer is compressed if the request is.
        let encoding = request.headers().get("grpc-encoding").cloned();
        let encoding = encoding.unwrap_or(HeaderValue::from_static("identity"));
        request.headers_mut().insert("grpc-accept-encoding", encoding);
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
    let said = status.message();
    match status.code() {
        Code::OutOfRange => {
            let sizes = said.strip_prefix("Error, decoded message length too large: found ")?;
            let (found, limit) = sizes.strip_suffix(" bytes")?.split_once(" bytes, the limit is: ")?;
            Some(too_large(found, limit))
        }
        // Unpacking stopped at the limit, so the message's real size is not known.
        Code::ResourceExhausted => {
            let limit = said.strip_prefix("Error decompressing: size limit, of ")?;
            let limit = limit.strip_suffix(" bytes, exceeded while decompressing message")?;
            Some(too_large("more", limit))
        }
        Code::Unimplemented => {
            let encoding = said.strip_prefix("Content is compressed with `")?;
            let encoding = encoding.strip_suffix("` which isn't supported")?;
            let message = format!("grpc: Decompressor is not installed for grpc-encoding \"{encoding}\"");
            Some(Status::unimplemented(message))
        }
        Code::Internal if said.ends_with("with compressed-flag but no grpc-encoding was specified") => {
            Some(Status::internal("grpc: compressed flag set with identity or empty encoding"))
        }
        Code::Internal => {
            let why = said.strip_prefix("Error decompressing: ")?.strip_suffix(", while sending request")?;
            Some(Status::internal(format!("grpc: failed to decompress the received message {why}")))
        }
        _ => None,
    }
}

fn too_large(found: &str, limit: &str) -> Status {
    Status::resource_exhausted(format!("grpc: received message larger than max ({found} vs. {limit})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_transports_own_refusals_are_translated() {
        for (of_tonic, code, expected) in [
            (
                Status::out_of_range(
                    "Error, decoded message length too large: found 3000000 bytes, the limit is: 2097152 bytes",
                ),
                Code::ResourceExhausted,
                "grpc: received message larger than max (3000000 vs. 2097152)",
            ),
            (
                Status::resource_exhausted(
                    "Error decompressing: size limit, of 10 bytes, exceeded while decompressing message",
                ),
                Code::ResourceExhausted,
                "grpc: received message larger than max (more vs. 10)",
            ),
            (
                Status::unimplemented("Content is compressed with `snappy` which isn't supported"),
                Code::Unimplemented,
                "grpc: Decompressor is not installed for grpc-encoding \"snappy\"",
            ),
        ] {
            let status = translate(&of_tonic).expect("translated");
            assert_eq!((status.code(), status.message()), (code, expected));
        }
        for other in [
            Status::out_of_range("etcdserver: mvcc: required revision has been compacted"),
            Status::resource_exhausted("etcdserver: too many requests"),
            Status::unimplemented("squall: Downgrade is not supported"),
            Status::internal("squall: engine: gone"),
        ] {
            assert!(translate(&other).is_none(), "{other}");
        }
    }
}
