//! The clients of keys: each makes one call after another, and turns to the next member when one does not answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;
use squall_store::{
    proto::etcdserverpb::{self as pb, kv_client::KvClient},
    seam::Channel,
};
use tokio::time::{sleep, timeout};
use tonic::Status;

use crate::{harness::Member, recorder::Recorder, wire};

/// How long a client waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(2);
const KEYS: u32 = 8;

/// The state that all clients share.
pub struct Shared {
    pub recorder: Recorder,
    pub members: Vec<Member>,
    pub stop: AtomicBool,
    /// Set once the leases have ended; watchers go on until then.
    pub over: AtomicBool,
    /// The newest revision that any client has seen.
    pub revision: AtomicU64,
}

/// A client's connections and its place among the members.
pub struct Client {
    pub id: u64,
    pub shared: Arc<Shared>,
    pub rng: ChaCha8Rng,
    channels: Vec<Channel>,
    at: usize,
}

impl Client {
    pub fn new(id: u64, seed: u64, shared: &Arc<Shared>) -> Client {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(id);
        let channels = shared.members.iter().map(Member::dial).collect();
        Client { id, at: id as usize % shared.members.len(), shared: Arc::clone(shared), rng, channels }
    }

    pub fn is_to_stop(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    pub fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::Relaxed)
    }

    pub fn channel(&self) -> Channel {
        self.channels[self.at].clone()
    }

    pub fn endpoint(&self) -> String {
        self.shared.members[self.at].name.clone()
    }

    pub fn turn_to(&mut self, member: usize) {
        self.at = member % self.channels.len();
    }

    /// Makes the call, records it, and returns the server's answer.
    pub async fn make<T>(
        &mut self,
        op: h::Op,
        is_final: bool,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
        read: impl FnOnce(&T) -> Option<(h::Header, h::OpResult)>,
    ) -> Option<T> {
        let called = self.shared.recorder.call(self.id, &self.endpoint(), op, is_final);
        let answer = timeout(PATIENCE, call).await.ok();
        let answer = answer.map(|answer| answer.map(tonic::Response::into_inner));
        let recorded = match &answer {
            Some(Ok(response)) => {
                Some(read(response).ok_or_else(|| Status::internal("a response that says nothing")))
            }
            Some(Err(status)) => Some(Err(status.clone())),
            None => None,
        };
        if let Some(Ok((header, _))) = &recorded {
            self.shared.revision.fetch_max(header.revision.0 as u64, Ordering::Relaxed);
        }
        let failed = !matches!(recorded, Some(Ok(_)));
        self.shared.recorder.returned(called, recorded);
        if failed {
            self.turn_to(self.at + 1);
            sleep(Duration::from_millis(50)).await;
        }
        answer?.ok()
    }

    pub async fn range(&mut self, op: h::Range, is_final: bool) -> Option<pb::RangeResponse> {
        let mut kv = KvClient::new(self.channel()).max_decoding_message_size(usize::MAX);
        let request = wire::range(&op);
        self.make(h::Op::Range(op), is_final, async move { kv.range(request).await }, |response| {
            Some((wire::header(response.header.as_ref())?, h::OpResult::Range(wire::range_result(response))))
        })
        .await
    }

    pub async fn put(&mut self, op: h::Put) -> bool {
        let mut kv = KvClient::new(self.channel());
        let request = wire::put(&op);
        self.make(h::Op::Put(op), false, async move { kv.put(request).await }, |response| {
            Some((wire::header(response.header.as_ref())?, h::OpResult::Put(wire::put_result(response))))
        })
        .await
        .is_some()
    }

    async fn delete(&mut self, op: h::DeleteRange) {
        let mut kv = KvClient::new(self.channel());
        let request = wire::delete_range(&op);
        self.make(h::Op::DeleteRange(op), false, async move { kv.delete_range(request).await }, |response| {
            let result = h::OpResult::DeleteRange(wire::delete_range_result(response));
            Some((wire::header(response.header.as_ref())?, result))
        })
        .await;
    }

    async fn txn(&mut self, op: h::Txn) {
        let mut kv = KvClient::new(self.channel());
        let request = wire::txn(&op);
        self.make(h::Op::Txn(op), false, async move { kv.txn(request).await }, |response| {
            let result = h::OpResult::Txn(wire::txn_result(response)?);
            Some((wire::header(response.header.as_ref())?, result))
        })
        .await;
    }

    async fn compact(&mut self, revision: i64) {
        let mut kv = KvClient::new(self.channel());
        let request = pb::CompactionRequest { revision, physical: false };
        let op = h::Op::Compact(h::Compact { revision: h::Revision(revision), physical: false });
        self.make(op, false, async move { kv.compact(request).await }, |response| {
            let result = h::OpResult::Compact(h::CompactResult {});
            Some((wire::header(response.header.as_ref())?, result))
        })
        .await;
    }
}

/// All keys.
pub fn everything() -> h::Range {
    h::Range { key: h::Bytes::from("\0"), range_end: h::Bytes::from("\0"), ..h::Range::default() }
}

/// Reads and writes until `stop` is set.
pub async fn keys(mut client: Client) {
    // The key that it saw last, and the revision of that key's last change.
    let mut seen: Option<(h::Bytes, h::Revision)> = None;
    for n in 0_u64.. {
        if client.is_to_stop() {
            return;
        }
        let key = h::Bytes::from(format!("kv{}", client.rng.gen_range(0..KEYS)));
        let value = h::Bytes::from(format!("{}-{n}-{}", client.id, "x".repeat(client.rng.gen_range(0..200))));
        let put =
            h::Put { key: key.clone(), value, prev_kv: client.rng.gen_ratio(1, 5), ..h::Put::default() };
        match client.rng.gen_range(0..100) {
            0..40 => drop(client.put(put).await),
            40..55 => {
                let op = h::Range { key, ..h::Range::default() };
                if let Some(response) = client.range(op, false).await {
                    let kv = response.kvs.first().map(wire::key_value);
                    seen = kv.map(|kv| (kv.key, kv.mod_revision));
                }
            }
            55..70 => {
                let serializable = client.rng.gen_ratio(1, 2);
                client.range(h::Range { serializable, ..everything() }, false).await;
            }
            70..78 => {
                let prev_kv = client.rng.gen_ratio(1, 3);
                client.delete(h::DeleteRange { key, prev_kv, ..h::DeleteRange::default() }).await;
            }
            78..98 => {
                let (key, revision) = seen.take().unwrap_or((key, h::Revision(0)));
                let compare = h::Compare {
                    key: key.clone(),
                    range_end: h::Bytes::default(),
                    result: h::CompareResult::Equal,
                    target: h::CompareTarget::Mod(revision),
                };
                let read = h::Range { key: key.clone(), ..h::Range::default() };
                let txn = h::Txn {
                    compares: vec![compare],
                    success: vec![h::RequestOp::Put(h::Put { key, ..put })],
                    failure: vec![h::RequestOp::Range(read)],
                };
                client.txn(txn).await;
            }
            _ => {
                let newest = client.shared.revision.load(Ordering::Relaxed) as i64;
                if newest > 100 {
                    let back = client.rng.gen_range(40..90);
                    client.compact(newest - back).await;
                }
            }
        }
        sleep(Duration::from_millis(client.rng.gen_range(0..20))).await;
    }
}
