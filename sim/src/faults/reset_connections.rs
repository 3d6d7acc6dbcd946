//! `resetConnections`: a device on the way resets every established connection, once. New connections work at once.

use super::connections::ends_connections;
use crate::arena::ConnectionsEnd;

ends_connections! {
    /// Settings of a reset of connections.
    ResetConnections: "resetConnections", "every connection of the links is reset, once", ConnectionsEnd::Reset
}
