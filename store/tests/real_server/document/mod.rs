//! The operator's document, section by section: its commands as shell scripts, over TLS, against squalld and against
//! etcd.
//!
//! A script (`*.sh`) holds the document's lines as they are, between `<<'DOCUMENT'` and `DOCUMENT`, and around them the
//! checks of their results. `machines.sh` gives each test four machines on a loopback network of its own: addresses,
//! folders, certificates, `etcd`, `systemctl`, `ssh`. No script knows which of the two servers it talks to, so etcd
//! 3.5.1 is the oracle: a script demands the same of squalld and of etcd. docs/document.md has the table of the
//! sections.
//!
//! If the document itself lies beside the workspace, a test compares the scripts' lines with it.
//!
//! Not tested here: the document's diagrams and hardware recommendations, and the alert rules' verdicts, which
//! `sim/alerts/tests` tests. It runs on Linux only: elsewhere the loopback network has one address.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use crate::{
    harness::{SQUALLD, folder, tool},
    tls::{Authority, Wanted},
};

/// How long a section may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// The folder of the scripts, and the workspace's root.
const SECTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real_server/document");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The first three bytes of a loopback network on which no process listens.
fn network() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        // Test processes that run at the same time begin at different networks. All programs use 127.0, so it is left
        // out.
        let n = std::process::id().wrapping_mul(37) + NEXT.fetch_add(1, Ordering::Relaxed);
        let net = format!("127.{}.{}", 1 + n / 250 % 250, n % 250);
        if TcpListener::bind(format!("{net}.11:2379")).is_ok() {
            return net;
        }
    }
}

/// A script and all processes that it has started; killed when dropped.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        // The whole process group is killed, since the members outlive the script.
        _ = Command::new("kill")
            .args(["-9", "--", &format!("-{}", self.0.id())])
            .stderr(Stdio::null())
            .status();
        _ = self.0.wait();
    }
}

/// Machines for one section: folders, and certificates that are good on all of them.
fn machines(root: &Path, net: &str) {
    let pki = root.join("pki");
    fs::create_dir_all(&pki).expect("a folder");
    fs::create_dir(root.join("backup")).expect("a folder");
    let authority = Authority::new(&pki, "ca");
    // A dialled member sees 127.0.0.1 as the caller's address, and looks for it in the caller's certificate.
    let names: Vec<String> = (11..=14).map(|n| format!("{net}.{n}")).chain(["127.0.0.1".into()]).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in ["server", "peer", "client"] {
        authority.issue(name, Wanted { common_name: name, names: &names, ..Wanted::default() });
    }
    for n in 1..=4 {
        let etc = root.join(format!("etcd{n}/etc/etcd"));
        fs::create_dir_all(&etc).expect("a folder");
        std::os::unix::fs::symlink(&pki, etc.join("pki")).expect("a link");
    }
}

/// Runs a section's script against one server; an error has the script's output.
fn run(section: &str, daemon: &Path, etcdctl: &Path, more: &[(&str, PathBuf)]) -> Result<(), String> {
    let (folder, net) = (folder(), network());
    let root = folder.path();
    machines(root, &net);
    let log = root.join("script.log");
    let out = fs::File::create(&log).expect("the log");
    let script = format!(". '{SECTIONS}/machines.sh'; . '{SECTIONS}/{section}.sh'");
    let mut command = Command::new("bash");
    command
        .args(["-c", &script, section])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs([("ROOT", root), ("DAEMON", daemon), ("ETCDCTL", etcdctl), ("SECTIONS", Path::new(SECTIONS))])
        .env("NET", &net)
        .envs(more.iter().map(|(name, path)| (*name, path)))
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("the log"))
        .stderr(out)
        .process_group(0);
    let mut script = Script(command.spawn().expect("bash starts"));
    let from = Instant::now();
    let status = loop {
        match script.0.try_wait().expect("its status") {
            Some(status) => break Some(status),
            None if from.elapsed() > PATIENCE => break None,
            None => sleep(Duration::from_millis(20)),
        }
    };
    drop(script);
    if status.is_some_and(|status| status.success()) {
        return Ok(());
    }
    let mut said = format!("{}: {status:?} after {:?}\n", daemon.display(), from.elapsed());
    said.push_str(&fs::read_to_string(&log).expect("the log"));
    for n in 1..=4 {
        let log = fs::read_to_string(root.join(format!("etcd{n}/log"))).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        said.push_str(&format!("---- etcd{n}\n{}\n", lines[lines.len().saturating_sub(15)..].join("\n")));
    }
    Err(said)
}

/// Prints that a section was not run; fails if it is required.
fn skipped(name: &str, why: &str) {
    assert!(std::env::var("SQUALL_REQUIRE_ETCDCTL").as_deref() != Ok("1"), "{name}: {why}");
    // Written directly to standard error, past the test runner's capture: a skipped test must not look like a passed
    // one.
    _ = writeln!(std::io::stderr(), "\n*** SKIPPED document::{name}: {why} ***\n");
}

/// Runs a section's script against etcd, if this machine has one, and against squalld.
fn section(name: &str, more: &[(&str, PathBuf)]) {
    let Some(etcdctl) = tool("etcdctl") else { return };
    // The programs that the document's lines and the scripts call.
    for program in ["bash", "jq", "curl"] {
        if Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err() {
            skipped(name, &format!("no {program}"));
            return;
        }
    }
    let daemons: Vec<PathBuf> = tool("etcd").into_iter().chain([SQUALLD.into()]).collect();
    // Both run at the same time, since a section mostly waits.
    let failed: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> =
            daemons.iter().map(|daemon| scope.spawn(|| run(name, daemon, &etcdctl, more).err())).collect();
        running.into_iter().filter_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(failed.is_empty(), "{name}: {}", failed.join("\n"));
}

macro_rules! sections {
    ($($name:ident $file:literal)*) => {
        $(#[test] fn $name() { section($file, &[]) })*
        const SCRIPTS: &[&str] = &[$($file,)* "monitoring", "machines"];
    };
}

sections! {
    static_deployment "static-deployment"
    systemd "systemd"
    look_at_members "look-at-members"
    add_a_member "add-a-member"
    remove_a_member "remove-a-member"
    update_a_member "update-a-member"
    one_member_lost "one-member-lost"
    majority_lost "majority-lost"
    restore_from_backup "restore-from-backup"
    maintenance "maintenance"
    capacity "capacity"
}

#[test]
fn monitoring() {
    let Some(promtool) = tool("promtool") else { return };
    // prometheus and promtool come in one package.
    let prometheus = promtool.with_file_name("prometheus");
    if !prometheus.exists() {
        return skipped("monitoring", &format!("no {}", prometheus.display()));
    }
    let rules = Path::new(ROOT).join("sim/alerts/rules/etcd-document.yaml");
    section("monitoring", &[("PROMTOOL", promtool), ("PROMETHEUS", prometheus), ("RULES", rules)]);
}

/// The document's lines in a script.
fn quoted(script: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in script.lines() {
        match &mut block {
            Some(lines) if line == "DOCUMENT" => {
                blocks.push(std::mem::take(lines));
                block = None;
            }
            Some(lines) => {
                lines.push_str(line);
                lines.push('\n');
            }
            None if line.contains("<<'DOCUMENT'") && !line.starts_with('#') => block = Some(String::new()),
            None => {}
        }
    }
    assert_eq!(block, None, "a block without its end");
    blocks
}

#[test]
fn the_scripts_lines_are_the_documents() {
    let scripts: Vec<(&str, String)> = SCRIPTS
        .iter()
        .map(|name| (*name, fs::read_to_string(format!("{SECTIONS}/{name}.sh")).expect("the script")))
        .collect();
    let found = fs::read_dir(SECTIONS).expect("the scripts").filter(|entry| {
        entry.as_ref().expect("an entry").path().extension().is_some_and(|extension| extension == "sh")
    });
    assert_eq!(found.count(), SCRIPTS.len(), "a script is not listed");
    let conf = fs::read_to_string(format!("{SECTIONS}/etcd.conf")).expect("the file");
    assert!(quoted(&scripts.iter().find(|(name, _)| *name == "systemd").expect("listed").1).contains(&conf));

    let path = Path::new(ROOT).join("../shared/seed/etcd-high-availability.zh.md");
    let Ok(document) = fs::read_to_string(&path) else {
        _ = writeln!(std::io::stderr(), "\n*** SKIPPED: the document is not at {} ***\n", path.display());
        return;
    };
    let mut seen = 0;
    for (name, script) in &scripts {
        for block in quoted(script) {
            seen += 1;
            assert!(document.contains(&block), "{name}: the document does not say:\n{block}");
        }
    }
    assert!(seen > 30, "only {seen} blocks");
    // Also, each command that the document gives is in a script.
    let all: String = scripts.iter().flat_map(|(_, script)| quoted(script)).collect();
    let mut in_bash = false;
    for line in document.lines() {
        if line.starts_with("```") {
            in_bash = line == "```bash";
        } else if in_bash
            && ["etcdctl ", "etcd ", "systemctl ", "rm ", "ssh ", "export "].iter().any(|word| line.starts_with(word))
            // This line is a setting, which capacity.sh gives to a member.
            && !line.starts_with("etcd --quota-backend-bytes=8589934592")
        {
            assert!(all.lines().any(|quoted| quoted == line), "no script has the document's {line:?}");
        }
    }
}
