//! Finds the process whose socket is at the other end of a connection inside this machine.
//!
//! It asks the kernel by netlink (`sock_diag(7)`) for the one socket between two addresses, which takes microseconds.
//! `/proc/net/tcp` gives the same answer but walks over all of the kernel's sockets (20 ms, measured), which would
//! block the doors of a starting cluster for seconds. So it is read only if the kernel does not support netlink's
//! request. The answer is the socket's inode; the process that has it open is found in `/proc/PID/fd`.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// The inode's offset in the answer: after `nlmsghdr` and the rest of `inet_diag_msg`.
const INODE_AT: usize = 16 + 68;

/// The inode of the socket at `local` that is connected to `remote`.
pub(super) fn inode(local: SocketAddrV4, remote: SocketAddrV4) -> Option<u64> {
    match asked(local, remote) {
        Ok(inode) => inode,
        Err(_) => inode_in(&fs::read_to_string("/proc/net/tcp").ok()?, local, remote),
    }
}

/// Whether a process has the socket of this inode open.
pub(super) fn has_open(pid: libc::pid_t, inode: u64) -> io::Result<bool> {
    let wanted = format!("socket:[{inode}]");
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A descriptor may be closed meanwhile.
        if fs::read_link(entry?.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Asks the kernel by netlink. `None` if there is no such socket.
fn asked(local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<Option<u64>> {
    // SAFETY: plain system calls; the descriptor is a new one, and the buffers live through the calls with their
    // lengths.
    let (answer, length) = unsafe {
        let socket =
            libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_SOCK_DIAG);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        let socket = OwnedFd::from_raw_fd(socket);
        let request = request(local, remote);
        let sent = libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0);
        let mut answer = [0_u8; 512];
        let got = match sent {
            ..0 => sent,
            _ => libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0),
        };
        match usize::try_from(got) {
            Ok(length) => (answer, length),
            Err(_) => return Err(io::Error::last_os_error()),
        }
    };
    let number = |at: usize| answer[..length].get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let kind = answer[4..6].try_into().map(u16::from_ne_bytes).unwrap_or_default();
    match (kind, number(16).map(|code| code.cast_signed().wrapping_neg())) {
        (BY_FAMILY, _) => Ok(number(INODE_AT).map(u64::from)),
        // An error: no such socket, or a kernel that does not support the request.
        (_, Some(libc::ENOENT)) if length > 0 => Ok(None),
        (_, code) => Err(io::Error::from_raw_os_error(code.unwrap_or(libc::EIO))),
    }
}

/// `nlmsghdr` and `inet_diag_req_v2` for one TCP socket in any state.
fn request(local: SocketAddrV4, remote: SocketAddrV4) -> Vec<u8> {
    let mut request = Vec::with_capacity(72);
    request.extend(72_u32.to_ne_bytes());
    request.extend(BY_FAMILY.to_ne_bytes());
    request.extend(u16::try_from(libc::NLM_F_REQUEST).unwrap_or(1).to_ne_bytes());
    request.extend([1_u32, 0].map(u32::to_ne_bytes).concat());
    request.extend([libc::AF_INET.to_ne_bytes()[0], libc::IPPROTO_TCP.to_ne_bytes()[0], 0, 0]);
    request.extend(u32::MAX.to_ne_bytes());
    request.extend([local.port(), remote.port()].map(u16::to_be_bytes).concat());
    for address in [local.ip(), remote.ip()] {
        request.extend(address.octets());
        request.extend([0; 12]);
    }
    // Any interface; no cookie.
    request.extend([0; 4]);
    request.extend([0xff; 8]);
    request
}

/// The inode from the kernel's table, whose lines are `sl local remote state … inode`.
fn inode_in(table: &str, local: SocketAddrV4, remote: SocketAddrV4) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (one, other) = (fields.nth(1)?, fields.next()?);
        let inode = fields.nth(6)?.parse().ok()?;
        (address(one)? == local && address(other)? == remote).then_some(inode)
    })
}

/// Parses `0100007F:094C`: the address's bytes in this machine's byte order, and the port.
fn address(text: &str) -> Option<SocketAddrV4> {
    let (host, port) = text.split_once(':')?;
    let host = u32::from_str_radix(host, 16).ok()?.to_ne_bytes();
    Some(SocketAddrV4::new(Ipv4Addr::from(host), u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn v4(address: io::Result<SocketAddr>) -> SocketAddrV4 {
        match address.expect("an address") {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(address) => panic!("{address}"),
        }
    }

    #[test]
    fn the_other_end_of_a_socket_is_found_either_way_and_among_a_processs_files() {
        let door = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = v4(door.local_addr());
        let dialled = std::net::TcpStream::connect(at).expect("it is accepted");
        let (_accepted, _) = door.accept().expect("it dials");
        let caller = v4(dialled.local_addr());
        let table = fs::read_to_string("/proc/net/tcp").expect("the table");
        let found = inode_in(&table, caller, at).expect("the socket is in the table");
        assert_eq!(inode(caller, at), Some(found));
        if let Ok(asked) = asked(caller, at) {
            assert_eq!(asked, Some(found), "both ways say the same");
        }
        let here = libc::pid_t::try_from(std::process::id()).expect("a process id");
        assert!(has_open(here, found).expect("its files"));
        drop(dialled);
        assert!(!has_open(here, found).expect("its files"));
        let nobody = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
        assert_eq!(inode(nobody, at), None);
    }
}
