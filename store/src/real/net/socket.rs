//! Sockets, TCP's and Unix's: binding, accepting, connecting.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream},
};

use super::address::At;

/// A connection's stream of bytes, of any kind of socket.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How many connections may wait to be accepted. The system may lower it.
const BACKLOG: u32 = 1024;

/// An address that is taken. Over TCP nothing listens yet, so callers are refused: a member that starts must not keep
/// the others waiting for an answer. A Unix socket listens at once, since another process would take a file at which
/// nothing listens for one that a crash has left.
pub(super) enum Bound {
    Tcp(TcpSocket),
    Unix(std::os::unix::net::UnixListener, SocketFile),
}

impl Bound {
    /// Takes an address. Blocks while a name is looked up.
    pub fn reserve(at: &At) -> io::Result<Self> {
        match at {
            At::Tcp(host_port) => Self::first_of(host_port.to_socket_addrs()?.collect()),
            At::Unix(path) => Self::file(path),
        }
    }

    /// Takes the first address that the system gives.
    fn first_of(mut addresses: Vec<SocketAddr>) -> io::Result<Self> {
        // As in Go, a name with both kinds of addresses, such as `localhost`, means IPv4. etcd's clients dial
        // 127.0.0.1.
        addresses.sort_by_key(SocketAddr::is_ipv6);
        let mut refused = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
        for address in addresses {
            match Self::tcp(address) {
                Ok(socket) => return Ok(Bound::Tcp(socket)),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn tcp(address: SocketAddr) -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Connections of a process that has ended may linger at the address.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    }

    fn file(path: &Path) -> io::Result<Self> {
        clear(path)?;
        let socket = std::os::unix::net::UnixListener::bind(path)?;
        socket.set_nonblocking(true)?;
        Ok(Bound::Unix(socket, SocketFile(path.to_owned())))
    }

    /// Listens.
    pub fn listen(self) -> io::Result<Socket> {
        Ok(match self {
            Bound::Tcp(socket) => Socket::Tcp(socket.listen(BACKLOG)?),
            Bound::Unix(socket, file) => Socket::Unix(UnixListener::from_std(socket)?, file),
        })
    }
}

/// A listening socket.
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Socket {
    pub async fn bind(at: &At) -> io::Result<Self> {
        match at {
            At::Tcp(host_port) => {
                Bound::first_of(tokio::net::lookup_host(host_port).await?.collect())?.listen()
            }
            At::Unix(path) => Bound::file(path)?.listen(),
        }
    }

    /// The address that it is bound to.
    pub fn local(&self) -> io::Result<At> {
        Ok(match self {
            Socket::Tcp(socket) => At::Tcp(socket.local_addr()?.to_string()),
            Socket::Unix(_, file) => At::Unix(file.0.clone()),
        })
    }

    /// The next connection, and the address that it comes from. Cancel safe.
    pub async fn accept(&self) -> io::Result<(Box<dyn Io>, Option<IpAddr>)> {
        match self {
            Socket::Tcp(socket) => {
                let (stream, from) = socket.accept().await?;
                Ok((tuned(stream), Some(from.ip())))
            }
            Socket::Unix(socket, _) => Ok((Box::new(socket.accept().await?.0), None)),
        }
    }
}

/// Connects.
pub(super) async fn connect(at: &At) -> io::Result<Box<dyn Io>> {
    match at {
        At::Tcp(host_port) => Ok(tuned(TcpStream::connect(host_port).await?)),
        At::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
    }
}

fn tuned(stream: TcpStream) -> Box<dyn Io> {
    // Small messages must not wait for more data (Nagle). A socket that refuses the option is only slower.
    _ = stream.set_nodelay(true);
    Box::new(stream)
}

/// A Unix socket's file, which is removed with the socket.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

/// Removes the socket file that a dead process has left. A file at which a process listens stays, and so does a file
/// that is no socket.
fn clear(path: &Path) -> io::Result<()> {
    let left = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if left {
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sockets_file_is_left_by_a_crash_and_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let at = At::Unix(path.clone());
        // A process that is killed closes its socket and leaves the file.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = Socket::bind(&at).await.unwrap();
        let taken = Socket::bind(&at).await.err().expect("taken").kind();
        assert_eq!(taken, io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists(), "a stopped member's socket is left");
        let reserved = Bound::reserve(&at).unwrap();
        let taken = Socket::bind(&at).await.err().expect("reserved").kind();
        assert_eq!(taken, io::ErrorKind::AddrInUse);
        drop(reserved.listen().unwrap());
        fs::write(&path, "somebody's").unwrap();
        assert!(Socket::bind(&at).await.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's");
    }

    #[tokio::test]
    async fn a_reserved_port_refuses_callers_until_it_listens() {
        let Bound::Tcp(free) = Bound::reserve(&At::Tcp("localhost:0".into())).unwrap() else {
            panic!("a file")
        };
        let address = free.local_addr().unwrap();
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let listening = Bound::Tcp(free).listen().unwrap();
        TcpStream::connect(address).await.expect("a connection");
        let taken = Bound::reserve(&At::Tcp(address.to_string())).err().expect("taken");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(listening);
    }
}
