//! The network: named nodes, links between them, and our gRPC channel over simulated TCP connections.
//!
//! [`core`] is the state machine that decides what arrives when; [`mux`], [`pump`], [`wire`], [`client`] and [`server`]
//! are the gRPC channel on top of it. Only bytes pass between nodes. Hosts are node names: `m1:2379`.

mod client;
mod core;
mod mux;
mod pump;
mod server;
mod wire;

use std::{io, sync::Arc};

use squall_store::seam::{BoxFuture, Channel, DialOptions, Listener, Net, Router};

pub(crate) use self::core::{Core, Flap, Loss, Narrow};
pub use self::{
    client::NeverSent,
    core::{Distribution, Latency, LossShows, Settings},
};
use super::tasks::SimTasks;

/// A process's access to the network.
pub(crate) struct SimNet {
    pub(crate) tasks: Arc<SimTasks>,
}

impl Net for SimNet {
    fn listen<'a>(
        &'a self,
        address: &'a str,
        router: Router,
    ) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            if !self.tasks.life.alive() {
                return std::future::pending().await;
            }
            let (host, port) = split_address(address).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("{address} is not host:port"))
            })?;
            let own = self.tasks.life.node.name();
            if host != own && host != "0.0.0.0" {
                let message = format!("{address} is not an address of {own}");
                return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message));
            }
            match server::SimListener::open(self.tasks.clone(), own, port, router) {
                Some(listener) => Ok(Box::new(listener) as Box<dyn Listener>),
                None => Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{address} is in use"))),
            }
        })
    }

    fn dial(&self, address: &str, options: DialOptions) -> Channel {
        Channel::new(client::SimChannel::new(self.tasks.clone(), address, options))
    }
}

fn split_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}
