//! The Lock service. A lock is a queue, and its holder has the first place in it.

use tonic::{Request, Response, Status};

use super::{Caller, Step, place::Place, through_client};
use crate::{
    api::Service,
    proto::{
        etcdserverpb::{DeleteRangeRequest, kv_server::Kv},
        v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse, lock_server::Lock},
    },
};
use squall_core::{LeaseId, planted::planted};

#[tonic::async_trait]
impl Lock for Service {
    /// If the lease holds the lock already, it keeps it.
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let (caller, LockRequest { name, lease }) = Caller::enter(self, request).await?;
        let lease = caller.session(LeaseId(lease)).await?;
        let taken = Place::take(&caller, name, lease, Default::default()).await?;
        let place = taken.place;
        if taken.first {
            return Ok(held(place, taken.header));
        }
        let checked = match place.turn().await {
            Ok(()) => place.check().await,
            Err(status) => Err(status),
        };
        match checked {
            Ok((true, header)) => Ok(held(place, header)),
            Ok((false, header)) if planted!(LockSessionUnchecked) => Ok(held(place, header)),
            // There is nothing left to remove.
            Ok((false, _)) => {
                place.keep();
                Err(Status::unknown("mutex: session is expired"))
            }
            Err(status) => {
                place.give_up().await;
                Err(status)
            }
        }
    }

    /// It is no error to unlock a lock that is not held.
    async fn unlock(&self, request: Request<UnlockRequest>) -> Result<Response<UnlockResponse>, Status> {
        let (caller, UnlockRequest { key }) = Caller::enter(self, request).await?;
        let request = DeleteRangeRequest { key, ..Default::default() };
        let deleted = Kv::delete_range(self, caller.tagged(Step::Asked, request)).await;
        let header = deleted.map_err(through_client)?.into_inner().header;
        Ok(Response::new(UnlockResponse { header }))
    }
}

fn held(place: Place, header: Option<crate::proto::etcdserverpb::ResponseHeader>) -> Response<LockResponse> {
    let key = place.key.clone();
    place.keep();
    Response::new(LockResponse { header, key })
}
