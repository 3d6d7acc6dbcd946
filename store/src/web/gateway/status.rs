//! Refusals in JSON, and their HTTP statuses.

use serde_json::{Value, json};
use tonic::{Code, Status};

use super::super::reply;
use crate::seam::GrpcResponse;

/// The HTTP status of a gRPC code.
pub(super) fn http_status(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::Cancelled => 408,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::DeadlineExceeded => 504,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::PermissionDenied => 403,
        Code::Unauthenticated => 401,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    }
}

/// The answer to a call that was refused before it had an answer.
pub(super) fn failed(status: &Status) -> GrpcResponse {
    let (message, code) = (json!(status.message()), status.code() as i32);
    let body = format!(r#"{{"error":{message},"code":{code},"message":{message}}}"#);
    reply::json(http_status(status.code()), body)
}

/// The last line of a stream that was refused.
pub(super) fn stream_failed(status: &Status) -> Value {
    let http = http_status(status.code());
    let reason = http::StatusCode::from_u16(http).ok().and_then(|status| status.canonical_reason());
    json!({ "error": {
        "grpc_code": status.code() as i32,
        "http_code": http,
        "message": status.message(),
        "http_status": reason.unwrap_or_default(),
    } })
}
