//! The seams: everything that the store needs from the world it runs in.
//!
//! Time, chance and I/O reach the store only through these small traits. Each has a real side (`crate::real`, built
//! into `squalld`) and a simulated side (the `squall` crate's world); nothing else differs between the two builds.
//! What a side must promise is written at its trait and proven by one conformance suite that runs over every side
//! (`seam::conformance`).
//!
//! Chance has three sources: [`Secrets`], for salts and tokens; raft-rs's election time-out, which draws from
//! `rand::thread_rng` (the simulation gives each process its own generator there); and the order of branches that
//! are ready together ([`first_of`]).

mod clock;
#[cfg(any(madsim, test))]
pub mod conformance;
mod engine;
mod files;
mod framing;
mod net;
mod points;
mod probe;
mod secrets;
mod tasks;

use std::sync::Arc;

pub use clock::{Clock, Elapsed, Monotonic, Ticker, timeout};
pub use engine::{Engine, EngineError, Engines, View};
pub use files::{DirLock, File, Files};
pub use framing::{Framing, MessageLimit};
pub use net::{
    Audience, BoxError, CertificateName, Channel, DEFAULT_STREAM_WINDOW, DialOptions, GrpcRequest,
    GrpcResponse, Listener, Net, Router, grpc_timeout, is_grpc,
};
#[cfg(madsim)]
pub use points::OnPoint;
pub use points::{Point, Points};
pub use probe::{Probe, ProbeEvent, Role};
pub use secrets::{Secrets, SignedTokens};
pub use tasks::{Task, Tasks, first_of, panic_text, yield_once};

/// A boxed future, as the seams' traits return it: they are used as trait objects.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One member's world: a handle to each seam. Cheap to clone.
#[derive(Clone)]
pub struct Env {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Listening and dialling.
    pub net: Arc<dyn Net>,
    /// Files: WAL and snapshots.
    pub files: Arc<dyn Files>,
    /// Opens the sorted key space that holds the state machine's durable copy.
    pub engines: Arc<dyn Engines>,
    /// Spawning, so that a panic stops the member and not the process that simulates five of them.
    pub tasks: Arc<dyn Tasks>,
    /// Where the member reports what an observer cannot see from outside: roles, applied entries, segment cuts.
    pub probe: Arc<dyn Probe>,
    /// Named points at which the simulated world can crash, stall or fail the member.
    pub points: Points,
    /// Salts and tokens.
    pub secrets: Arc<dyn Secrets>,
}
