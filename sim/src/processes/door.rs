//! A member's door: the address that it advertises to other members, at which this process listens, so that each pair of
//! members has its own link.
//!
//! All members see the same address. Who knocks, the kernel tells: `/proc/net/tcp` names the inode of the socket at the
//! other end, and one of the members' processes has it open (`/proc/PID/fd`). A caller that cannot be found, since it has
//! gone again, is turned away.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use system_tokio::net::{TcpListener, TcpStream};

use super::{arena::Ground, carry::carry};
use crate::arena::NodeId;

/// Receives the callers of `to` at its door and connects them to where it really listens.
pub(super) async fn attend(ground: Ground, to: NodeId, door: TcpListener, behind: SocketAddr) {
    loop {
        match door.accept().await {
            Ok((socket, caller)) => {
                system_tokio::spawn(receive(ground.clone(), to, socket, caller, behind));
            }
            // No descriptors are left, or the caller has gone.
            Err(_) => system_tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn receive(ground: Ground, to: NodeId, socket: TcpStream, caller: SocketAddr, behind: SocketAddr) {
    let Ok(door) = socket.local_addr() else { return };
    let Some(from) = who(&ground, caller, door) else { return };
    let links = ground.links();
    links.between(from, to).pass_request().await;
    ground.powered(to).await;
    let connected = TcpStream::connect(behind).await;
    links.between(to, from).pass_request().await;
    // Where nobody listens the caller is turned away.
    let Ok(inner) = connected else { return };
    for socket in [&socket, &inner] {
        _ = socket.set_nodelay(true);
    }
    let connection = ground.connections().open(from, to);
    carry(links, ground.connections(), connection, socket, inner).await;
}

/// The member whose process has the socket at `caller`, connected to `door`.
fn who(ground: &Ground, caller: SocketAddr, door: SocketAddr) -> Option<NodeId> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = inode_of(&table, v4(caller)?, v4(door)?)?;
    let wanted = format!("socket:[{inode}]");
    ground.processes().into_iter().find_map(|(node, pid)| has_open(pid, &wanted).ok()?.then_some(node))
}

fn v4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    }
}

/// The inode of the socket between two addresses, in the kernel's table: `sl local remote state … inode`.
fn inode_of(table: &str, local: SocketAddrV4, remote: SocketAddrV4) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (one, other) = (fields.nth(1)?, fields.next()?);
        let inode = fields.nth(6)?.parse().ok()?;
        (address(one)? == local && address(other)? == remote).then_some(inode)
    })
}

/// `0100007F:094C`: the address's bytes as this machine keeps a number, and the port.
fn address(text: &str) -> Option<SocketAddrV4> {
    let (host, port) = text.split_once(':')?;
    let host = u32::from_str_radix(host, 16).ok()?.to_ne_bytes();
    Some(SocketAddrV4::new(Ipv4Addr::from(host), u16::from_str_radix(port, 16).ok()?))
}

fn has_open(pid: libc::pid_t, wanted: &str) -> io::Result<bool> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A descriptor may be closed meanwhile.
        if fs::read_link(entry?.path()).is_ok_and(|link| link.as_os_str() == wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_of_a_socket_is_found_in_the_kernels_table_and_among_a_processs_files() {
        let door = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = door.local_addr().expect("its address");
        let dialled = std::net::TcpStream::connect(at).expect("it is accepted");
        let (_accepted, caller) = door.accept().expect("it dials");
        assert_eq!(caller, dialled.local_addr().expect("its address"));
        let table = fs::read_to_string("/proc/net/tcp").expect("the table");
        let (caller, at) = (v4(caller).expect("v4"), v4(at).expect("v4"));
        let inode = inode_of(&table, caller, at).expect("the socket is in the table");
        let here = libc::pid_t::try_from(std::process::id()).expect("a process id");
        let wanted = format!("socket:[{inode}]");
        assert!(has_open(here, &wanted).expect("its files"));
        drop(dialled);
        assert!(!has_open(here, &wanted).expect("its files"));
    }
}
