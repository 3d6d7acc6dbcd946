//! squalld and, where this machine has one, etcd itself: what a test says of an answer must hold of both.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use squall_store::{
    real::TcpNet,
    seam::{Channel, DialOptions, Net},
};
use tempfile::TempDir;

use crate::harness::{Etcdctl, Member, Running, cluster, folder};

/// How long anything may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is asked.
pub struct Subject {
    pub name: &'static str,
    pub member: Member,
    _process: Process,
    _folder: TempDir,
}

enum Process {
    Squalld { _running: Running },
    Etcd(Child),
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Process::Etcd(child) = self {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

impl Subject {
    /// A squalld that serves, a cluster of one.
    pub fn squalld() -> Subject {
        let folder = folder();
        let member = Member::new(folder.path(), "default");
        let running = member.start_alone(&[]);
        Subject { name: "squalld", member, _process: Process::Squalld { _running: running }, _folder: folder }
    }

    /// An etcd that serves, a cluster of one; `None` where this machine has none.
    pub fn etcd() -> Option<Subject> {
        let Some(program) = etcd_path() else {
            // Written past the test runner's capture: a comparison that was left out must not look like one that was made.
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            let what = "no etcd beside etcdctl: squalld alone is asked";
            assert!(std::env::var("SQUALL_REQUIRE_ETCDCTL").as_deref() != Ok("1"), "{what}");
            _ = writeln!(std::io::stderr(), "\n*** {test}: {what} ***\n");
            return None;
        };
        let folder = folder();
        let member = Member::new(folder.path(), "default");
        let client = format!("http://{}", member.client_address());
        let mut child = Command::new(program)
            .args(["--name", &member.name, "--data-dir"])
            .arg(&member.data_dir)
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &member.peer_url()])
            .args(["--initial-advertise-peer-urls", &member.peer_url()])
            .args(["--initial-cluster", &cluster(&[&member]), "--log-level", "error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&member.log).expect("the log"))
            .spawn()
            .expect("etcd starts");
        let from = Instant::now();
        while TcpStream::connect(member.client_address()).is_err() {
            let ended = child.try_wait().expect("its status").is_some();
            let log = fs::read_to_string(&member.log).expect("the log");
            assert!(!ended && from.elapsed() < PATIENCE, "etcd does not serve:\n{log}");
            sleep(Duration::from_millis(20));
        }
        Some(Subject { name: "etcd", member, _process: Process::Etcd(child), _folder: folder })
    }

    /// Both, etcd first.
    pub fn both() -> Vec<Subject> {
        [Subject::etcd(), Some(Subject::squalld())].into_iter().flatten().collect()
    }

    pub fn is_etcd(&self) -> bool {
        matches!(self._process, Process::Etcd(_))
    }

    /// A connection of its own.
    pub fn channel(&self) -> Channel {
        TcpNet.dial(&self.member.client_address(), DialOptions::default())
    }
}

/// The `etcd` that came with the `etcdctl`.
fn etcd_path() -> Option<PathBuf> {
    Some(Etcdctl::path()?.parent()?.join("etcd")).filter(|path| path.is_file())
}
