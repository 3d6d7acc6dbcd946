//! The leases of one client: it grants them, attaches keys, renews, revokes, and forgets them.
//!
//! A client keeps renewing the leases in use. It leaves a dropped lease alone for seconds, and sometimes asks for it once
//! more, mostly near its end: it renews the lease just before or during the revocation, grants it again under the same id,
//! or names it in a put.

use rand::Rng;
use squall_checker::history as h;

use super::Generator;

/// The least and the most seconds that a lease is asked for.
const TTL_SECS: std::ops::RangeInclusive<i64> = 2..=5;
/// How many leases a client uses. Older leases are left to end by themselves.
pub(super) const KEPT: usize = 3;
/// How many of the others it remembers.
const DROPPED: usize = 8;

/// The leases that a client has granted.
#[derive(Default)]
pub(super) struct Leases {
    /// In use, and not seen to end; the oldest first.
    kept: Vec<h::LeaseId>,
    /// The others, the oldest first. Some have ended.
    dropped: Vec<h::LeaseId>,
}

impl Leases {
    pub(super) fn learn(&mut self, op: &h::Op, result: &h::OpResult) {
        match (op, result) {
            (h::Op::LeaseGrant(_), h::OpResult::LeaseGrant(granted)) => {
                self.dropped.retain(|known| *known != granted.id);
                self.kept.push(granted.id);
                if self.kept.len() > KEPT {
                    let oldest = self.kept.remove(0);
                    self.drop(oldest);
                }
            }
            (h::Op::LeaseKeepAlive(lease), h::OpResult::LeaseKeepAlive(kept)) if kept.ttl == 0 => {
                self.forget(lease.id);
            }
            (h::Op::LeaseRevoke(lease), _) => self.forget(lease.id),
            _ => {}
        }
    }

    fn drop(&mut self, id: h::LeaseId) {
        self.dropped.push(id);
        if self.dropped.len() > DROPPED {
            self.dropped.remove(0);
        }
    }

    /// Notes that the lease is no longer in use.
    fn forget(&mut self, id: h::LeaseId) {
        let before = self.kept.len();
        self.kept.retain(|known| *known != id);
        if self.kept.len() < before {
            self.drop(id);
        }
    }
}

impl Generator {
    pub(super) fn next_of_leases(&mut self, choice: &str, unique: u64) -> h::Op {
        // Drawn in any case, so that other clients' actions change no draw.
        let which = self.chance.gen_range(0..KEPT);
        // A few ask for less than the store's shortest TTL.
        let ttl = if unique % 16 == 7 { 1 } else { self.chance.gen_range(TTL_SECS) };
        let ttl = if self.lease_ttl_secs > 0 { i64::from(self.lease_ttl_secs) } else { ttl };
        let chosen_here = self.one_in(4);
        let of_dropped = self.chance.gen_range(0..DROPPED);
        let (renews_dropped, other_dropped, how) =
            (self.one_in(4), self.one_in(8), self.chance.gen_range(0..16));
        let kept = self.leases.kept.get(which).or(self.leases.kept.last()).copied();
        let dropped = self.leases.dropped.get(of_dropped).copied();
        let asks_dropped = if choice == "keepAlive" { renews_dropped } else { other_dropped };
        let lease = dropped.filter(|_| asks_dropped).or(kept);
        let grant = |again: Option<h::LeaseId>| {
            // Most ids are the client's choice, so that an ambiguous grant can be told from others.
            let id = if chosen_here { h::LeaseId::NONE } else { h::LeaseId(1_000_000 + unique as i64) };
            h::Op::LeaseGrant(h::LeaseGrant { id: again.unwrap_or(id), ttl })
        };
        match (choice, lease) {
            ("put", _) => {
                let put = self.put(unique, 0);
                let lease = lease.unwrap_or(h::LeaseId::NONE);
                match how {
                    // The put keeps the key's lease, whichever that is.
                    0 | 1 => h::Op::Put(h::Put { ignore_lease: true, ..put }),
                    2..=4 => self.if_of_lease(h::Put { lease, ..put }),
                    _ => h::Op::Put(h::Put { lease, ..put }),
                }
            }
            ("delete", _) => h::Op::DeleteRange(h::DeleteRange { key: self.key(), ..Default::default() }),
            ("keepAlive", Some(id)) => h::Op::LeaseKeepAlive(h::LeaseRef { id }),
            ("revoke", Some(id)) => h::Op::LeaseRevoke(h::LeaseRef { id }),
            // A lease that exists is refused. One that has ended may be granted again.
            ("grant", Some(_)) if how < 3 => grant(lease),
            ("grant" | "keepAlive" | "revoke", _) => grant(None),
            _ => h::Op::Range(self.get()),
        }
    }

    /// A put that is done only if another key is attached to the put's lease, or only if it is not.
    fn if_of_lease(&mut self, put: h::Put) -> h::Op {
        let result = if self.one_in(2) { h::CompareResult::Equal } else { h::CompareResult::NotEqual };
        let (key, read) = (self.key(), self.key());
        let target = h::CompareTarget::Lease(put.lease);
        let compare = h::Compare { key, range_end: h::Bytes::default(), result, target };
        h::Op::Txn(h::Txn {
            compares: vec![compare],
            success: vec![h::RequestOp::Put(put)],
            failure: vec![h::RequestOp::Range(h::Range { key: read, ..h::Range::default() })],
        })
    }
}
