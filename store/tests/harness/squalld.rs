//! `squalld` processes: a member's place (folder, ports, log), its processes one after another, and their output.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use squall_store::{
    real::TcpNet,
    seam::{Channel, DialOptions, Net},
};
use tempfile::TempDir;

pub const SQUALLD: &str = env!("CARGO_BIN_EXE_squalld");
/// How long anything may take on a loaded machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A port that no other test of this process gets, and that was free a moment ago. It lies below those that the system
/// gives to outgoing connections (from 32,768 on Linux), so that none of them takes it while a member is down.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    // Test processes that run at the same time begin at different ports. These are far apart, because processes that
    // are started together have neighbouring ids.
    let begin = (std::process::id().wrapping_mul(7_919) % u32::from(COUNT)) as u16;
    let candidates = (0..COUNT).map(|_| FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT);
    let mut free = candidates.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a free port")
}

/// A folder for one test, removed at its end.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// One member's place in its cluster: its folder, ports and log. It outlives the member's processes.
#[derive(Debug, Clone)]
pub struct Member {
    pub name: String,
    pub data_dir: PathBuf,
    pub client: u16,
    pub peer: u16,
    /// The file of its log.
    pub log: PathBuf,
    /// The scheme of the clients' URL, `http` or `https`.
    pub client_scheme: &'static str,
    /// The scheme of the members' URL.
    pub peer_scheme: &'static str,
}

impl Member {
    /// A member below `folder`, with ports of its own.
    pub fn new(folder: &Path, name: &str) -> Self {
        let (client, peer) = (free_port(), free_port());
        let log = folder.join(format!("{name}.log"));
        let (client_scheme, peer_scheme) = ("http", "http");
        Self { name: name.into(), data_dir: folder.join(name), client, peer, log, client_scheme, peer_scheme }
    }

    /// The same with TLS for clients and for members. The caller gives the flags that name certificates.
    pub fn with_tls(folder: &Path, name: &str) -> Self {
        Self { client_scheme: "https", peer_scheme: "https", ..Self::new(folder, name) }
    }

    /// Three members below `folder`: m1, m2 and m3.
    pub fn three(folder: &Path) -> [Self; 3] {
        ["m1", "m2", "m3"].map(|name| Self::new(folder, name))
    }

    pub fn client_address(&self) -> String {
        format!("127.0.0.1:{}", self.client)
    }

    pub fn client_url(&self) -> String {
        format!("{}://{}", self.client_scheme, self.client_address())
    }

    pub fn peer_url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.peer_scheme, self.peer)
    }

    /// A new connection of a client.
    pub fn dial(&self) -> Channel {
        TcpNet.dial(&self.client_address(), DialOptions::default())
    }

    /// `squalld` with this member's flags, in a cluster of `members`, and `more`.
    pub fn command(&self, members: &[&Member], more: &[&str]) -> Command {
        let client = self.client_url();
        let mut command = Command::new(SQUALLD);
        command
            .args(["--name", &self.name, "--data-dir"])
            .arg(&self.data_dir)
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &self.peer_url(), "--initial-advertise-peer-urls", &self.peer_url()])
            .args(["--initial-cluster", &cluster(members)])
            .args(more)
            .stdin(Stdio::null());
        command
    }

    /// Starts a process and returns at once.
    pub fn spawn(&self, members: &[&Member], more: &[&str]) -> Running {
        self.run(self.command(members, more))
    }

    /// Starts a process from this command in the member's place, and returns at once.
    pub fn run(&self, mut command: Command) -> Running {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log).expect("the log");
        let log_from = log.metadata().expect("its size").len() as usize;
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("squalld starts");
        Running { child, log: self.log.clone(), log_from }
    }

    /// Starts a cluster of one and waits until it serves.
    pub fn start_alone(&self, more: &[&str]) -> Running {
        let mut running = self.spawn(&[self], more);
        running.wait_ready();
        running
    }
}

/// The `--initial-cluster` of `members`.
pub fn cluster(members: &[&Member]) -> String {
    members.iter().map(|m| format!("{}={}", m.name, m.peer_url())).collect::<Vec<_>>().join(",")
}

/// A `squalld` process; killed when dropped.
pub struct Running {
    child: Child,
    log: PathBuf,
    /// The offset in the log at which this process begins.
    log_from: usize,
}

impl Running {
    /// Waits until the member's log says that it serves clients.
    pub fn wait_ready(&mut self) {
        wait_all_ready(std::slice::from_mut(self));
    }

    /// Kills the process with `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("its end");
    }

    /// Sends SIGTERM, and returns the exit status.
    pub fn terminate(mut self) -> ExitStatus {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill");
        assert!(killed.success());
        self.wait()
    }

    /// Sends the process a signal, by the name that `kill` knows.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill starts").success(), "no signal {name}");
    }

    /// Waits until its log contains this text.
    pub fn wait_log(&self, said: &str) {
        let from = Instant::now();
        while !self.log().contains(said) {
            assert!(from.elapsed() < PATIENCE, "{said:?} is not in the log:\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it ends by itself, and returns its exit status.
    pub fn wait(&mut self) -> ExitStatus {
        let from = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status;
            }
            assert!(from.elapsed() < PATIENCE, "squalld has not ended after {PATIENCE:?}:\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// The log of this process, without that of earlier processes.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(&self.log).expect("the log");
        log[self.log_from..].to_owned()
    }
}

/// Waits until each member's log says that it serves clients.
pub fn wait_all_ready(running: &mut [Running]) {
    let from = Instant::now();
    while !running.iter().all(|member| member.log().contains("event=Ready")) {
        let ended = running.iter_mut().any(|member| member.child.try_wait().expect("its status").is_some());
        if ended || from.elapsed() > PATIENCE {
            let logs: Vec<String> = running.iter().map(Running::log).collect();
            let what = if ended { "a squalld has ended" } else { "a squalld serves nobody" };
            panic!("{what} after {:?}:\n{}", from.elapsed(), logs.join("\n----\n"));
        }
        sleep(Duration::from_millis(20));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // In most tests the process has ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The resident memory of a process, in bytes.
pub fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1_024
}

/// Runs a `squalld` that must refuse to run; returns its standard error and exit status.
pub fn refused(mut command: Command) -> (Option<i32>, String) {
    let out = command.output().expect("squalld starts");
    let said = String::from_utf8(out.stderr).expect("UTF-8");
    assert!(out.stdout.is_empty(), "half an answer: {}", String::from_utf8_lossy(&out.stdout));
    assert!(!said.contains("panicked"), "{said}");
    (out.status.code(), said)
}

/// The one paragraph of `squalld`'s refusal, without its log lines.
pub fn paragraph(said: &str) -> &str {
    let mut paragraphs = said.lines().filter(|line| line.starts_with("squalld: "));
    let first = paragraphs.next().unwrap_or_else(|| panic!("no reason given:\n{said}"));
    assert_eq!(paragraphs.next(), None, "more than one paragraph:\n{said}");
    first
}

/// The command `squalld snapshot …`.
pub fn squalld(arguments: &[&str]) -> Command {
    let mut command = Command::new(SQUALLD);
    command.args(arguments).stdin(Stdio::null());
    command
}
