//! A place in a queue: a key of the caller's lease below the queue's name. Its turn has come when no older key is there.
//!
//! A place that is not kept is given up when it is dropped, in a task of its own: when a caller goes away its
//! handler is dropped, and its key must not block all places behind it until its lease ends. The place is also made
//! in a task of its own, since a caller may go away while it is being made.

use bytes::Bytes;
use squall_core::{LeaseId, Revision, planted::planted};
use tokio::sync::oneshot;
use tonic::Status;

use super::{Caller, Step, created_at, found, get, key_watch::KeyWatch, oldest, put, removal};
use crate::proto::etcdserverpb::{RangeRequest, ResponseHeader, TxnRequest, range_request::SortOrder};

/// A key in a queue.
pub(super) struct Place {
    caller: Caller,
    /// The queue's name.
    name: Bytes,
    pub key: Bytes,
    pub lease: LeaseId,
    /// The revision that created the key.
    pub revision: Revision,
    /// Whether the key stays when this is dropped.
    kept: bool,
}

/// The result of taking a place.
pub(super) struct Taken {
    pub place: Place,
    pub header: Option<ResponseHeader>,
    /// The key's value. It is the caller's value unless the lease had this place before.
    pub value: Bytes,
    /// Whether the place is the first one.
    pub first: bool,
}

impl Place {
    /// Takes the last place in a queue, or finds the place that the lease has there already.
    ///
    /// # Errors
    /// The refusals of the KV service. After its time-outs the place may exist.
    pub(super) async fn take(
        caller: &Caller,
        name: Bytes,
        lease: LeaseId,
        value: Bytes,
    ) -> Result<Taken, Status> {
        let (answer, taken) = oneshot::channel();
        let caller = caller.clone();
        let tasks = caller.service.node.env().tasks.clone();
        let take = async move {
            let taken = take_place(caller, name, lease, value).await;
            // If the caller no longer waits, the place is dropped, and so given up.
            _ = answer.send(taken);
        };
        tasks.spawn("take a place", Box::pin(take)).detach();
        taken.await.unwrap_or_else(|_| Err(Status::unavailable("etcdserver: server stopped")))
    }

    /// Waits until this place is the first one.
    ///
    /// # Errors
    /// The refusals and time-outs of the KV service.
    pub(super) async fn turn(&self) -> Result<(), Status> {
        // Asks for the newest key that is older than this one.
        let request = RangeRequest {
            sort_order: SortOrder::Descend as i32,
            max_create_revision: self.revision.0 - i64::from(!planted!(LockCountsItself)),
            ..oldest(&self.name)
        };
        loop {
            let response = self.caller.range(request.clone()).await?;
            let Some(before) = response.kvs.into_iter().next() else { return Ok(()) };
            let seen_at = Revision(response.header.unwrap_or_default().revision);
            KeyWatch::of_key(&self.caller.service.node, before.key, seen_at.next()).deleted().await;
            if planted!(LockTurnNotRechecked) {
                return Ok(());
            }
        }
    }

    /// Whether the key is still there, and the header of that answer.
    ///
    /// # Errors
    /// The refusals and time-outs of the KV service.
    pub(super) async fn check(&self) -> Result<(bool, Option<ResponseHeader>), Status> {
        let request = RangeRequest { key: self.key.clone(), ..Default::default() };
        let response = self.caller.range(request).await?;
        let held = response.kvs.first().is_some_and(|kv| kv.create_revision == self.revision.0);
        Ok((held, response.header))
    }

    /// Leaves the key where it is.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }

    /// Removes the key, and waits until that is done.
    pub(super) async fn give_up(mut self) {
        self.kept = true;
        remove(self.caller.clone(), self.key.clone(), self.revision).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.kept && !planted!(PlaceNotGivenUp) {
            let remove = remove(self.caller.clone(), self.key.clone(), self.revision);
            let tasks = &self.caller.service.node.env().tasks;
            tasks.spawn("give a place up", Box::pin(remove)).detach();
        }
    }
}

/// The lease's id as Go prints it: with its sign, since a client may choose a negative id.
fn in_hex(lease: LeaseId) -> String {
    let sign = if lease.0 < 0 { "-" } else { "" };
    format!("{sign}{:x}", lease.0.unsigned_abs())
}

async fn take_place(caller: Caller, name: Bytes, lease: LeaseId, value: Bytes) -> Result<Taken, Status> {
    let key = Bytes::from([&name[..], b"/", in_hex(lease).as_bytes()].concat());
    let own = get(RangeRequest { key: key.clone(), ..Default::default() });
    let request = TxnRequest {
        compare: vec![created_at(key.clone(), 0)],
        success: vec![put(key.clone(), value.clone(), lease), get(oldest(&name))],
        failure: vec![own, get(oldest(&name))],
    };
    let response = caller.txn(Step::Asked, request).await?;
    let (revision, value) = match found(&response, 0) {
        // An earlier call has made the place.
        Some(own) => (own.create_revision, own.value.clone()),
        None => (response.header.unwrap_or_default().revision, value),
    };
    let again = found(&response, 0).is_some() && planted!(PlaceFoundIsFirst);
    let first = again || found(&response, 1).is_none_or(|oldest| oldest.create_revision == revision);
    let place = Place { caller, name, key, lease, revision: Revision(revision), kept: false };
    Ok(Taken { place, header: response.header, value, first })
}

/// Removes the key of a place.
async fn remove(caller: Caller, key: Bytes, revision: Revision) {
    if let Err(status) = caller.txn(Step::GivesUp, removal(key.clone(), revision.0)).await {
        tracing::info!(?key, %status, "a place in a queue was not given up; it ends with its lease");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_written_as_go_writes_it() {
        let ids = [1, 0x7587_8f2e, -1, -380, i64::MAX, i64::MIN];
        let texts = ["1", "75878f2e", "-1", "-17c", "7fffffffffffffff", "-8000000000000000"];
        assert_eq!(ids.map(|id| in_hex(LeaseId(id))), texts);
    }
}
