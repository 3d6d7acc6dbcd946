//! The kernel's requests to a mounted disk. The thread that reads a request also answers it, and may wait. There are
//! as many threads as operations that can wait at the same time.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::drive::Drive;
use crate::{
    processes::links::lock,
    world::{DiskNode as Node, DiskState, DiskWork, Ino},
};

/// The kernel must cache neither names nor sizes: both may change without its requests.
const NEVER: Duration = Duration::ZERO;

/// The size in bytes that a disk reports if no fault fills it.
const LARGE: u64 = 1 << 40;

const BLOCK: u32 = 4096;

/// The names that an open directory had when it was opened.
type Listing = Arc<Vec<(String, Node)>>;

/// A disk as a file system.
pub(super) struct Mountable {
    drive: Arc<Drive>,
    listings: Mutex<BTreeMap<u64, Listing>>,
    next: AtomicU64,
}

impl Mountable {
    pub(super) fn new(drive: Arc<Drive>) -> Self {
        Self { drive, listings: Mutex::default(), next: AtomicU64::new(1) }
    }
}

/// The disk's inode number for the kernel's. The kernel's root is 1.
fn number(ino: INodeNo) -> Ino {
    ino.0 - 1
}

fn name(name: &OsStr) -> io::Result<&str> {
    name.to_str().ok_or_else(|| io::Error::from_raw_os_error(libc::EILSEQ))
}

fn attributes(node: Node) -> FileAttr {
    let (kind, perm, nlink) =
        if node.is_dir { (FileType::Directory, 0o700, 2) } else { (FileType::RegularFile, 0o600, 1) };
    // SAFETY: plain system calls.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let never = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(node.ino + 1),
        size: node.len,
        blocks: node.stored.div_ceil(512),
        atime: never,
        mtime: never,
        ctime: never,
        crtime: never,
        kind,
        perm,
        nlink,
        uid,
        gid,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

fn code(error: &io::Error) -> Errno {
    Errno::from_i32(error.raw_os_error().unwrap_or(match error.kind() {
        io::ErrorKind::NotFound => libc::ENOENT,
        io::ErrorKind::AlreadyExists => libc::EEXIST,
        io::ErrorKind::NotADirectory => libc::ENOTDIR,
        io::ErrorKind::IsADirectory => libc::EISDIR,
        io::ErrorKind::DirectoryNotEmpty => libc::ENOTEMPTY,
        io::ErrorKind::InvalidInput => libc::EINVAL,
        _ => libc::EIO,
    }))
}

/// Answers with what was asked for, or with the error.
macro_rules! answer {
    ($reply:ident, $result:expr, $value:pat => $good:expr) => {
        match $result {
            Ok($value) => $good,
            Err(error) => $reply.error(code(&error)),
        }
    };
}

impl Filesystem for Mountable {
    fn lookup(&self, _request: &Request, parent: INodeNo, wanted: &OsStr, reply: ReplyEntry) {
        let found = name(wanted).and_then(|name| self.drive.known(|disk| disk.lookup(number(parent), name)));
        answer!(reply, found, node => reply.entry(&NEVER, &attributes(node), Generation(0)));
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.drive.known(|disk| disk.node(number(ino)));
        answer!(reply, found, node => reply.attr(&NEVER, &attributes(node)));
    }

    fn setattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let ino = number(ino);
        let done = match size {
            None => self.drive.known(|disk| disk.node(ino)),
            Some(size) => self.drive.operate(DiskWork::Write, |disk| {
                disk.set_len(ino, size)?;
                disk.node(ino)
            }),
        };
        answer!(reply, done, node => reply.attr(&NEVER, &attributes(node)));
    }

    fn mkdir(
        &self,
        _request: &Request,
        parent: INodeNo,
        wanted: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let made = name(wanted).and_then(|name| {
            self.drive.operate(DiskWork::Write, |disk| disk.make(number(parent), name, true))
        });
        answer!(reply, made, node => reply.entry(&NEVER, &attributes(node), Generation(0)));
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, wanted: &OsStr, reply: ReplyEmpty) {
        let done = name(wanted).and_then(|name| {
            self.drive.operate(DiskWork::Write, |disk| disk.remove(number(parent), name, false))
        });
        answer!(reply, done, () => reply.ok());
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, wanted: &OsStr, reply: ReplyEmpty) {
        let done = name(wanted).and_then(|name| {
            self.drive.operate(DiskWork::Write, |disk| disk.remove(number(parent), name, true))
        });
        answer!(reply, done, () => reply.ok());
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        old: &OsStr,
        new_parent: INodeNo,
        new: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (from, to) = (number(parent), number(new_parent));
        let rename = || -> io::Result<()> {
            let (old, new) = (name(old)?, name(new)?);
            if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            self.drive.operate(DiskWork::Write, |disk| {
                if flags.contains(RenameFlags::RENAME_NOREPLACE) && disk.lookup(to, new).is_ok() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                disk.rename((from, old), (to, new))
            })
        };
        answer!(reply, rename(), () => reply.ok());
    }

    fn open(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        // Without FOPEN_KEEP_CACHE the kernel drops the file's cached pages.
        answer!(reply, self.drive.open(number(ino)), () => reply.opened(FileHandle(0), FopenFlags::empty()));
    }

    fn create(
        &self,
        _request: &Request,
        parent: INodeNo,
        wanted: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = name(wanted).and_then(|name| self.drive.create(number(parent), name));
        answer!(reply, made, node => {
            reply.created(&NEVER, &attributes(node), Generation(0), FileHandle(0), FopenFlags::empty());
        });
    }

    fn release(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.drive.known(|disk| disk.release(number(ino)));
        reply.ok();
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read =
            self.drive.operate(DiskWork::Read, |disk| disk.read_at(number(ino), offset, size as usize));
        answer!(reply, read, bytes => reply.data(&bytes));
    }

    fn write(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let write = |disk: &mut DiskState, begun| disk.write_at(number(ino), offset, data, begun);
        let written = self.drive.operate_or_fail(DiskWork::Write, write);
        answer!(reply, written, count => reply.written(u32::try_from(count).expect("a request's size")));
    }

    fn fallocate(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let ino = number(ino);
        let allocated = match mode {
            0 => self.drive.operate(DiskWork::Write, |disk| {
                let len = disk.node(ino)?.len;
                disk.set_len(ino, len.max(offset + length))
            }),
            _ => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
        };
        answer!(reply, allocated, () => reply.ok());
    }

    fn fsync(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        answer!(reply, self.drive.sync(number(ino)), () => reply.ok());
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        answer!(reply, self.drive.sync(number(ino)), () => reply.ok());
    }

    fn opendir(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let listed = self.drive.operate(DiskWork::Read, |disk| disk.names(number(ino)));
        answer!(reply, listed, names => {
            let handle = self.next.fetch_add(1, Ordering::Relaxed);
            lock(&self.listings).insert(handle, Arc::new(names));
            reply.opened(FileHandle(handle), FopenFlags::empty());
        });
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listing = lock(&self.listings).get(&handle.0).cloned().unwrap_or_default();
        let dots = [(ino, FileType::Directory, "."), (ino, FileType::Directory, "..")];
        let names = listing.iter().map(|(name, node)| {
            let kind = if node.is_dir { FileType::Directory } else { FileType::RegularFile };
            (INodeNo(node.ino + 1), kind, name.as_str())
        });
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, (ino, kind, name)) in dots.into_iter().chain(names).enumerate().skip(from) {
            if reply.add(ino, place as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        lock(&self.listings).remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let free = self.drive.known(|disk| disk.free_bytes());
        let free = free.unwrap_or(LARGE / 2) / u64::from(BLOCK);
        reply.statfs(LARGE / u64::from(BLOCK), free, free, 1 << 20, 1 << 20, BLOCK, 255, BLOCK);
    }
}
