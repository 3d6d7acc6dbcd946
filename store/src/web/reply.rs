//! Answers, with the headers that etcd gives them.

use http::{HeaderValue, StatusCode, header};
use tonic::body::Body;

use crate::seam::GrpcResponse;

/// An answer without a body.
pub(super) fn empty() -> GrpcResponse {
    http::Response::new(Body::empty())
}

/// An answer of plain text.
pub(super) fn text(status: u16, text: impl Into<String>) -> GrpcResponse {
    let mut response = with_type(status, "text/plain; charset=utf-8", full(text.into()));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An answer of JSON.
pub(super) fn json(status: u16, json: String) -> GrpcResponse {
    with_type(status, "application/json", full(json))
}

/// The answer to another method where only GET is allowed.
pub(super) fn only_get() -> GrpcResponse {
    let mut response = text(405, "Method Not Allowed\n");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    response
}

/// An answer with any body and content type.
pub(super) fn with_type(status: u16, content_type: &'static str, body: Body) -> GrpcResponse {
    let mut response = http::Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status of this module's own");
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Lets a browser's page of any origin read the answer: etcd's default (`--cors`).
pub(super) fn allow_origins(response: &mut GrpcResponse) {
    let headers = response.headers_mut();
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "accept, content-type, authorization"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, GET, OPTIONS, PUT, DELETE"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    for (name, value) in allowed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A complete body.
pub(super) fn full(text: String) -> Body {
    Body::new(http_body_util::Full::new(bytes::Bytes::from(text)))
}
