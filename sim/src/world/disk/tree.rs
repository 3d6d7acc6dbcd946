//! The name space: directories as a reader sees them, and as they would be after a crash.
//!
//! Each directory has its live entries and its durable ones. Creates, renames and removes go to a journal, in order; a
//! sync of a directory makes durable what the journal holds for it, with everything earlier that those operations
//! build on. A crash keeps a prefix of what is left (as a journaling file system does) and forgets the rest. A rename
//! is atomic. An entry being durable says nothing of the file's bytes, nor of the entry of the directory it is in.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Component, Path},
};

use super::{Unsynced, content::Content, rows::Rows};
use crate::world::chance::Stream;

/// The number of a file, directory or engine.
pub(super) type Ino = u64;

pub(super) const ROOT: Ino = 0;

/// What an entry names.
#[derive(Debug)]
pub(super) enum Inode {
    Dir {
        live: BTreeMap<String, Ino>,
        durable: BTreeMap<String, Ino>,
    },
    File(Content),
    /// An engine looks like a directory without names.
    Engine(Rows),
}

impl Inode {
    fn dir() -> Self {
        Inode::Dir { live: BTreeMap::new(), durable: BTreeMap::new() }
    }
}

/// Entries that change together: (directory, name, what it names from then on).
#[derive(Debug, Clone)]
struct Change(Vec<(Ino, String, Option<Ino>)>);

/// The tree of a disk.
#[derive(Debug)]
pub(super) struct Tree {
    inodes: BTreeMap<Ino, Inode>,
    journal: Vec<Change>,
    next: Ino,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { inodes: BTreeMap::from([(ROOT, Inode::dir())]), journal: Vec::new(), next: 1 }
    }

    pub(super) fn inode(&self, ino: Ino) -> Option<&Inode> {
        self.inodes.get(&ino)
    }

    pub(super) fn inode_mut(&mut self, ino: Ino) -> Option<&mut Inode> {
        self.inodes.get_mut(&ino)
    }

    /// What a path names.
    pub(super) fn find(&self, path: &Path) -> Option<Ino> {
        let names = names(path).ok()?;
        names.iter().try_fold(ROOT, |dir, name| self.entries(dir)?.get(*name).copied())
    }

    /// The content of a file that is there; `NotFound` otherwise.
    pub(super) fn file(&self, path: &Path) -> io::Result<(Ino, &Content)> {
        let ino = self.find(path).ok_or_else(|| missing(path))?;
        match self.inode(ino) {
            Some(Inode::File(content)) => Ok((ino, content)),
            _ => Err(io::Error::new(io::ErrorKind::IsADirectory, path.display().to_string())),
        }
    }

    /// The names in a directory.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let ino = self.find(path).ok_or_else(|| missing(path))?;
        match self.inode(ino) {
            Some(Inode::Dir { live, .. }) => Ok(live.keys().cloned().collect()),
            Some(Inode::Engine(_)) => Ok(Vec::new()),
            _ => Err(io::Error::new(io::ErrorKind::NotADirectory, path.display().to_string())),
        }
    }

    /// Adds an inode under a path whose parent exists. `AlreadyExists` where the name is taken.
    pub(super) fn add(&mut self, path: &Path, inode: Inode) -> io::Result<Ino> {
        let (dir, name) = self.parent(path)?;
        if self.entries(dir).is_some_and(|entries| entries.contains_key(&name)) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, path.display().to_string()));
        }
        let ino = self.next;
        self.next += 1;
        self.inodes.insert(ino, inode);
        self.change(Change(vec![(dir, name, Some(ino))]));
        Ok(ino)
    }

    /// Adds the directories of a path that are missing.
    pub(super) fn add_dirs(&mut self, path: &Path) -> io::Result<()> {
        let mut at = std::path::PathBuf::new();
        for name in names(path)? {
            at.push(name);
            match self.find(&at).and_then(|ino| self.inode(ino)) {
                Some(Inode::Dir { .. }) => {}
                Some(_) => {
                    return Err(io::Error::new(io::ErrorKind::NotADirectory, at.display().to_string()));
                }
                None => {
                    self.add(&at, Inode::dir())?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let moved = self.find(from).ok_or_else(|| missing(from))?;
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        let replaced = self.find(to).and_then(|ino| self.inode(ino));
        match (replaced, self.inode(moved)) {
            (None, _) | (Some(Inode::File(_)), Some(Inode::File(_))) => {}
            (Some(Inode::Dir { live, .. }), Some(Inode::Dir { .. })) if live.is_empty() => {}
            _ => return Err(io::Error::new(io::ErrorKind::AlreadyExists, to.display().to_string())),
        }
        self.change(Change(vec![(from_dir, from_name, None), (to_dir, to_name, Some(moved))]));
        Ok(())
    }

    /// Removes a file.
    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        self.file(path)?;
        self.change(Change(vec![(dir, name, None)]));
        Ok(())
    }

    /// Removes a directory and all below it, the leaves first: a crash may leave any rest of it.
    pub(super) fn remove_all(&mut self, path: &Path) -> io::Result<()> {
        let ino = self.find(path).ok_or_else(|| missing(path))?;
        if let Some(Inode::File(_)) = self.inode(ino) {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, path.display().to_string()));
        }
        let (dir, name) = self.parent(path)?;
        self.empty(ino);
        self.change(Change(vec![(dir, name, None)]));
        Ok(())
    }

    fn empty(&mut self, dir: Ino) {
        for (name, ino) in self.entries(dir).cloned().unwrap_or_default() {
            self.empty(ino);
            self.change(Change(vec![(dir, name, None)]));
        }
    }

    /// Makes a directory's entries durable.
    pub(super) fn sync_dir(&mut self, dir: Ino) {
        let mut dirs = BTreeSet::from([dir]);
        let mut settled = vec![false; self.journal.len()];
        for (number, change) in self.journal.iter().enumerate().rev() {
            if change.0.iter().any(|(dir, ..)| dirs.contains(dir)) {
                settled[number] = true;
                dirs.extend(change.0.iter().map(|(dir, ..)| *dir));
            }
        }
        if !settled.contains(&true) {
            return;
        }
        let journal = std::mem::take(&mut self.journal);
        for (change, settled) in journal.into_iter().zip(settled) {
            if settled {
                self.record(&change);
            } else {
                self.journal.push(change);
            }
        }
        self.sweep();
    }

    /// Whether a sync of this directory would have anything to do.
    pub(super) fn is_dirty(&self, dir: Ino) -> bool {
        self.journal.iter().any(|change| change.0.iter().any(|(changed, ..)| *changed == dir))
    }

    /// The bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        let files = self.inodes.values().map(|inode| match inode {
            Inode::File(content) => content.len() as u64,
            Inode::Dir { .. } | Inode::Engine(_) => 0,
        });
        files.sum()
    }

    /// All files and engines below a path, with their own paths, sorted.
    pub(super) fn below(&self, path: &Path) -> Vec<(std::path::PathBuf, Ino)> {
        let mut found = Vec::new();
        let mut left: Vec<(std::path::PathBuf, Ino)> =
            self.find(path).map(|ino| (path.to_owned(), ino)).into_iter().collect();
        while let Some((at, ino)) = left.pop() {
            match self.inode(ino) {
                Some(Inode::Dir { live, .. }) => {
                    left.extend(live.iter().map(|(name, ino)| (at.join(name), *ino)));
                }
                Some(Inode::File(_) | Inode::Engine(_)) => found.push((at, ino)),
                None => {}
            }
        }
        found.sort();
        found
    }

    /// All inodes.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Inode> {
        self.inodes.values_mut()
    }

    /// Makes everything durable, entries and bytes: an operator's `sync`.
    pub(super) fn sync_all(&mut self) {
        for change in std::mem::take(&mut self.journal) {
            self.record(&change);
        }
        for inode in self.inodes.values_mut() {
            if let Inode::File(content) = inode {
                content.settle(content.mark());
            }
        }
        self.sweep();
    }

    /// What a reader sees of the whole tree, all of it durable.
    pub(super) fn copy(&self) -> Self {
        let inodes = self.inodes.iter().map(|(ino, inode)| {
            let copy = match inode {
                Inode::Dir { live, .. } => Inode::Dir { live: live.clone(), durable: live.clone() },
                Inode::File(content) => Inode::File(content.copy()),
                Inode::Engine(rows) => Inode::Engine(rows.copy()),
            };
            (*ino, copy)
        });
        let mut tree = Self { inodes: inodes.collect(), journal: Vec::new(), next: self.next };
        tree.sweep();
        tree
    }

    /// Calls `visit` for each inode that is there after a crash, in order; returns how many changes were undone.
    pub(super) fn crash(
        &mut self,
        unsynced: Unsynced,
        chance: &mut Stream,
        mut visit: impl FnMut(&mut Stream, &mut Inode),
    ) -> u64 {
        let journal = std::mem::take(&mut self.journal);
        let count = journal.len() as u64;
        let keep = match unsynced {
            _ if count == 0 => 0,
            Unsynced::Lost | Unsynced::NamesLost => 0,
            Unsynced::Torn => count,
            Unsynced::Drawn => match chance.within(0..3) {
                0 => count,
                1 => 0,
                _ => chance.within(0..count + 1),
            },
        };
        for change in &journal[..keep as usize] {
            self.record(change);
        }
        for inode in self.inodes.values_mut() {
            if let Inode::Dir { live, durable } = inode {
                live.clone_from(durable);
            }
        }
        self.sweep();
        for inode in self.inodes.values_mut() {
            visit(chance, inode);
        }
        count - keep
    }

    fn entries(&self, dir: Ino) -> Option<&BTreeMap<String, Ino>> {
        match self.inodes.get(&dir)? {
            Inode::Dir { live, .. } => Some(live),
            Inode::File(_) | Inode::Engine(_) => None,
        }
    }

    /// The directory that a path is in, and its name there.
    fn parent(&self, path: &Path) -> io::Result<(Ino, String)> {
        let names = names(path)?;
        let Some((name, dirs)) = names.split_last() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is the root", path.display()),
            ));
        };
        let dir = dirs.iter().try_fold(ROOT, |dir, name| self.entries(dir)?.get(*name).copied());
        match dir {
            Some(dir) if self.entries(dir).is_some() => Ok((dir, (*name).to_owned())),
            _ => Err(missing(path.parent().unwrap_or(path))),
        }
    }

    fn change(&mut self, change: Change) {
        for (dir, name, ino) in &change.0 {
            if let Some(Inode::Dir { live, .. }) = self.inodes.get_mut(dir) {
                set(live, name, *ino);
            }
        }
        self.journal.push(change);
    }

    fn record(&mut self, change: &Change) {
        for (dir, name, ino) in &change.0 {
            if let Some(Inode::Dir { durable, .. }) = self.inodes.get_mut(dir) {
                set(durable, name, *ino);
            }
        }
    }

    /// Forgets what no entry names any more, live, durable or in the journal. (A removed file that is still open is
    /// kept by nobody here: its handle then fails, where POSIX would let it go on. The store does not do that.)
    fn sweep(&mut self) {
        let mut named = BTreeSet::from([ROOT]);
        let mut left = vec![ROOT];
        left.extend(self.journal.iter().flat_map(|change| change.0.iter().filter_map(|(.., ino)| *ino)));
        while let Some(ino) = left.pop() {
            named.insert(ino);
            if let Some(Inode::Dir { live, durable }) = self.inodes.get(&ino) {
                left.extend(live.values().chain(durable.values()).filter(|ino| !named.contains(ino)));
            }
        }
        self.inodes.retain(|ino, _| named.contains(ino));
    }
}

fn set(entries: &mut BTreeMap<String, Ino>, name: &str, ino: Option<Ino>) {
    match ino {
        Some(ino) => entries.insert(name.to_owned(), ino),
        None => entries.remove(name),
    };
}

/// A path's names from the root. Relative paths start there too: a process runs in `/`.
fn names(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => match name.to_str() {
                Some(name) => names.push(name),
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        format!("{path:?} is not UTF-8"),
                    ));
                }
            },
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("{} has ..", path.display()),
                ));
            }
        }
    }
    Ok(names)
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{}: no such file or directory", path.display()))
}

#[cfg(test)]
mod tests;
