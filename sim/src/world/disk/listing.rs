//! A listing of a disk at one instant, for people: names, sizes, and how much a crash could lose.

use serde::Serialize;
use squall_disk::{Ino, ROOT};

use super::{Inode, Tree};

/// A file or an engine on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its path.
    pub path: String,
    /// Its size as a reader sees it: a file's bytes, or an engine's number of rows.
    pub size: u64,
    /// How many of its bytes are not durable yet.
    pub pending: u64,
    /// Whether its name would survive a crash.
    pub name_is_durable: bool,
    /// Whether it is an engine.
    pub engine: bool,
}

/// Everything in a tree, by path.
pub(super) fn listing(tree: &Tree) -> Vec<Listed> {
    let mut found = Vec::new();
    walk(tree, ROOT, "", true, &mut found);
    found
}

fn walk(tree: &Tree, dir: Ino, path: &str, dir_is_durable: bool, found: &mut Vec<Listed>) {
    let Some(Inode::Dir { live, durable }) = tree.inode(dir) else { return };
    for (name, ino) in live {
        let path = format!("{path}/{name}");
        let name_is_durable = dir_is_durable && durable.get(name) == Some(ino);
        match tree.inode(*ino) {
            Some(Inode::Dir { .. }) => walk(tree, *ino, &path, name_is_durable, found),
            Some(Inode::File(content)) => found.push(Listed {
                path,
                size: content.len() as u64,
                pending: content.unsynced() as u64,
                name_is_durable,
                engine: false,
            }),
            Some(Inode::Engine(rows)) => found.push(Listed {
                path,
                size: rows.rows().len() as u64,
                pending: rows.unsynced() as u64,
                name_is_durable,
                engine: true,
            }),
            None => {}
        }
    }
}
