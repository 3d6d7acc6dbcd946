//! Clients that take locks and win elections, and write behind a fence while they hold.
//!
//! Each has a session: a lease that it keeps alive or does not. In a round it asks for a lock or campaigns, waits, and holds
//! for a while: it writes behind the fence (in a transaction that asks for the create revision of its key), renews its lease,
//! speaks as the leader. Then it lets go, revokes its lease, goes away without a word, or keeps what it has for another round.
//! Some calls it gives up early, so that the service has to take back a place; some holders sleep for longer than their lease
//! and go on as if nothing had been: their writes must meet the fence. Some ask for one place twice at a time; some resign
//! from an earlier candidacy after another one of the same lease has won. Others ask who leads, and follow an election.
//!
//! What a service does to the store for a request of these is in the history too, as operations that may have happened
//! ([`effects`]): the check by revisions must know who can have made a revision.

mod effects;
mod locker;
mod round;
mod wire;

pub(crate) use effects::BESIDE;
pub(super) use effects::{Effects, Unsettled};
pub(super) use locker::{Locker, TWIN};
pub(super) use wire::send;
