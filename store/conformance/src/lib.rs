//! What etcd answers, as something that a store can be held to.
//!
//! One seed decides which operations there are, over every service (`draw`). Each is carried out on a server over the
//! store's channels (`perform`), and its answer is made comparable first: ids of members and clusters, terms, sizes, ids of
//! leases that the server chose, tokens (`neutral`). A [`World`] knows of the store what etcd's answers said, and so decides
//! what is worth asking next. The differences that are meant stand in one table, each with its reason ([`KNOWN`]).
//!
//! Two things are made of it. `store/tests/differential` sends the operations to a real etcd and to `squalld`, at the same
//! time, and can note what was answered: a [`Recording`]. And a [`Player`] carries the operations of a recording out again, on
//! any store, and tells the first answer that differs; so the simulated build is held to what etcd said, by a drill, on
//! machines that have no etcd (`sim/src/workload/answers.rs`).
//!
//! The crate is compiled in both builds. Time and tasks come from the store's seams, so that a simulated run of a recording is
//! as deterministic as any other.
//!
//! Left out: clusters of several members, faults, and what depends on real time beyond the end of a lease.

mod answer;
mod compare;
mod condense;
mod draw;
mod known;
mod neutral;
mod operation;
mod perform;
mod play;
mod recording;
mod server;
mod watching;
mod world;

pub use answer::{Answer, NO_ID, Refused};
pub use compare::{Difference, answers as compare_answers};
pub use condense::message as condensed;
pub use draw::{Drawer, Service};
pub use known::{ALONE, Alone, KNOWN, Known, LOST_DELETIONS};
pub use operation::{Call, Caller, Metadata, Operation};
pub use play::{OutOfDate, Played, Player, Restart};
pub use recording::{ALL as RECORDINGS, Entry, Learnt, Malformed, Opening, Recording, Told};
pub use server::{DoesNotServe, PATIENCE, Seams, Server};
pub use watching::{Received, Watching};
pub use world::{LOCKS, Watcher, World};
