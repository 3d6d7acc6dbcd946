//! Locks and elections. No call is made that would wait for another holder.

use squall_store::proto::{
    etcdserverpb::{StatusRequest, maintenance_client::MaintenanceClient},
    v3electionpb::election_client::ElectionClient,
    v3lockpb::lock_client::LockClient,
};

use crate::{
    answer::Answer,
    operation::{Call, Caller},
    server::Server,
};

impl Server {
    pub(super) async fn concurrency(&self, caller: &Caller, call: &Call) -> Answer {
        let answer = self.ask(caller, call).await;
        // One call makes several steps. A refusal does not tell the store's revision after them, and a campaign of the
        // present leader writes again and answers with the revision before.
        let status = unary!(self, &Caller::Nobody, MaintenanceClient.status(StatusRequest {}));
        let header = status.ok().and_then(|status| status.header);
        Answer { revision: header.map_or(0, |header| header.revision), ..answer }
    }

    async fn ask(&self, caller: &Caller, call: &Call) -> Answer {
        match call.clone() {
            Call::Lock(request) => plain!(self, caller, LockClient.lock(request)),
            Call::Unlock(request) => plain!(self, caller, LockClient.unlock(request)),
            Call::Campaign(request) => plain!(self, caller, ElectionClient.campaign(request)),
            Call::Proclaim(request) => plain!(self, caller, ElectionClient.proclaim(request)),
            Call::Leader(request) => plain!(self, caller, ElectionClient.leader(request)),
            Call::Resign(request) => plain!(self, caller, ElectionClient.resign(request)),
            Call::Observe(request) => {
                let mut told = match unary!(self, caller, ElectionClient.observe(request)) {
                    Ok(told) => told,
                    Err(status) => return Answer::refused(&status),
                };
                match self.seams.patiently(told.message()).await {
                    Ok(Ok(Some(mut first))) => {
                        self.ids.header(&mut first.header);
                        Answer::said(&first, 0)
                    }
                    Ok(Ok(None)) => Answer::said(&"the stream has ended", 0),
                    Ok(Err(status)) => Answer::refused(&status),
                    Err(_) => Answer::silence(),
                }
            }
            call => unreachable!("{call:?} is no call of this service"),
        }
    }
}
