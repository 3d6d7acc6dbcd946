//! Locks and elections: one client holds at a time, a client that has let go passes no fence, and turns are taken in order.
//!
//! Both services are one queue. A client that wants its turn puts a key of its lease below the queue's name. It has its turn once
//! no older key is there. The key's create revision is the fencing token: a write that succeeds only while the key has that
//! create revision is the holder's. What a client believes does not count. A client that hangs for longer than its lease still
//! believes that it holds, and the store is not at fault for that. So everything here is judged by what the store answered.
//!
//! From the answers alone:
//! - *Alone*, by revisions: once a client learns that it holds, no older key of that queue is seen any more. By time: a
//!   hold lasts from its answer for as long as the lease's last promise, or until a client asks for anything that may end it.
//!   No two holds of one queue overlap.
//! - *Fence*: after a key was given back, or its lease has ended, nothing shows it alive: no read, and no write behind it.
//! - *Order*: an observer sees the leaders in the order of their create revisions.
//! - *First*: after its lease has ended, and while an older key is still there, no client learns that it holds.
//!
//! Against the changes that the replay of the verified order found ([`Changes`](super::changes::Changes)):
//! - *Held*: the answer's key is there, with the lease that was asked for, at the revision of the answer.
//! - *First*: when a lock is taken, no older key is there.
//! - *Leader*: a client that learns that it leads was the oldest candidate at the answer's revision. An observer sees what that
//!   leader said.
//!
//! A replay is one of several orders that explain the answers. What it contradicts is checked once more, with the answer among
//! the others ([`facts`]). A client's answer is called wrong only if no order is left.
//!
//! Three rules about waiting hold in quiet times ([`waits`]): *Turn*, *Left*, *Heard*.
//!
//! An unlock, a resignation, a revocation, and any delete that covers the key end a hold by time, from their call on. A call
//! for a place that was given up may remove the key later, even if another call of the same lease has found it meanwhile, as
//! in etcd. So a lease with such a call is not judged by time. A lease that the checker of leases leaves alone is not judged
//! by time either. Operations that were open at a break are not judged, and nothing is compared across a break.
//!
//! The members report when a lease ended, as in the checker of leases. Sources: etcd's `server/etcdserver/api/v3lock`,
//! `client/v3/concurrency`; Kleppmann, "How to do distributed locking" (2016), for the fencing token.

mod evidence;
mod facts;
mod holds;
mod judge;
mod presence;
mod queue;
#[cfg(test)]
pub(super) mod tests;
mod waits;
#[cfg(test)]
mod waits_tests;

pub(super) use judge::{GUARANTEES, any, check, suspect, with_facts};
pub(super) use waits::GUARANTEES as WAITING;
