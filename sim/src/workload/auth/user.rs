//! A client that acts as a user.

use std::sync::{Arc, atomic::AtomicBool};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;

use super::book::{Book, USERS, user};
use crate::{
    scenario::Mix,
    workload::{Client, Pace, Recorder, client::Session, weights},
};

/// The ids of the leases that users share come after this one. Other workloads use other ranges.
const LEASES: i64 = 500_000_000;
/// How many they share.
const SHARED: i64 = 3;
/// The TTL of these leases. It is short, because a leader keeps logging what is left of a long lease, and a run whose
/// clients have stopped must come to rest.
const TTL_SECS: i64 = 6;

/// The keys of this workload, by number.
pub(super) struct Keys(pub(super) u32);

impl Keys {
    fn name(number: u32) -> h::Bytes {
        h::Bytes::from(format!("auth{number:03}"))
    }

    pub(super) fn one(&self, chance: &mut ChaCha8Rng) -> h::Bytes {
        Self::name(chance.gen_range(0..self.0))
    }

    /// A single key, some keys, or all keys from one on.
    pub(super) fn range(&self, chance: &mut ChaCha8Rng) -> (h::Bytes, h::Bytes) {
        let from = chance.gen_range(0..self.0);
        let to = chance.gen_range(from + 1..=self.0);
        match chance.gen_range(0..8) {
            0..=3 => (Self::name(from), h::Bytes::default()),
            4..=6 => (Self::name(from), Self::name(to)),
            _ => (Self::name(from), h::Bytes::from("\0")),
        }
    }
}

/// Gets a token, which the client uses from then on.
pub(super) async fn log_in(client: &mut Client, user: &str, password: String) {
    let op = h::Op::Auth(h::Auth::Authenticate(h::Login { user: user.to_owned(), password }));
    let (id, answer) = client.perform_as(&op, false).await;
    if let Some(token) = answer.ok().and_then(|answer| answer.token) {
        let caller = h::Caller { user: user.to_owned(), token: id };
        client.use_session(Some(Session { caller, token }));
    }
}

/// A user's client.
pub(in crate::workload) struct User {
    pub(in crate::workload) client: Client,
    pub(in crate::workload) book: Arc<Book>,
    pub(in crate::workload) recorder: Arc<Recorder>,
    pub(in crate::workload) keys: u32,
    pub(in crate::workload) mix: Mix,
    pub(in crate::workload) chance: ChaCha8Rng,
    pub(in crate::workload) pace: Pace,
}

impl User {
    /// Works until `stop` is set.
    pub(in crate::workload) async fn work(mut self, stop: Arc<AtomicBool>) {
        let began = self.client.clock().monotonic();
        let mut has_token = false;
        let mut newest = 0;
        while self.pace.wait(&self.client, began, &stop).await {
            // Everything is drawn in any case, so that other clients' actions change no draw.
            let (whose, old) = (user(self.chance.gen_range(0..USERS)), self.chance.gen_ratio(1, 8));
            let (anew, without) = (self.chance.gen_ratio(1, 12), self.chance.gen_ratio(1, 64));
            let op = self.draw(newest);
            let op = self.instead(op);
            if (anew || !has_token)
                && let Some(password) = self.book.password(&whose, old)
            {
                self.client.use_session(None);
                log_in(&mut self.client, &whose, password).await;
                has_token = true;
            }
            if without {
                self.client.use_session(None);
                has_token = false;
            }
            match self.client.perform_as(&op, false).await.1 {
                Ok(answer) => newest = answer.header.revision.0,
                Err(error)
                    if matches!(
                        error.message.as_str(),
                        "etcdserver: invalid auth token" | "etcdserver: user name is empty"
                    ) =>
                {
                    has_token = false;
                }
                Err(_) => {}
            }
        }
    }

    /// The next request of a user whose last answer had this revision.
    fn draw(&mut self, newest: i64) -> h::Op {
        let keys = Keys(self.keys);
        let unique = self.recorder.next_id();
        let name = weights::choose(&self.mix, &mut self.chance);
        let key = keys.one(&mut self.chance);
        let (from, to) = keys.range(&mut self.chance);
        let prev_kv = self.chance.gen_ratio(1, 4);
        let shared = h::LeaseId(LEASES + self.chance.gen_range(1..=SHARED));
        let hangs = self.chance.gen_ratio(1, 3) && self.mix.grant > 0;
        let put = |key, part: u32| h::Put {
            key,
            value: h::Bytes::from(format!("v{unique}.{part}")),
            prev_kv,
            lease: if hangs { shared } else { h::LeaseId::NONE },
            ..h::Put::default()
        };
        match name {
            "put" => h::Op::Put(put(key, 0)),
            "delete" => h::Op::DeleteRange(h::DeleteRange { key: from, range_end: to, prev_kv }),
            "range" => h::Op::Range(h::Range {
                key: from,
                range_end: to,
                serializable: self.chance.gen_ratio(1, 2),
                ..h::Range::default()
            }),
            "txn" => h::Op::Txn(self.txn(key, put)),
            "grant" => h::Op::LeaseGrant(h::LeaseGrant { id: shared, ttl: TTL_SECS }),
            "revoke" => h::Op::LeaseRevoke(h::LeaseRef { id: shared }),
            "keepAlive" => h::Op::LeaseKeepAlive(h::LeaseRef { id: shared }),
            // Only root is allowed to compact.
            "compact" => {
                h::Op::Compact(h::Compact { revision: h::Revision((newest / 2).max(1)), physical: false })
            }
            _ => h::Op::Range(h::Range { key, ..h::Range::default() }),
        }
    }

    /// Replaces some requests by a question about the same keys: for a watch, or one that only root is allowed to ask. Takes no
    /// draw.
    fn instead(&self, op: h::Op) -> h::Op {
        let watched = match &op {
            h::Op::Range(range) => (range.key.clone(), range.range_end.clone()),
            h::Op::Put(put) => (put.key.clone(), h::Bytes::default()),
            _ => return op,
        };
        match self.recorder.next_id() % 16 {
            3 => h::Op::Ask(h::Ask::HashKv),
            9 | 12 => h::Op::Ask(h::Ask::Watch(h::Watched { key: watched.0, range_end: watched.1 })),
            _ => op,
        }
    }

    /// Reads one key and writes another, depending on a third; sometimes in a nested transaction.
    fn txn(&mut self, key: h::Bytes, put: impl Fn(h::Bytes, u32) -> h::Put) -> h::Txn {
        let keys = Keys(self.keys);
        let compared = keys.one(&mut self.chance);
        let read = keys.one(&mut self.chance);
        let compare = h::Compare {
            key: compared,
            range_end: h::Bytes::default(),
            result: h::CompareResult::Greater,
            target: h::CompareTarget::Version(1),
        };
        let read = h::RequestOp::Range(h::Range { key: read, ..h::Range::default() });
        let write = h::RequestOp::Put(put(key.clone(), 1));
        let inner =
            h::Txn { compares: vec![compare.clone()], success: vec![write.clone()], failure: Vec::new() };
        match self.chance.gen_range(0..4) {
            0 => h::Txn {
                compares: Vec::new(),
                success: vec![read, h::RequestOp::Txn(inner)],
                failure: Vec::new(),
            },
            1 => h::Txn {
                compares: vec![compare],
                success: vec![read],
                failure: vec![h::RequestOp::Put(put(key, 2))],
            },
            2 => h::Txn { compares: vec![compare], success: vec![read], failure: Vec::new() },
            _ => h::Txn { compares: vec![compare], success: vec![write, read], failure: Vec::new() },
        }
    }
}
