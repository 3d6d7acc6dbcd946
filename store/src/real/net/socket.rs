//! Sockets, TCP's and Unix's: binding, accepting, connecting.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

use super::address::At;

/// A connection's stream of bytes, of any kind of socket.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A listening socket.
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Socket {
    pub async fn bind(at: &At) -> io::Result<Self> {
        match at {
            At::Tcp(host_port) => {
                // As in Go, a name with both kinds of addresses, such as `localhost`, means IPv4. etcd's clients
                // dial 127.0.0.1.
                let mut addresses: Vec<_> = tokio::net::lookup_host(host_port).await?.collect();
                addresses.sort_by_key(SocketAddr::is_ipv6);
                Ok(Socket::Tcp(TcpListener::bind(&addresses[..]).await?))
            }
            At::Unix(path) => {
                clear(path)?;
                Ok(Socket::Unix(UnixListener::bind(path)?, SocketFile(path.clone())))
            }
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
        fs::write(&path, "somebody's").unwrap();
        assert!(Socket::bind(&at).await.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's");
    }
}
