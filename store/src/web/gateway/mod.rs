//! The JSON gateway: etcd's API for clients with HTTP and JSON but without gRPC (mostly `curl`).
//!
//! A POST to `/v3/...` becomes the gRPC call that etcd maps the path to, through the same services with the same
//! checks, and the answer becomes JSON again, by proto3's JSON mapping: bytes as base64, 64-bit numbers as strings,
//! enumerations by name. Input may use either form of field names (`range_end`, `rangeEnd`), give numbers as numbers
//! or strings, and give enumerations by number; unknown fields are ignored. A stream is one answer on each line,
//! `{"result":...}`.
//!
//! The messages are described by the descriptors that the protocol's compiler has made
//! (`store/src/proto/gateway.bin`), and `prost-reflect` transcodes by them, so that a new field needs no change
//! here. Generated code for each message would be forty times as large, and faster only to a degree that a JSON
//! client would not notice.
//!
//! A request's token comes in `Authorization`. As in etcd, the client's certificate does not identify the user here:
//! a call that the gateway makes is marked as such (`grpcgateway-accept`).
//!
//! # Limits
//! A body may be twice as large as a gRPC message (base64 takes a third more, and names take some). A unary
//! request's body must arrive within [`BODY_PATIENCE`]. Nesting is limited by the parser, to 128 levels.
//!
//! Source: grpc-gateway 1.16 as etcd 3.5 uses it; proto3's JSON mapping.

mod codec;
mod routes;
mod status;
mod streams;
mod unary;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tonic::{Status, body::Body};
use tower::ServiceExt;

use self::{codec::Codec, routes::Shape, status::failed};
use super::reply;
use crate::{
    node::Handle,
    seam::{GrpcRequest, GrpcResponse, Router, grpc_timeout},
};

/// How long the body of a unary request may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(60);
/// How many times a message's limit a body may be, because of base64 and names.
const JSON_FACTOR: usize = 2;

/// The gateway of one server.
pub(super) struct Gateway {
    grpc: Router,
    codec: Codec,
    node: Handle,
    /// The most bytes of a request's body, or of one message in a stream.
    limit: usize,
}

/// The path below the API's version, if it is one of the gateway's paths. etcd still accepts `v3beta` for `v3`.
pub(super) fn api_path(path: &str) -> Option<&str> {
    path.strip_prefix("/v3/").or_else(|| path.strip_prefix("/v3beta/"))
}

impl Gateway {
    pub(super) fn new(grpc: Router, node: &Handle) -> Gateway {
        let limit = JSON_FACTOR * (node.config().max_request_bytes + crate::api::OVERHEAD_BYTES);
        Gateway { grpc, codec: Codec::new(), node: node.clone(), limit }
    }

    pub(super) async fn answer(&self, path: &str, request: GrpcRequest) -> GrpcResponse {
        let route = routes::find(path);
        let Some(route) = route.filter(|_| request.method() == Method::POST) else {
            super::drain(&self.node, request.into_body()).await;
            return match route {
                Some(_) => reply::text(405, "Method Not Allowed\n"),
                None => reply::text(404, "Not Found\n"),
            };
        };
        let method = self.codec.method(route.service, route.method);
        if let Some(within) = request.headers().get("grpc-timeout")
            && grpc_timeout(request.headers()).is_none()
        {
            let within = String::from_utf8_lossy(within.as_bytes()).into_owned();
            super::drain(&self.node, request.into_body()).await;
            return failed(&Status::invalid_argument(format!("invalid grpc-timeout: {within}")));
        }
        match route.shape {
            Shape::Unary => self.unary(&method, request).await,
            Shape::Streaming { input } => self.streaming(&method, input, request).await,
        }
        .unwrap_or_else(|status| failed(&status))
    }

    /// Makes a gRPC call. Returns the body of the answer, which may still be arriving.
    async fn call(&self, method: &codec::Method, headers: &HeaderMap, body: Body) -> Result<Body, Status> {
        let mut request = http::Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = method.path.parse().expect("a service's and a method's name");
        *request.headers_mut() = metadata(headers);
        let response = match self.grpc.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if let Some(status) = Status::from_header_map(response.headers())
            && status.code() != tonic::Code::Ok
        {
            return Err(status);
        }
        Ok(response.into_body())
    }
}

/// The metadata of a call: the client's token, and headers that it has marked as metadata (`Grpc-Metadata-NAME`).
fn metadata(headers: &HeaderMap) -> HeaderMap {
    let mut metadata = HeaderMap::new();
    metadata.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    metadata.insert(header::TE, HeaderValue::from_static("trailers"));
    // This header keeps a certificate from identifying the user of this call.
    metadata.insert("grpcgateway-accept", HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        if name == header::AUTHORIZATION || name == "grpc-timeout" {
            metadata.insert(name, value.clone());
        } else if let Some(name) = name.as_str().strip_prefix("grpc-metadata-")
            && let Ok(name) = HeaderName::from_bytes(name.as_bytes())
            // Headers that gRPC itself uses, and those that this function has set, are left out.
            && !name.as_str().starts_with("grpc") && !metadata.contains_key(&name)
        {
            metadata.append(name, value.clone());
        }
    }
    metadata
}

/// A gRPC frame around a message: no flags, its length, its bytes.
fn frame(message: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(5 + message.len());
    frame.push(0);
    frame.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(message);
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_credentials_and_marked_metadata_are_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "a.1"),
            ("grpc-metadata-hasleader", "true"),
            ("grpc-metadata-grpc-status", "0"),
            ("grpc-metadata-content-type", "x"),
            ("grpc-metadata-grpcgateway-accept", "x"),
            ("cookie", "x"),
            ("token", "b.2"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let metadata = metadata(&headers);
        let all: Vec<_> =
            metadata.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let expected = [
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpcgateway-accept", "application/json"),
            ("authorization", "a.1"),
            ("hasleader", "true"),
        ];
        assert_eq!(all.len(), expected.len(), "{all:?}");
        assert!(expected.iter().all(|pair| all.contains(pair)), "{all:?}");
    }

    #[test]
    fn paths() {
        assert_eq!(api_path("/v3/kv/put"), Some("kv/put"));
        assert_eq!(api_path("/v3beta/kv/put"), Some("kv/put"));
        for path in ["/v3", "/v3alpha/kv/put", "/v2/keys", "/kv/put"] {
            assert_eq!(api_path(path), None, "{path}");
        }
    }
}
