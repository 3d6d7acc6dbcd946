//! etcd's own client as a process.

use std::{
    io::Write,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use super::{Member, PATIENCE, tool};

/// etcd's own `etcdctl`.
pub struct Etcdctl {
    path: PathBuf,
    endpoints: String,
    /// Flags for every command.
    flags: Vec<String>,
}

impl Etcdctl {
    /// An `etcdctl` that talks to `members`; `None` if this machine has no etcdctl.
    pub fn find(members: &[&Member]) -> Option<Self> {
        let address = |member: &&Member| match member.client_scheme {
            "http" => member.client_address(),
            _ => member.client_url(),
        };
        let endpoints = members.iter().map(address).collect::<Vec<_>>().join(",");
        Some(Self { path: tool("etcdctl")?, endpoints, flags: Vec::new() })
    }

    /// The same client, with these flags on every command.
    pub fn with(&self, flags: Vec<String>) -> Self {
        Self { path: self.path.clone(), endpoints: self.endpoints.clone(), flags }
    }

    /// The same client, with other endpoints.
    pub fn at(&self, endpoints: &str) -> Self {
        Self { path: self.path.clone(), endpoints: endpoints.into(), flags: self.flags.clone() }
    }

    /// The process, not started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(["--endpoints", &self.endpoints, "--dial-timeout=5s", "--command-timeout=20s"])
            .args(&self.flags)
            .args(arguments)
            .env("ETCDCTL_API", "3")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command that must succeed, and returns its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with(arguments, "")
    }

    /// As `ok`, but tries again while the command fails, since the cluster may be without a leader.
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

    /// As `ok`, with `input` on the command's standard input.
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

    /// Its standard output, or its standard error if it fails.
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

/// A running watch; ended when dropped.
pub struct Watching(Child);

impl Watching {
    /// The reader of its lines. Call this only once.
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
