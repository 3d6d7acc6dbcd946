//! Which names survive a crash.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

type Tree = super::Tree<Infallible>;

fn file() -> Inode<Infallible> {
    Inode::File(Content::default())
}

/// The distinct sets of paths that crashes leave, over many seeds.
fn outcomes(make: impl Fn() -> Tree) -> BTreeSet<Vec<String>> {
    (0..60)
        .map(|seed| {
            let mut tree = make();
            tree.crash(Unsynced::Drawn, &mut ChaCha8Rng::seed_from_u64(seed), |_, _| ());
            paths(&tree, ROOT, "")
        })
        .collect()
}

fn paths(tree: &Tree, dir: Ino, prefix: &str) -> Vec<String> {
    let entries = tree.entries(dir).cloned().unwrap_or_default();
    let mut all = Vec::new();
    for (name, ino) in entries {
        let path = format!("{prefix}/{name}");
        all.push(path.clone());
        all.extend(paths(tree, ino, &path));
    }
    all
}

fn set_of(outcomes: &[&[&str]]) -> BTreeSet<Vec<String>> {
    outcomes.iter().map(|paths| paths.iter().map(|path| (*path).to_owned()).collect()).collect()
}

#[test]
fn unsynced_entries_survive_as_a_prefix() {
    let make = || {
        let mut tree = Tree::new();
        tree.add_dirs(Path::new("/d")).unwrap();
        tree.sync_dir(ROOT);
        tree.add(Path::new("/d/1"), file()).unwrap();
        tree.add(Path::new("/d/2"), file()).unwrap();
        tree.remove(Path::new("/d/1")).unwrap();
        tree
    };
    let expected = set_of(&[&["/d"], &["/d", "/d/1"], &["/d", "/d/1", "/d/2"], &["/d", "/d/2"]]);
    assert_eq!(outcomes(make), expected);
}

/// Of two files, one made and one renamed, each may survive without the other; a rename stays atomic and needs the
/// file that it renames.
#[test]
fn entries_that_are_synced_in_any_order_take_along_what_they_build_on() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut tree = Tree::new();
        tree.add(Path::new("/tmp"), file()).unwrap();
        tree.add(Path::new("/other"), file()).unwrap();
        tree.rename(Path::new("/tmp"), Path::new("/final")).unwrap();
        tree.sync_some(|| random.gen_bool(0.5));
        tree.crash(Unsynced::Lost, &mut random, |_, _| ());
        outcomes.insert(paths(&tree, ROOT, ""));
    }
    let expected =
        set_of(&[&[], &["/tmp"], &["/other"], &["/other", "/tmp"], &["/final"], &["/final", "/other"]]);
    assert_eq!(outcomes, expected);
}

#[test]
fn a_synced_rename_takes_its_past_along_and_leaves_other_directories_alone() {
    let make = || {
        let mut tree = Tree::new();
        for dir in ["/a", "/b", "/c"] {
            tree.add_dirs(Path::new(dir)).unwrap();
        }
        tree.sync_dir(ROOT);
        tree.add(Path::new("/a/tmp"), file()).unwrap();
        tree.add(Path::new("/c/x"), file()).unwrap();
        tree.rename(Path::new("/a/tmp"), Path::new("/b/final")).unwrap();
        let b = tree.find(Path::new("/b")).unwrap();
        tree.sync_dir(b);
        tree
    };
    let expected = set_of(&[&["/a", "/b", "/b/final", "/c"], &["/a", "/b", "/b/final", "/c", "/c/x"]]);
    assert_eq!(outcomes(make), expected);
}

#[test]
fn a_durable_entry_needs_a_durable_parent() {
    let make = || {
        let mut tree = Tree::new();
        tree.add_dirs(Path::new("/new")).unwrap();
        tree.add(Path::new("/new/file"), file()).unwrap();
        let new = tree.find(Path::new("/new")).unwrap();
        tree.sync_dir(new);
        tree
    };
    assert_eq!(outcomes(make), set_of(&[&[], &["/new", "/new/file"]]));
}

#[test]
fn what_nobody_names_is_forgotten() {
    let mut tree = Tree::new();
    for round in 0..100 {
        tree.add_dirs(Path::new("/d/e")).unwrap();
        tree.add(Path::new("/d/e/f"), file()).unwrap();
        tree.remove_all(Path::new("/d")).unwrap();
        tree.sync_dir(ROOT);
        if round % 10 == 0 {
            tree.sync_all();
        }
    }
    tree.sync_all();
    assert_eq!(tree.inodes.len(), 1);
}

#[test]
fn refusals_name_their_kind() {
    let mut tree = Tree::new();
    tree.add_dirs(Path::new("/d/sub")).unwrap();
    tree.add(Path::new("/d/f"), file()).unwrap();
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(tree.add(Path::new("d/f"), file()).map(drop)), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(tree.add(Path::new("/no/f"), file()).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(tree.add_dirs(Path::new("/d/f/x"))), io::ErrorKind::NotADirectory);
    assert_eq!(kind(tree.remove(Path::new("/d/none"))), io::ErrorKind::NotFound);
    assert_eq!(kind(tree.remove(Path::new("/d/sub"))), io::ErrorKind::IsADirectory);
    assert_eq!(kind(tree.remove_all(Path::new("/d/f"))), io::ErrorKind::NotADirectory);
    assert_eq!(kind(tree.rename(Path::new("/d/f"), Path::new("/d/sub"))), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(tree.list(Path::new("/e")).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(tree.add(Path::new("/../x"), file()).map(drop)), io::ErrorKind::InvalidInput);
}
