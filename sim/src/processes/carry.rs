//! Carries a connection's bytes over the two links between its ends.
//!
//! A device on the way may also end a connection: with a reset at both ends, or in silence. In silence nothing arrives
//! any more, and neither end gets a reset.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
};

use bytes::Bytes;
use system_tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio::sync::{Notify, mpsc};

use super::links::{Fate, Link, Links, lock};
use crate::arena::{ConnectionsEnd, NodeId};

/// How many segments a link takes from one connection before its sender has to wait: with [`SEGMENT`], two megabytes.
const QUEUE: usize = 128;
const SEGMENT: usize = 16 * 1024;

const OPEN: u8 = 0;
const RESET: u8 = 1;
const SILENT: u8 = 2;

/// A connection between two machines.
pub(super) struct Connection {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    ended: AtomicU8,
    changed: Notify,
}

/// The established connections. Clones share one list.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Mutex<Vec<Arc<Connection>>>>);

/// One end of a connection: a socket, or a pipe inside this process.
pub(super) trait End: AsyncRead + AsyncWrite + Unpin + Send {
    /// The socket, whose other side gets a reset when this end is dropped.
    fn socket(&self) -> Option<BorrowedFd<'_>>;
}

impl End for TcpStream {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

impl End for system_tokio::io::DuplexStream {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl Connections {
    pub(super) fn open(&self, from: NodeId, to: NodeId) -> Arc<Connection> {
        let connection =
            Arc::new(Connection { from, to, ended: AtomicU8::new(OPEN), changed: Notify::new() });
        lock(&self.0).push(connection.clone());
        connection
    }

    /// Ends those that `which` picks. Answers how many there were.
    pub(super) fn end(&self, how: ConnectionsEnd, which: impl Fn(&Connection) -> bool) -> u64 {
        let standing = lock(&self.0).clone();
        let how = match how {
            ConnectionsEnd::Reset => RESET,
            ConnectionsEnd::Silence => SILENT,
        };
        let ended = standing.iter().filter(|connection| which(connection)).filter(|connection| {
            let ended = connection.turn(OPEN, how);
            connection.changed.notify_waiters();
            ended
        });
        ended.count() as u64
    }

    /// Resets the silently ended connections that `which` picks: their machine has power again and does not know them.
    pub(super) fn reset_silent(&self, which: impl Fn(&Connection) -> bool) {
        for connection in lock(&self.0).clone().iter().filter(|connection| which(connection)) {
            connection.turn(SILENT, RESET);
            connection.changed.notify_waiters();
        }
    }

    fn forget(&self, connection: &Arc<Connection>) {
        lock(&self.0).retain(|other| !Arc::ptr_eq(other, connection));
    }
}

impl Connection {
    /// Whether the machine is one of its ends.
    pub(super) fn touches(&self, node: NodeId) -> bool {
        self.from == node || self.to == node
    }

    fn turn(&self, from: u8, to: u8) -> bool {
        self.ended.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    async fn reset(&self) {
        loop {
            let changed = self.changed.notified();
            if self.ended.load(Ordering::Relaxed) == RESET {
                return;
            }
            changed.await;
        }
    }

    /// Completes at once, or never if the connection has ended in silence.
    async fn speaks(&self) {
        if self.ended.load(Ordering::Relaxed) == SILENT {
            std::future::pending::<()>().await;
        }
    }
}

/// Carries bytes between `near`, at the connection's `from`, and `far`, at its `to`, both ways, until both have closed
/// or the connection is reset.
pub(super) async fn carry(
    links: &Links,
    connections: &Connections,
    connection: Arc<Connection>,
    mut near: impl End,
    mut far: impl End,
) {
    let there = links.between(connection.from, connection.to);
    let back = links.between(connection.to, connection.from);
    let ended = {
        let (near_reads, near_writes) = system_tokio::io::split(&mut near);
        let (far_reads, far_writes) = system_tokio::io::split(&mut far);
        let both = async {
            tokio::try_join!(
                one_way(&connection, &there, &back, near_reads, far_writes),
                one_way(&connection, &back, &there, far_reads, near_writes),
            )
        };
        tokio::select! {
            biased;
            () = connection.reset() => Err(io::ErrorKind::ConnectionReset.into()),
            ended = both => ended.map(|_| ()),
        }
    };
    connections.forget(&connection);
    if ended.is_err() {
        [near.socket(), far.socket()].into_iter().flatten().for_each(reset_when_closed);
    }
}

/// An item that is in flight.
enum Segment {
    Bytes(Bytes),
    /// Its sender has closed its direction.
    End,
    /// Its sender is gone.
    Gone,
}

async fn one_way(
    connection: &Connection,
    link: &Link,
    back: &Link,
    reads: impl AsyncRead + Unpin,
    writes: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let (enter, leave) = mpsc::channel(QUEUE);
    let out = async {
        let given = give_out(connection, link, leave, writes).await;
        if given.is_err() {
            // The receiver is gone. Its reset travels over the link in the other direction.
            back.pass_request().await;
            connection.speaks().await;
        }
        given
    };
    tokio::try_join!(take_in(connection, link, reads, enter), out)?;
    Ok(())
}

async fn take_in(
    connection: &Connection,
    link: &Link,
    mut reads: impl AsyncRead + Unpin,
    enter: mpsc::Sender<(Segment, Fate)>,
) -> io::Result<()> {
    let mut buffer = vec![0; SEGMENT];
    loop {
        let (segment, bytes) = match reads.read(&mut buffer).await {
            Ok(0) => (Segment::End, 0),
            Ok(read) => (Segment::Bytes(Bytes::copy_from_slice(&buffer[..read])), read),
            Err(_) => (Segment::Gone, 0),
        };
        connection.speaks().await;
        let fate = link.enter(bytes);
        if fate.resets {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if enter.send((segment, fate)).await.is_err() || bytes == 0 {
            return Ok(());
        }
    }
}

async fn give_out(
    connection: &Connection,
    link: &Link,
    mut leave: mpsc::Receiver<(Segment, Fate)>,
    mut writes: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    while let Some((segment, mut fate)) = leave.recv().await {
        link.pass(&mut fate).await;
        connection.speaks().await;
        match segment {
            Segment::Bytes(bytes) => writes.write_all(&bytes).await?,
            Segment::End => writes.shutdown().await?,
            Segment::Gone => return Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
    Ok(())
}

/// Makes a later close of the socket reset its connection.
fn reset_when_closed(socket: BorrowedFd<'_>) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the descriptor is open for as long as it is borrowed, and the pointer and the length are those of a
    // value that lives through the call.
    let _refused = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
}
