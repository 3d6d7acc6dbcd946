//! A client's channel in this arena: its connection runs over the links between its machine and the member's.
//!
//! A call for which no connection was made certainly did not happen, and its status says so ([`NeverSent`]).

use std::{io, sync::Arc};

use http::uri::{Authority, Scheme};
use squall_store::system::Dial;
use system_tokio::{
    io::{DuplexStream, duplex},
    net::TcpStream,
};
use tonic::Status;

use super::{arena::Ground, carry::carry};
use crate::{arena::NodeId, world::NeverSent};

/// The size in bytes of the pipe between hyper and the link.
const PIPE: usize = 64 * 1024;

/// Connects one machine to members' addresses.
pub(super) struct OverLinks {
    pub(super) ground: Ground,
    pub(super) from: NodeId,
    pub(super) address: String,
}

impl Dial for OverLinks {
    type Socket = DuplexStream;

    async fn dial(&self) -> io::Result<DuplexStream> {
        let Some((to, address)) = self.ground.resolve(&self.address) else {
            return Err(io::Error::other("no member is there"));
        };
        let links = self.ground.links();
        links.between(self.from, to).pass_request().await;
        // A machine without power answers nothing.
        self.ground.powered(to).await;
        let socket = TcpStream::connect(address).await;
        links.between(to, self.from).pass_request().await;
        let socket = socket?;
        _ = socket.set_nodelay(true);
        let (ours, theirs) = duplex(PIPE);
        let connection = self.ground.connections().open(self.from, to);
        let (links, connections) = (links.clone(), self.ground.connections().clone());
        system_tokio::spawn(async move { carry(&links, &connections, connection, theirs, socket).await });
        Ok(ours)
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    fn origin(&self) -> (Scheme, Option<Authority>) {
        (Scheme::HTTP, self.address.parse().ok())
    }

    fn not_connected(&self, why: String) -> Status {
        let mut status = Status::unavailable(why);
        status.set_source(Arc::new(NeverSent));
        status
    }
}
