//! `halfOpen`: something on the way (a firewall, an address translator) forgets every connection that stands, once. Neither
//! end is told. Whoever sends gives up after the retransmission time-outs; whoever only listens waits for ever, unless
//! `network.keepAlive` asks. New connections work at once.

use super::connections::ends_connections;
use crate::arena::ConnectionsEnd;

ends_connections! {
    /// Settings of half-open connections.
    HalfOpen: "halfOpen", "every connection of the links ends in silence, once", ConnectionsEnd::Silence
}
