//! A member's door: the address that it advertises to other members. This process listens there, so that each pair of
//! members has its own link.
//!
//! All members dial the same address. The kernel shows which member has connected ([`super::peer`]): the socket at the
//! other end is open in that member's process. If no such process is found, because it has ended, the door closes the
//! connection.

use std::{net::SocketAddr, time::Duration};

use system_tokio::net::{TcpListener, TcpStream};

use super::{arena::Ground, carry::carry, peer};
use crate::arena::NodeId;

/// Accepts connections at the door of `to` and connects them to `behind`, where the member really listens.
pub(super) async fn attend(ground: Ground, to: NodeId, door: TcpListener, behind: SocketAddr) {
    loop {
        match door.accept().await {
            Ok((socket, caller)) => {
                system_tokio::spawn(receive(ground.clone(), to, socket, caller, behind));
            }
            // No descriptors are left, or the caller is gone.
            Err(_) => system_tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn receive(ground: Ground, to: NodeId, socket: TcpStream, caller: SocketAddr, behind: SocketAddr) {
    let Ok(door) = socket.local_addr() else { return };
    let asked = ground.clone();
    let found = system_tokio::task::spawn_blocking(move || member_at(&asked, caller, door)).await;
    let Ok(Some(from)) = found else { return };
    let links = ground.links();
    links.between(from, to).pass_request().await;
    ground.powered(to).await;
    let connected = TcpStream::connect(behind).await;
    links.between(to, from).pass_request().await;
    // If the member does not listen, the caller's connection is closed.
    let Ok(inner) = connected else { return };
    for socket in [&socket, &inner] {
        _ = socket.set_nodelay(true);
    }
    let connection = ground.connections().open(from, to);
    carry(links, ground.connections(), connection, socket, inner).await;
}

/// The member whose process has the socket at `caller`, connected to `door`.
fn member_at(ground: &Ground, caller: SocketAddr, door: SocketAddr) -> Option<NodeId> {
    let (SocketAddr::V4(caller), SocketAddr::V4(door)) = (caller, door) else { return None };
    let inode = peer::inode(caller, door)?;
    ground.processes().into_iter().find_map(|(node, pid)| peer::has_open(pid, inode).ok()?.then_some(node))
}
