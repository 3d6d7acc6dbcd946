//! gRPC's deadlines, as the `grpc-timeout` header gives them ([`grpc_timeout`]).

use http::HeaderMap;
use system_tokio::time::Instant;
use tonic::Status;

use crate::seam::grpc_timeout;

/// When a request's caller stops waiting; `None` where it waits for ever, or where the header is not one.
pub(crate) fn of(headers: &HeaderMap) -> Option<Instant> {
    let timeout = grpc_timeout(headers)?;
    // A hundred million hours overflow nothing but an `Instant`: no deadline then.
    Instant::now().checked_add(timeout)
}

/// What a call fails with whose deadline has passed; etcd's clients know the text.
pub(crate) fn exceeded() -> Status {
    Status::deadline_exceeded("context deadline exceeded")
}

/// Completes when the deadline has passed; never where there is none.
pub(crate) async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(at) => system_tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
