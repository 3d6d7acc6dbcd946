//! Leases on the running member: when they expire, and which member decides that.
//!
//! The state machine knows which leases there are (`squall_core::Leases`). It has no clock. The clock is the leader's: it
//! counts each lease down on its own monotonic clock, renews it when a client asks, and proposes its revocation once the
//! time is over (`lessor`, `node::leases`). All other members keep no time at all.
//!
//! # Why no lease ends early
//! - A revocation is appended by the leader to its own log, in its own term, or not at all: it is never forwarded
//!   and never waits for a later leader. So it can be committed only before the next leader's first entry. That
//!   leader renews no lease before it has applied its first entry (etcd asks for a proof of leadership instead,
//!   #15247).
//! - A new leader knows no renewals. It gives every lease its whole time again, or the time left at the last
//!   checkpoint, plus an election time-out: the old leader may have renewed leases up to the moment at which it lost
//!   its quorum.
//! - A renewal is answered only after the member has proven, with a ReadIndex that began after the request came, that it
//!   still leads (`keeper`). The lease is looked up after that proof, so no revoked lease is renewed (etcd #20547).
//!
//! # Why no lease lives much too long
//! From time to time a checkpoint records in the log how much time is left. So a series of new leaders does not
//! restart a lease's whole time again and again (etcd #9888). A renewal first takes back the lease's checkpoint,
//! also one that is in the log and not applied yet. A revocation that raft does not take, or that is not applied
//! within the request time-out, is proposed again (etcd #10686).
//!
//! Expiries that pile up at a promotion are spread over time (`lessor`), and the revocations of one tick are limited.

mod keeper;
mod lessor;

pub(crate) use keeper::Keeper;
pub(crate) use lessor::{Lessor, Renewal};

use std::time::Duration;

use crate::Config;

/// The most revocations that a leader proposes in a second (etcd's `leaseRevokeRate`).
pub(crate) const REVOKES_PER_SECOND: u32 = 1_000;
/// The most leases in one checkpoint entry (etcd's `maxLeaseCheckpointBatchSize`).
pub(crate) const CHECKPOINTS_PER_ENTRY: usize = 1_000;

/// The least time to live that a lease may have: one and a half election time-outs, rounded up to whole seconds
/// (etcd's `minLeaseTTL`).
pub(crate) fn least_ttl_secs(config: &Config) -> i64 {
    let ticks = (3 * config.election_ticks() / 2) as u32;
    let least: Duration = config.heartbeat_interval * ticks;
    least.as_nanos().div_ceil(1_000_000_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_time_to_live_is_etcds() {
        let of = |heartbeat, election| {
            let (heartbeat, election) = (Duration::from_millis(heartbeat), Duration::from_millis(election));
            least_ttl_secs(&Config {
                heartbeat_interval: heartbeat,
                election_timeout: election,
                ..Config::default()
            })
        };
        assert_eq!([of(100, 1000), of(10, 100), of(500, 2500), of(100, 2000)], [2, 1, 4, 3]);
    }
}
