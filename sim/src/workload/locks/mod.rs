//! Clients that take locks and win elections, and write behind a fence while they hold.
//!
//! Each has a session: a lease, which it keeps alive or not. In a round it asks for a lock or campaigns, waits, and holds
//! for a while. As the holder it writes behind the fence (in a transaction that compares the create revision of its key),
//! renews its lease, and proclaims values as the leader. Then it releases the lock, revokes its lease, stops without any
//! request, or keeps what it has for another round. It gives up some calls early, so that the service has to take back a
//! place. Some holders sleep for longer than their lease and then continue: the fence must stop their writes. Some ask for
//! one place twice at the same time. Some resign from an earlier candidacy after another one of the same lease has won.
//! Others ask who leads, or follow an election.
//!
//! The effects of such a request on the store are in the history too, as operations that may have happened ([`effects`]),
//! because the check by revisions must know which operations can have made a revision.

mod effects;
mod locker;
mod round;
mod wire;

pub(crate) use effects::BESIDE;
pub(super) use effects::{Effects, Unsettled};
pub(super) use locker::{Locker, TWIN};
pub(super) use wire::send;
