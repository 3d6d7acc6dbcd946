//! Compares a store's answers with those of a real etcd.
//!
//! One seed determines the operations, over every service (`draw`). Each operation is carried out on a server over the
//! store's channels (`perform`). Then its answer is made comparable: ids of members and clusters, terms, sizes, ids of
//! leases that the server chose, and tokens are replaced (`neutral`). A [`World`] holds what etcd's answers say about
//! the store, and so determines which operations make sense next. Intended differences stand in one table, each with
//! its reason ([`KNOWN`]).
//!
//! There are two uses. `store/tests/differential` sends the operations to a real etcd and to `squalld` at the same
//! time, and can write down the answers as a [`Recording`]. A [`Player`] carries out the operations of a recording
//! again, on any store, and finds the first answer that differs. With it a drill compares the simulated build with
//! etcd on machines that have no etcd (`sim/src/workload/answers.rs`).
//!
//! The crate is compiled in both builds. Time and tasks come from the store's seams, so that a simulated run of a
//! recording is as deterministic as any other.
//!
//! Left out: clusters of several members, faults, and whatever depends on real time, except the end of a lease.

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
pub use condense::messages as condensed;
pub use draw::{Drawer, Service};
pub use known::{ALONE, Alone, KNOWN, Known, LOST_DELETIONS};
pub use operation::{Call, Caller, Metadata, Operation};
pub use play::{OutOfDate, Played, Player, Restart};
pub use recording::{Delivered, Entry, Learnt, Malformed, Opening, Recording};
pub use server::{DoesNotServe, PATIENCE, Seams, Server};
pub use watching::{Received, Watching};
pub use world::{Watcher, World};
