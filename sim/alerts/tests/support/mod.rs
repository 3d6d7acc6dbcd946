//! promtool, and chance for the tests against it.
#![allow(clippy::disallowed_methods, reason = "the tests run another program")]

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// promtool: where SQUALL_PROMTOOL says, or where `.ci/tool.sh promtool` has put it. `None` where there is none, said
/// loudly.
///
/// # Panics
/// Where there is none, and SQUALL_REQUIRE_PROMTOOL is 1.
pub fn promtool() -> Option<PathBuf> {
    let named = env::var_os("SQUALL_PROMTOOL").filter(|path| !path.is_empty()).map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let installed = || {
        let entries = fs::read_dir(root.join(".venv")).ok()?;
        let tools = entries.filter_map(|entry| Some(entry.ok()?.path().join("usr/bin/promtool")));
        tools.filter(|path| path.is_file()).max()
    };
    if let Some(path) = named.or_else(installed) {
        return Some(path);
    }
    let what =
        "no promtool: SQUALL_PROMTOOL is not set and .venv holds none (.ci/tool.sh promtool installs it)";
    assert!(env::var("SQUALL_REQUIRE_PROMTOOL").as_deref() != Ok("1"), "{what}");
    // Written past the test runner's capture: a skipped test must not look like a passed one.
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    _ = writeln!(std::io::stderr(), "\n*** SKIPPED {test}: {what} ***\n");
    None
}

/// What `promtool test rules` says of a file, and whether all was as expected.
pub fn test_rules(promtool: &Path, file: &Path) -> (bool, String) {
    let out = Command::new(promtool)
        .args(["test", "rules"])
        .arg(file)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", promtool.display()));
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.success(), text)
}

/// Numbers that follow from a seed alone (splitmix64).
pub struct Chance(pub u64);

impl Chance {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this one.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// One of these.
    pub fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
