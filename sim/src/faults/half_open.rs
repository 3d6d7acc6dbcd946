//! `halfOpen`: a device on the way (a firewall, an address translator) forgets every established connection, once.
//! Neither end is told. A sender gives up after the retransmission timeouts. An end that only listens waits for ever,
//! unless `network.keepAlive` is on. New connections work at once.

use super::connections::ends_connections;
use crate::arena::ConnectionsEnd;

ends_connections! {
    /// Settings of half-open connections.
    HalfOpen: "halfOpen", "every connection of the links ends in silence, once", ConnectionsEnd::Silence
}
