//! gRPC's deadlines, as the `grpc-timeout` header gives them ([`grpc_timeout`]).

use http::HeaderMap;
use system_tokio::time::Instant;
use tonic::Status;

use crate::seam::grpc_timeout;

/// When a request's caller stops waiting; `None` if it waits for ever, or if the header is not valid.
pub(crate) fn of(headers: &HeaderMap) -> Option<Instant> {
    let timeout = grpc_timeout(headers)?;
    // A hundred million hours may overflow an `Instant`. Then there is no deadline.
    Instant::now().checked_add(timeout)
}

/// The status of a call whose deadline has passed. etcd's clients know its text.
pub(crate) fn exceeded() -> Status {
    Status::deadline_exceeded("context deadline exceeded")
}

/// Completes when the deadline has passed; never if there is none.
pub(crate) async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(at) => system_tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
