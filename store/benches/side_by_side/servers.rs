//! The two clusters, and what their processes have used.

use std::{fs, time::Duration};

use squall_store::seam::Channel;
use tempfile::TempDir;

use crate::harness::{Etcd, Member, Running, folder, resident_bytes, wait_all_ready};

/// Ticks of processor time in a second, as /proc counts on every Linux that this runs on.
const TICKS: u64 = 100;

/// One cluster.
pub struct Server {
    members: Vec<Member>,
    processes: Vec<u32>,
}

/// etcd and squalld, in this order.
pub struct Pair {
    pub servers: [Server; 2],
    _etcd: Vec<Etcd>,
    _squalld: Vec<Running>,
    _folders: [TempDir; 2],
}

impl Pair {
    /// `None` where this machine has no etcd.
    pub fn start(count: usize) -> Option<Pair> {
        let folders = [folder(), folder()];
        let members = |at: usize| -> Vec<Member> {
            (0..count).map(|n| Member::new(folders[at].path(), &format!("m{n}"))).collect()
        };
        let [of_etcd, of_squalld] = [members(0), members(1)];
        let all: Vec<&Member> = of_etcd.iter().collect();
        let mut etcd = of_etcd
            .iter()
            .map(|member| Etcd::spawn(member, &all, &["--quota-backend-bytes=8589934592"]))
            .collect::<Option<Vec<Etcd>>>()?;
        of_etcd.iter().zip(&mut etcd).for_each(|(member, etcd)| etcd.wait_listening(member));
        let all: Vec<&Member> = of_squalld.iter().collect();
        let mut squalld: Vec<Running> = of_squalld
            .iter()
            .map(|member| member.spawn(&all, &["--quota-backend-bytes=8589934592"]))
            .collect();
        wait_all_ready(&mut squalld);
        let servers = [
            Server { members: of_etcd, processes: etcd.iter().map(Etcd::id).collect() },
            Server { members: of_squalld, processes: squalld.iter().map(Running::id).collect() },
        ];
        Some(Pair { servers, _etcd: etcd, _squalld: squalld, _folders: folders })
    }
}

impl Server {
    /// A connection of its own, to one member after the other.
    pub fn dial(&self, client: usize) -> Channel {
        self.members[client % self.members.len()].dial()
    }

    /// What all processes of it have used so far.
    pub fn processor_time(&self) -> Duration {
        let ticks = |process: &u32| -> u64 {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("a process");
            // The name, in brackets, may hold anything.
            let fields = stat.rsplit_once(')').expect("a name").1.split_whitespace();
            fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum()
        };
        Duration::from_millis(self.processes.iter().map(ticks).sum::<u64>() * 1_000 / TICKS)
    }

    /// What the largest of them holds in memory.
    pub fn resident_bytes(&self) -> u64 {
        self.processes.iter().map(|process| resident_bytes(*process)).max().unwrap_or_default()
    }
}
