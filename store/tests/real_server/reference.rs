//! squalld and, if this machine has one, etcd itself: a test's assertions on answers must hold for both.

use std::time::Duration;

use squall_store::seam::Channel;
use tempfile::TempDir;

use crate::harness::{Etcd, Member, Running, folder};

/// How long anything may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server under test.
pub struct Subject {
    pub name: &'static str,
    pub member: Member,
    _process: Process,
    _folder: TempDir,
}

enum Process {
    Squalld { _running: Running },
    Etcd { _running: Etcd },
}

impl Subject {
    /// A squalld that serves as a cluster of one, with additional flags.
    pub fn squalld(more: &[&str]) -> Subject {
        let folder = folder();
        let member = Member::new(folder.path(), "default");
        let running = member.start_alone(more);
        Subject { name: "squalld", member, _process: Process::Squalld { _running: running }, _folder: folder }
    }

    /// An etcd that serves as a cluster of one; `None` if this machine has no etcd.
    pub fn etcd(more: &[&str]) -> Option<Subject> {
        let folder = folder();
        let member = Member::new(folder.path(), "default");
        let running = Etcd::start(&member, more)?;
        Some(Subject { name: "etcd", member, _process: Process::Etcd { _running: running }, _folder: folder })
    }

    /// Both servers, etcd first.
    pub fn both() -> Vec<Subject> {
        [Subject::etcd(&[]), Some(Subject::squalld(&[]))].into_iter().flatten().collect()
    }

    pub fn is_etcd(&self) -> bool {
        matches!(self._process, Process::Etcd { .. })
    }

    /// A new connection.
    pub fn channel(&self) -> Channel {
        self.member.dial()
    }
}
