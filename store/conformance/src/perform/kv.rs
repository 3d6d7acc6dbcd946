//! Keys and values: ranges, puts, deletes, transactions, compactions.

use squall_store::proto::etcdserverpb::kv_client::KvClient;

use super::answer;
use crate::{
    answer::Answer,
    neutral,
    operation::{Call, Caller},
    server::Server,
};

impl Server {
    pub(super) async fn kv(&self, caller: &Caller, call: &Call) -> Answer {
        match call {
            Call::Range(request) => {
                let response = unary!(self, caller, KvClient.range(request.clone()));
                answer(response, |response| {
                    neutral::range(request, response);
                    self.ids.header(&mut response.header)
                })
            }
            Call::Put(request) => plain!(self, caller, KvClient.put(request.clone())),
            Call::DeleteRange(request) => plain!(self, caller, KvClient.delete_range(request.clone())),
            Call::Txn(request) => {
                let response = unary!(self, caller, KvClient.txn(request.clone()));
                answer(response, |response| {
                    neutral::txn(request, response);
                    self.ids.header(&mut response.header)
                })
            }
            Call::Compact(request) => plain!(self, caller, KvClient.compact(*request)),
            call => unreachable!("{call:?} is no call of this service"),
        }
    }
}
