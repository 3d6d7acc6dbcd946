//! Leases of one client: what it grants, hangs keys on, renews, revokes, and forgets.

use rand::Rng;
use squall_checker::history as h;

use super::Generator;

/// The least and the most seconds that a lease is asked for.
const TTL_SECS: std::ops::RangeInclusive<i64> = 2..=5;
/// How many leases a client keeps in mind. Those before are left to end by themselves.
const KEPT: usize = 3;

/// The leases that a client has granted and not seen end, the oldest first.
#[derive(Default)]
pub(super) struct Leases(Vec<h::LeaseId>);

impl Leases {
    pub(super) fn learn(&mut self, op: &h::Op, result: &h::OpResult) {
        match (op, result) {
            (h::Op::LeaseGrant(_), h::OpResult::LeaseGrant(granted)) => {
                self.0.push(granted.id);
                if self.0.len() > KEPT {
                    self.0.remove(0);
                }
            }
            (h::Op::LeaseKeepAlive(lease), h::OpResult::LeaseKeepAlive(kept)) if kept.ttl == 0 => {
                self.forget(lease.id);
            }
            (h::Op::LeaseRevoke(lease), _) => self.forget(lease.id),
            _ => {}
        }
    }

    fn forget(&mut self, id: h::LeaseId) {
        self.0.retain(|known| *known != id);
    }
}

impl Generator {
    pub(super) fn next_of_leases(&mut self, choice: &str, unique: u64) -> h::Op {
        // Drawn in any case: what other clients do moves no draw.
        let which = self.chance.gen_range(0..KEPT);
        let ttl = self.chance.gen_range(TTL_SECS);
        let chosen_here = self.one_in(4);
        let lease = self.leases.0.get(which).or(self.leases.0.last()).copied();
        let grant = || {
            // Most ids are the client's choice, so that an ambiguous grant can be told from others.
            let id = if chosen_here { h::LeaseId::NONE } else { h::LeaseId(1_000_000 + unique as i64) };
            h::Op::LeaseGrant(h::LeaseGrant { id, ttl })
        };
        match (choice, lease) {
            ("put", _) => {
                let mut put = self.put(unique, 0);
                put.lease = lease.unwrap_or(h::LeaseId::NONE);
                h::Op::Put(put)
            }
            ("delete", _) => h::Op::DeleteRange(h::DeleteRange { key: self.key(), ..Default::default() }),
            ("keepAlive", Some(id)) => h::Op::LeaseKeepAlive(h::LeaseRef { id }),
            ("revoke", Some(id)) => h::Op::LeaseRevoke(h::LeaseRef { id }),
            ("grant" | "keepAlive" | "revoke", _) => grant(),
            _ => h::Op::Range(self.get()),
        }
    }
}
