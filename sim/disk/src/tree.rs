//! The namespace: directories as a reader sees them, and as they would be after a crash.
//!
//! Each directory has its live entries and its durable ones. Creates, renames and removes go to a journal, in order. A
//! sync of a directory makes durable the journal's operations on it, with every earlier operation that they build on.
//! A crash keeps a prefix of the remaining journal (as a journaling file system does) and forgets the rest. A rename
//! is atomic. A durable entry implies neither that the file's bytes are durable nor that its directory's own entry is.
//!
//! POSIX promises no more, and the store is tested with this. The file systems that real servers run on (ext4, XFS,
//! btrfs) also make a file's own name and its directories durable when the file is synced, and real servers rely on
//! that: [`Tree::sync_name`].

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    io,
    path::{Component, Path, PathBuf},
};

use rand::Rng;

use crate::{Content, Unsynced};

/// The inode number of a file, directory or engine.
pub type Ino = u64;

/// The root directory's inode number.
pub const ROOT: Ino = 0;

/// What an engine's inode holds. The tree only copies it.
pub trait EngineContent {
    /// A copy of the content that a reader sees, all of it durable.
    fn copy(&self) -> Self;
}

/// The content of a tree that has no engines.
impl EngineContent for Infallible {
    fn copy(&self) -> Self {
        match *self {}
    }
}

/// The object that an entry names.
#[derive(Debug, Clone)]
pub enum Inode<E> {
    /// A directory.
    Dir {
        /// Its entries, as a reader sees them.
        live: BTreeMap<String, Ino>,
        /// Its entries, as they are durable.
        durable: BTreeMap<String, Ino>,
    },
    /// A file.
    File(Content),
    /// An engine looks like a directory without names.
    Engine(E),
}

impl<E> Inode<E> {
    /// An empty directory.
    pub fn dir() -> Self {
        Inode::Dir { live: BTreeMap::new(), durable: BTreeMap::new() }
    }
}

/// Entries that change together: (directory, name, the inode that it names from then on).
#[derive(Debug, Clone)]
struct Change(Vec<(Ino, String, Option<Ino>)>);

/// The tree of a disk, whose engines hold an `E`. A clone has the same names and bytes durable and the same pending;
/// [`Tree::copy`] makes all of them durable.
#[derive(Debug, Clone)]
pub struct Tree<E> {
    inodes: BTreeMap<Ino, Inode<E>>,
    journal: Vec<Change>,
    next: Ino,
    /// How often each file is open in processes that may use it even after its name was removed. A crash does not
    /// clear this: the files that a dead process had open are released later.
    held: BTreeMap<Ino, u64>,
}

impl<E> Default for Tree<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Tree<E> {
    /// An empty tree.
    pub fn new() -> Self {
        let inodes = BTreeMap::from([(ROOT, Inode::dir())]);
        Self { inodes, journal: Vec::new(), next: 1, held: BTreeMap::new() }
    }

    /// An inode.
    pub fn inode(&self, ino: Ino) -> Option<&Inode<E>> {
        self.inodes.get(&ino)
    }

    /// An inode, to change it.
    pub fn inode_mut(&mut self, ino: Ino) -> Option<&mut Inode<E>> {
        self.inodes.get_mut(&ino)
    }

    /// The bytes of a file; `NotFound` if there is no such file.
    pub fn content_mut(&mut self, ino: Ino) -> io::Result<&mut Content> {
        match self.inode_mut(ino) {
            Some(Inode::File(content)) => Ok(content),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The inode that a path names.
    pub fn find(&self, path: &Path) -> Option<Ino> {
        let names = names(path).ok()?;
        names.iter().try_fold(ROOT, |dir, name| self.entries(dir)?.get(*name).copied())
    }

    /// The content of a file; `NotFound` if it does not exist.
    pub fn file(&self, path: &Path) -> io::Result<(Ino, &Content)> {
        let ino = self.find(path).ok_or_else(|| missing(path))?;
        match self.inode(ino) {
            Some(Inode::File(content)) => Ok((ino, content)),
            _ => Err(io::Error::new(io::ErrorKind::IsADirectory, path.display().to_string())),
        }
    }

    /// The names in a directory.
    pub fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let ino = self.find(path).ok_or_else(|| missing(path))?;
        match self.inode(ino) {
            Some(Inode::Dir { live, .. }) => Ok(live.keys().cloned().collect()),
            Some(Inode::Engine(_)) => Ok(Vec::new()),
            _ => Err(io::Error::new(io::ErrorKind::NotADirectory, path.display().to_string())),
        }
    }

    /// Adds an inode under a path whose parent exists. `AlreadyExists` if the name is taken.
    pub fn add(&mut self, path: &Path, inode: Inode<E>) -> io::Result<Ino> {
        let (dir, name) = self.parent(path)?;
        if self.entries(dir).is_some_and(|entries| entries.contains_key(&name)) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, path.display().to_string()));
        }
        self.add_to(dir, &name, inode)
    }

    /// Adds an inode to a directory. `AlreadyExists` if the name is taken.
    pub fn add_to(&mut self, dir: Ino, name: &str, inode: Inode<E>) -> io::Result<Ino> {
        if self.entries_of(dir)?.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, name.to_owned()));
        }
        let ino = self.next;
        self.next += 1;
        self.inodes.insert(ino, inode);
        self.change(Change(vec![(dir, name.to_owned(), Some(ino))]));
        Ok(ino)
    }

    /// Adds the missing directories of a path.
    pub fn add_dirs(&mut self, path: &Path) -> io::Result<()> {
        let mut at = PathBuf::new();
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

    /// Renames a file or directory.
    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.find(from).ok_or_else(|| missing(from))?;
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        self.rename_in((from_dir, &from_name), (to_dir, &to_name))
    }

    /// Moves an entry to another name or directory.
    pub fn rename_in(&mut self, from: (Ino, &str), to: (Ino, &str)) -> io::Result<()> {
        let moved = *self.entries_of(from.0)?.get(from.1).ok_or_else(|| missing(Path::new(from.1)))?;
        let replaced = self.entries_of(to.0)?.get(to.1).copied();
        if replaced == Some(moved) {
            return Ok(());
        }
        match (replaced.and_then(|ino| self.inode(ino)), self.inode(moved)) {
            (None, _) | (Some(Inode::File(_)), Some(Inode::File(_))) => {}
            (Some(Inode::Dir { live, .. }), Some(Inode::Dir { .. })) if live.is_empty() => {}
            _ => return Err(io::Error::new(io::ErrorKind::AlreadyExists, to.1.to_owned())),
        }
        self.change(Change(vec![(from.0, from.1.to_owned(), None), (to.0, to.1.to_owned(), Some(moved))]));
        Ok(())
    }

    /// Removes a file.
    pub fn remove(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        self.file(path)?;
        self.change(Change(vec![(dir, name, None)]));
        Ok(())
    }

    /// Removes an entry from a directory: a file's, or an empty directory's.
    pub fn remove_from(&mut self, dir: Ino, name: &str, is_dir: bool) -> io::Result<()> {
        let ino = *self.entries_of(dir)?.get(name).ok_or_else(|| missing(Path::new(name)))?;
        let refused = match self.inode(ino) {
            Some(Inode::Dir { live, .. }) if is_dir && live.is_empty() => None,
            Some(Inode::Dir { .. }) if is_dir => Some(io::ErrorKind::DirectoryNotEmpty),
            Some(Inode::Dir { .. }) => Some(io::ErrorKind::IsADirectory),
            _ if is_dir => Some(io::ErrorKind::NotADirectory),
            _ => None,
        };
        if let Some(kind) = refused {
            return Err(io::Error::new(kind, name.to_owned()));
        }
        self.change(Change(vec![(dir, name.to_owned(), None)]));
        Ok(())
    }

    /// Removes a directory and its content, the leaves first. A crash in between may leave a part of it.
    pub fn remove_all(&mut self, path: &Path) -> io::Result<()> {
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
    pub fn sync_dir(&mut self, dir: Ino) {
        self.settle(BTreeSet::from([dir]), &BTreeSet::new());
    }

    /// Makes the names of a file or directory durable, and those of the directories above it.
    pub fn sync_name(&mut self, ino: Ino) {
        if self.journal.is_empty() {
            return;
        }
        let mut named = BTreeSet::from([ino]);
        loop {
            let holds = |inode: &Inode<E>| match inode {
                Inode::Dir { live, .. } => live.values().any(|ino| named.contains(ino)),
                Inode::File(_) | Inode::Engine(_) => false,
            };
            let above = self.inodes.iter().filter(|(ino, inode)| !named.contains(ino) && holds(inode));
            let above: Vec<Ino> = above.map(|(ino, _)| *ino).collect();
            if above.is_empty() {
                break;
            }
            named.extend(above);
        }
        self.settle(BTreeSet::new(), &named);
    }

    /// Makes durable the changes of these directories and those that name one of `named`, with every earlier change
    /// that they build on.
    fn settle(&mut self, mut dirs: BTreeSet<Ino>, named: &BTreeSet<Ino>) {
        let mut settled = vec![false; self.journal.len()];
        for (number, change) in self.journal.iter().enumerate().rev() {
            let names = |ino: &Option<Ino>| ino.is_some_and(|ino| named.contains(&ino));
            if change.0.iter().any(|(dir, _, ino)| dirs.contains(dir) || names(ino)) {
                settled[number] = true;
                dirs.extend(change.0.iter().map(|(dir, ..)| *dir));
            }
        }
        self.settle_these(&settled);
    }

    /// Makes durable, in any order, each change for which `keep` is true, with the earlier ones of the same names that
    /// it builds on. A journaling file system does not do so: its crash keeps a prefix. POSIX allows it, so a crash may
    /// be made worse by this.
    pub fn sync_some(&mut self, mut keep: impl FnMut() -> bool) {
        let mut settled = vec![false; self.journal.len()];
        let mut names = BTreeSet::new();
        for (number, change) in self.journal.iter().enumerate().rev() {
            let mut entries = change.0.iter().map(|(dir, name, _)| (*dir, name.as_str()));
            if keep() || entries.any(|entry| names.contains(&entry)) {
                settled[number] = true;
                names.extend(change.0.iter().map(|(dir, name, _)| (*dir, name.as_str())));
            }
        }
        self.settle_these(&settled);
    }

    /// Makes these changes of the journal durable.
    fn settle_these(&mut self, settled: &[bool]) {
        if !settled.contains(&true) {
            return;
        }
        let journal = std::mem::take(&mut self.journal);
        for (change, settled) in journal.into_iter().zip(settled) {
            if *settled {
                self.record(&change);
            } else {
                self.journal.push(change);
            }
        }
        self.sweep();
    }

    /// Keeps a file that a process has open, even without a name, until it is released as often as it was held.
    pub fn hold(&mut self, ino: Ino) {
        *self.held.entry(ino).or_default() += 1;
    }

    /// Ends a hold.
    pub fn release(&mut self, ino: Ino) {
        let Some(holds) = self.held.get_mut(&ino) else { return };
        *holds -= 1;
        if *holds == 0 {
            self.held.remove(&ino);
            self.sweep();
        }
    }

    /// Whether this directory has changes to sync.
    pub fn is_dirty(&self, dir: Ino) -> bool {
        self.journal.iter().any(|change| change.0.iter().any(|(changed, ..)| *changed == dir))
    }

    /// The total length of all files, in bytes.
    pub fn bytes(&self) -> u64 {
        let files = self.inodes.values().map(|inode| match inode {
            Inode::File(content) => content.len() as u64,
            Inode::Dir { .. } | Inode::Engine(_) => 0,
        });
        files.sum()
    }

    /// All files and engines below a path, with their own paths, sorted.
    pub fn below(&self, path: &Path) -> Vec<(PathBuf, Ino)> {
        let mut found = Vec::new();
        let mut left: Vec<(PathBuf, Ino)> =
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
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Inode<E>> {
        self.inodes.values_mut()
    }

    /// Makes everything durable, entries and bytes: an operator's `sync`.
    pub fn sync_all(&mut self) {
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

    /// Applies a crash. Calls `visit` for each inode that is left, in order; returns how many changes were undone.
    pub fn crash<R: Rng>(
        &mut self,
        unsynced: Unsynced,
        chance: &mut R,
        mut visit: impl FnMut(&mut R, &mut Inode<E>),
    ) -> u64 {
        let journal = std::mem::take(&mut self.journal);
        let count = journal.len() as u64;
        let keep = match unsynced {
            _ if count == 0 => 0,
            Unsynced::Lost | Unsynced::NamesLost => 0,
            Unsynced::Torn => count,
            Unsynced::Drawn => match chance.gen_range(0..3_u64) {
                0 => count,
                1 => 0,
                _ => chance.gen_range(0..count + 1),
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
        let held = std::mem::take(&mut self.held);
        self.sweep();
        self.held = held;
        for inode in self.inodes.values_mut() {
            visit(chance, inode);
        }
        count - keep
    }

    /// The entries of a directory.
    pub fn entries_of(&self, dir: Ino) -> io::Result<&BTreeMap<String, Ino>> {
        self.entries(dir).ok_or_else(|| io::ErrorKind::NotADirectory.into())
    }

    fn entries(&self, dir: Ino) -> Option<&BTreeMap<String, Ino>> {
        match self.inodes.get(&dir)? {
            Inode::Dir { live, .. } => Some(live),
            Inode::File(_) | Inode::Engine(_) => None,
        }
    }

    /// The directory that holds a path, and the path's last name.
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

    /// Forgets inodes that no entry names (live, durable or in the journal) and that are not held. (The simulated
    /// store holds none. So a handle of a removed file fails, while POSIX would let it work. The store uses no such
    /// handle.)
    fn sweep(&mut self) {
        let mut named = BTreeSet::from([ROOT]);
        let mut left = vec![ROOT];
        left.extend(self.held.keys());
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

impl<E: EngineContent> Tree<E> {
    /// A copy of the tree that a reader sees, all of it durable.
    pub fn copy(&self) -> Self {
        let inodes = self.inodes.iter().map(|(ino, inode)| {
            let copy = match inode {
                Inode::Dir { live, .. } => Inode::Dir { live: live.clone(), durable: live.clone() },
                Inode::File(content) => Inode::File(content.copy()),
                Inode::Engine(rows) => Inode::Engine(rows.copy()),
            };
            (*ino, copy)
        });
        let inodes = inodes.collect();
        let mut tree = Self { inodes, journal: Vec::new(), next: self.next, held: BTreeMap::new() };
        tree.sweep();
        tree
    }

    /// Replaces everything with an image. Inode numbers are never reused: a kernel may remember them.
    pub fn put(&mut self, image: &Self) {
        let old = std::mem::replace(self, image.copy());
        (self.next, self.held) = (self.next.max(old.next), old.held);
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
