//! Locks and elections: one holds at a time, who has let go passes no fence, and turns are taken in order.
//!
//! Both services are one queue: whoever wants its turn puts a key of its lease below the queue's name, and has its turn once
//! no older key is there. The key's create revision is the fencing token: a write that holds only while the key has that
//! create revision is the holder's. What a client believes does not count: one that hangs for longer than its lease goes on
//! in the belief that it holds, and that is its own fault, or nobody's. So everything here is judged by what the store
//! answered.
//!
//! From the answers alone:
//! - *Alone*, by revisions: once one is told that it holds, no older key of that queue is seen any more. By time: a
//!   hold lasts from its answer for as long as the lease's last promise, or until somebody asks for anything that may end it; no
//!   two holds of one queue overlap.
//! - *Fence*: after a key was given back, or its lease has ended, nothing shows it alive: no read, and no write behind it.
//! - *Order*: an observer is told of leaders in the order of their create revisions.
//! - *First*: nobody is told that it holds once its lease has ended and while an older key is still there.
//!
//! Against the changes that the replay of the verified order found ([`Changes`](super::changes::Changes)):
//! - *Held*: the answer's key is there, with the lease that was asked for, at the revision of the answer.
//! - *First*: of a lock, no older key is there then.
//! - *Leader*: who is told to lead was the oldest candidate at the answer's revision; an observer is told what was said.
//!
//! A replay is one of several orders that explain the answers. What it contradicts is checked once more, with the answer among
//! the others ([`facts`]): only where no order is left is anybody accused.
//!
//! In quiet times nobody waits for nothing either ([`waits`]): *Turn*, *Left*, *Heard*.
//!
//! What ends a hold by time: an unlock, a resignation, a revocation, any delete that covers the key, from its call on. A call
//! for a place that was given up may remove the key later, also when another call of the same lease has found it meanwhile, as
//! in etcd; so a lease with such a call is not judged by time. Nor is one that the checker of leases leaves alone. What was
//! open at a break is not judged, and nothing is compared across one.
//!
//! When a lease ended is the members' word, as in the checker of leases. Sources: etcd's `server/etcdserver/api/v3lock`,
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
