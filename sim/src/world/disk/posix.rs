//! The disk's interface for a kernel: files and directories by their inode numbers, one operation at a time, with
//! POSIX's errors. Nothing here waits; the caller has waited before (`processes::disk::drive`).
//!
//! Links, owners, permissions and times are left out, since no server uses them.

use std::{io, path::Path, time::Duration};

use bytes::Bytes;
use squall_disk::{Content, Ino};

use super::{
    Inode,
    state::{State, Synced},
};
use crate::world::node::At;

/// The attributes of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its inode number.
    pub(crate) ino: Ino,
    /// Whether it is a directory.
    pub(crate) is_dir: bool,
    /// Its length in bytes.
    pub(crate) len: u64,
    /// How many of its bytes take room on the disk.
    pub(crate) stored: u64,
}

/// A sync under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnderWay {
    ino: Ino,
    mark: u64,
    number: u64,
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

impl State {
    /// A file or directory.
    pub(crate) fn node(&self, ino: Ino) -> io::Result<Node> {
        match self.tree.inode(ino) {
            Some(Inode::File(content)) => {
                let (len, stored) = (content.len() as u64, content.stored() as u64);
                Ok(Node { ino, is_dir: false, len, stored })
            }
            Some(Inode::Dir { .. } | Inode::Engine(_)) => Ok(Node { ino, is_dir: true, len: 0, stored: 0 }),
            None => Err(errno(libc::ENOENT)),
        }
    }

    /// The entry of a directory with this name.
    pub(crate) fn lookup(&self, dir: Ino, name: &str) -> io::Result<Node> {
        self.node(*self.tree.entries_of(dir)?.get(name).ok_or_else(|| errno(libc::ENOENT))?)
    }

    /// All entries of a directory.
    pub(crate) fn names(&self, dir: Ino) -> io::Result<Vec<(String, Node)>> {
        let entries = self.tree.entries_of(dir)?.iter();
        entries.map(|(name, ino)| Ok((name.clone(), self.node(*ino)?))).collect()
    }

    /// Makes an empty file or directory.
    pub(crate) fn make(&mut self, dir: Ino, name: &str, is_dir: bool) -> io::Result<Node> {
        self.need_room(0)?;
        let inode = if is_dir { Inode::dir() } else { Inode::File(Content::default()) };
        let ino = self.tree.add_to(dir, name, inode)?;
        self.node(ino)
    }

    /// Removes a file's name or an empty directory.
    pub(crate) fn remove(&mut self, dir: Ino, name: &str, is_dir: bool) -> io::Result<()> {
        self.tree.remove_from(dir, name, is_dir)
    }

    /// Renames a directory entry, also to another directory.
    pub(crate) fn rename(&mut self, from: (Ino, &str), to: (Ino, &str)) -> io::Result<()> {
        self.tree.rename_in(from, to)
    }

    /// A process opens the file. It may use the file even after its name was removed.
    pub(crate) fn hold(&mut self, ino: Ino) {
        self.tree.hold(ino);
    }

    /// A process closes the file.
    pub(crate) fn release(&mut self, ino: Ino) {
        self.tree.release(ino);
    }

    /// Up to `len` bytes from `at`.
    pub(crate) fn read_at(&mut self, ino: Ino, at: u64, len: usize) -> io::Result<Bytes> {
        Ok(self.content(ino)?.read(place(at), len))
    }

    /// Writes. If only a part fits, that part is written. `begun` is an error if a fault makes the write fail.
    pub(crate) fn write_at(
        &mut self,
        ino: Ino,
        at: u64,
        data: &[u8],
        begun: io::Result<()>,
    ) -> io::Result<usize> {
        let fails = begun.is_err();
        let (count, done) = self.write(ino, Some(place(at)), data, begun)?;
        if fails || count == 0 {
            done?;
        }
        Ok(count)
    }

    /// Makes a file longer or shorter.
    pub(crate) fn set_len(&mut self, ino: Ino, len: u64) -> io::Result<()> {
        let grows = len.saturating_sub(self.content(ino)?.len() as u64);
        if grows > 0 {
            self.need_room(grows)?;
        }
        let content = self.content(ino)?;
        content.truncate(place(len));
        content.extend(place(len));
        Ok(())
    }

    /// How many bytes are free, if a fault limits them.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let limit = self.full.iter().min()?;
        Some(limit.saturating_sub(self.tree.bytes()))
    }

    // ---- how long operations take

    /// Whether the disk is stalled, so that every operation waits.
    pub(crate) fn is_stalled(&self) -> bool {
        !self.stalls.is_empty()
    }

    /// Counts an operation that waits for the end of the stalls.
    pub(crate) fn stalls_bite(&self) {
        self.stalls.bite();
    }

    /// Begins an operation that is no sync. Answers its draw, the argument of [`Self::work_takes`].
    pub(crate) fn begin_work(&mut self) -> u32 {
        self.pace.begin_work()
    }

    /// How long an operation with this draw takes at the disk's present pace.
    pub(crate) fn work_takes(&self, draw: u32) -> Duration {
        self.pace.work_takes(draw)
    }

    /// Begins to sync a file or directory.
    pub(crate) fn begin_sync(&mut self, now: At, ino: Ino) -> UnderWay {
        let (mark, bytes) = match self.content(ino) {
            Ok(content) => (content.mark(), content.unsynced()),
            Err(_) => (0, 0),
        };
        UnderWay { ino, mark, number: self.give_sync(now, bytes) }
    }

    /// When a sync will be done; `None` if it is done.
    pub(crate) fn sync_due(&self, sync: UnderWay) -> Option<At> {
        self.pace.sync_due(sync.number)
    }

    /// Ends a sync after its time. A file's bytes and name become durable, or a directory's entries and name.
    pub(crate) fn end_sync(&mut self, sync: UnderWay) -> io::Result<()> {
        let is_dir = self.node(sync.ino)?.is_dir;
        let synced =
            if is_dir { self.finish_dir_sync(sync.ino)? } else { self.finish_sync(sync.ino, sync.mark)? };
        match synced {
            Synced::Durable => self.tree.sync_name(sync.ino),
            Synced::Promised if is_dir => {}
            Synced::Promised => self.promise_name(sync.ino),
        }
        Ok(())
    }

    /// Creates the missing directories of a path, durably.
    pub(crate) fn make_dirs(&mut self, path: &Path) -> io::Result<()> {
        self.tree.add_dirs(path)?;
        if let Some(ino) = self.tree.find(path) {
            self.tree.sync_name(ino);
        }
        Ok(())
    }
}

fn place(at: u64) -> usize {
    usize::try_from(at).expect("a 64-bit machine")
}

#[cfg(test)]
mod tests {
    use squall_disk::{ROOT, Unsynced};

    use super::*;
    use crate::world::{Chance, DiskSettings};

    fn disk() -> State {
        State::new(DiskSettings::default(), &Chance::root(1))
    }

    fn sync(state: &mut State, ino: Ino) {
        let sync = state.begin_sync(At::default(), ino);
        state.end_sync(sync).expect("nothing fails");
    }

    #[test]
    fn a_synced_file_keeps_its_name_and_the_folders_it_is_in() {
        let mut state = disk();
        let outer = state.make(ROOT, "outer", true).unwrap().ino;
        let inner = state.make(outer, "inner", true).unwrap().ino;
        let file = state.make(inner, "file", false).unwrap().ino;
        state.write_at(file, 0, b"hello", Ok(())).unwrap();
        sync(&mut state, file);
        let late = state.make(inner, "late", false).unwrap().ino;
        state.write_at(late, 0, b"hello", Ok(())).unwrap();
        state.rename((inner, "file"), (outer, "renamed")).unwrap();
        state.crash(Unsynced::Lost);
        assert_eq!(
            state.lookup(inner, "file").unwrap(),
            Node { ino: file, is_dir: false, len: 5, stored: 5 }
        );
        assert_eq!(state.names(inner).unwrap().len(), 1, "what was not synced is gone");
        state.rename((inner, "file"), (outer, "renamed")).unwrap();
        sync(&mut state, outer);
        state.crash(Unsynced::Lost);
        assert!(state.lookup(inner, "file").is_err() && state.lookup(outer, "renamed").is_ok());
    }

    #[test]
    fn an_open_file_outlives_its_name_and_not_a_power_failure() {
        let mut state = disk();
        let file = state.make(ROOT, "file", false).unwrap().ino;
        state.hold(file);
        state.write_at(file, 0, b"hello", Ok(())).unwrap();
        state.remove(ROOT, "file", false).unwrap();
        sync(&mut state, ROOT);
        assert_eq!(&state.read_at(file, 1, 9).unwrap()[..], b"ello");
        state.crash(Unsynced::Torn);
        assert!(state.node(file).is_err());
        state.release(file);
    }

    #[test]
    fn names_are_refused_as_posix_refuses_them() {
        let mut state = disk();
        let dir = state.make(ROOT, "dir", true).unwrap().ino;
        state.make(dir, "file", false).unwrap();
        let kind = |result: io::Result<()>| result.map_err(|error| error.kind());
        assert_eq!(kind(state.remove(ROOT, "dir", true)), Err(io::ErrorKind::DirectoryNotEmpty));
        assert_eq!(kind(state.remove(ROOT, "dir", false)), Err(io::ErrorKind::IsADirectory));
        assert_eq!(kind(state.remove(dir, "file", true)), Err(io::ErrorKind::NotADirectory));
        assert_eq!(kind(state.remove(dir, "none", false)), Err(io::ErrorKind::NotFound));
        let again = state.make(dir, "file", false).map(|_| ());
        assert_eq!(kind(again), Err(io::ErrorKind::AlreadyExists));
    }
}
