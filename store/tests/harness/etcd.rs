//! A real `etcd` as a process, a cluster of one.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use super::{Member, PATIENCE, tool};

/// An `etcd` process; killed when dropped.
pub struct Etcd {
    child: Child,
    log: PathBuf,
}

impl Etcd {
    /// Starts a cluster of one in the member's place and waits until it listens; `None` if this machine has no etcd.
    pub fn start(member: &Member, more: &[&str]) -> Option<Etcd> {
        let mut etcd = Etcd::spawn(member, &[member], more)?;
        etcd.wait_listening(member);
        Some(etcd)
    }

    /// Starts a member of a cluster of `members` and returns at once; `None` if this machine has no etcd.
    pub fn spawn(member: &Member, members: &[&Member], more: &[&str]) -> Option<Etcd> {
        let program = tool("etcd")?;
        let client = member.client_url();
        let log = fs::File::create(&member.log).expect("the log");
        let child = Command::new(&program)
            .args(["--name", &member.name, "--data-dir"])
            .arg(&member.data_dir)
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args([
                "--listen-peer-urls",
                &member.peer_url(),
                "--initial-advertise-peer-urls",
                &member.peer_url(),
            ])
            .args(["--initial-cluster", &super::cluster(members), "--log-level", "error"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Some(Etcd { child, log: member.log.clone() })
    }

    /// Waits until the clients' port of the member is open.
    pub fn wait_listening(&mut self, member: &Member) {
        let from = Instant::now();
        while TcpStream::connect(member.client_address()).is_err() {
            assert!(self.is_running() && from.elapsed() < PATIENCE, "etcd serves nobody:\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process is running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_none()
    }

    /// Sends SIGTERM, and waits until the process has ended.
    pub fn terminate(&mut self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill");
        assert!(killed.success());
        self.child.wait().expect("its end");
    }

    /// Kills the process with `kill -9`.
    pub fn kill(&mut self) {
        // This fails if the process has crashed before.
        _ = self.child.kill();
        _ = self.child.wait();
    }

    /// Its log.
    pub fn log(&self) -> String {
        let log: &Path = &self.log;
        fs::read_to_string(log).expect("the log")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}
