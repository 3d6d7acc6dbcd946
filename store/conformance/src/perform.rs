//! Carries an operation out on one server, and makes its answer neutral. Each service has a file of its own.

use std::fmt::Debug;

use tonic::{Response, Status};

use crate::{
    answer::Answer,
    operation::{Call, Operation},
    server::{Seams, Server},
    world::World,
};

/// Makes a call with one answer, within the allowed time.
macro_rules! unary {
    ($server:ident, $caller:expr, $client:ident . $method:ident ($request:expr)) => {{
        let mut request = tonic::Request::new($request);
        *request.metadata_mut() = $server.metadata($caller);
        let mut client = $client::new($server.channel.clone()).max_decoding_message_size(usize::MAX);
        $crate::perform::in_time(&$server.seams, client.$method(request)).await
    }};
}

/// Makes a call whose response has nothing but its header to make neutral.
macro_rules! plain {
    ($server:ident, $caller:expr, $client:ident . $method:ident ($request:expr)) => {
        match unary!($server, $caller, $client.$method($request)) {
            Ok(mut response) => {
                let revision = $server.ids.header(&mut response.header);
                Answer::said(&response, revision)
            }
            Err(status) => Answer::refused(&status),
        }
    };
}

mod auth;
mod cluster;
mod concurrency;
mod kv;
mod lease;
mod maintenance;
mod watch;
mod wire;

async fn in_time<T>(
    seams: &Seams,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    match seams.patiently(call).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("(no answer in time)")),
    }
}

fn answer<T: Debug>(result: Result<T, Status>, make_neutral: impl FnOnce(&mut T) -> i64) -> Answer {
    match result {
        Ok(mut response) => {
            let revision = make_neutral(&mut response);
            Answer::said(&response, revision)
        }
        Err(status) => Answer::refused(&status),
    }
}

impl Server {
    /// Carries the operation out and waits for the answer.
    pub async fn perform(&mut self, operation: &Operation, world: &World) -> Answer {
        let caller = &operation.caller;
        self.more = operation.metadata;
        match &operation.call {
            Call::Range(_) | Call::Put(_) | Call::DeleteRange(_) | Call::Txn(_) | Call::Compact(_) => {
                self.kv(caller, &operation.call).await
            }
            Call::LeaseGrant(_)
            | Call::LeaseRevoke(_)
            | Call::LeaseTimeToLive(_)
            | Call::LeaseLeases
            | Call::LeaseKeepAlive(_)
            | Call::LeaseEnds(_) => self.lease(caller, &operation.call).await,
            Call::WatchOpen { .. }
            | Call::WatchCreate { .. }
            | Call::WatchCancel { .. }
            | Call::WatchProgress { .. }
            | Call::WatchNothing { .. }
            | Call::WatchClose { .. } => self.watch(caller, &operation.call, world).await,
            Call::MemberList { .. }
            | Call::MemberAdd { .. }
            | Call::MemberRemove(_)
            | Call::MemberUpdate { .. }
            | Call::MemberPromote(_) => self.cluster(caller, &operation.call).await,
            Call::Alarm(_)
            | Call::Status
            | Call::Defragment
            | Call::Hash
            | Call::HashKv(_)
            | Call::MoveLeader(_)
            | Call::Downgrade(_)
            | Call::Snapshot => self.maintenance(caller, &operation.call).await,
            call if call.is_lock_or_election() => self.concurrency(caller, call).await,
            Call::Health(_) | Call::Wire { .. } => self.wire(caller, &operation.call).await,
            call => self.auth(caller, call).await,
        }
    }
}
