//! The two servers as processes, and what is asked of each.

use std::sync::Arc;

use squall_conformance::{Seams, Server};
use squall_store::real::{SystemClock, TokioTasks};

use crate::harness::{Etcd, Member, Running};

/// Both processes, and the folder of their data.
pub struct Pair {
    pub etcd: Server,
    pub squalld: Server,
    pub etcd_process: Etcd,
    /// `None` only while it is being replaced.
    squalld_process: Option<Running>,
    /// The places (folder, ports, log) of etcd and of squalld.
    places: [Member; 2],
    _folder: tempfile::TempDir,
}

const FLAGS: [&str; 3] = ["--bcrypt-cost=4", "--election-timeout=500", "--heartbeat-interval=100"];

impl Pair {
    /// Starts both; `None` if this machine has no etcd.
    pub async fn start() -> Option<Pair> {
        let folder = crate::harness::folder();
        let (of_etcd, of_squalld) = (folder.path().join("etcd"), folder.path().join("squalld"));
        for folder in [&of_etcd, &of_squalld] {
            std::fs::create_dir(folder).expect("a folder");
        }
        let places = [Member::new(&of_etcd, "m1"), Member::new(&of_squalld, "m1")];
        let etcd_process = start_etcd(&places[0])?;
        let etcd = connect("etcd", &places[0]).await;
        let squalld_process = Some(places[1].start_alone(&FLAGS));
        let squalld = connect("squalld", &places[1]).await;
        Some(Pair { etcd, squalld, etcd_process, squalld_process, places, _folder: folder })
    }

    /// Stops both and starts them again. Only squalld is killed with `kill -9`, since etcd 3.5.1 may apply an entry
    /// twice after that (#13766). The recorders keep what they have received.
    pub async fn restart(&mut self) {
        self.etcd_process.terminate();
        self.etcd_process = start_etcd(&self.places[0]).expect("it was there");
        self.squalld_process.take().expect("a process").kill();
        self.squalld_process = Some(self.places[1].start_alone(&FLAGS));
        self.etcd.reconnect(self.places[0].dial()).await.expect("it serves again");
        self.squalld.reconnect(self.places[1].dial()).await.expect("it serves again");
    }
}

fn start_etcd(member: &Member) -> Option<Etcd> {
    Etcd::start(member, &[&FLAGS[..], &["--unsafe-no-fsync"]].concat())
}

async fn connect(name: &'static str, member: &Member) -> Server {
    let seams = Seams { clock: Arc::new(SystemClock), tasks: Arc::new(TokioTasks) };
    let client_url = format!("http://{}", member.client_address());
    let connected = Server::connect(name, seams, member.dial(), member.peer_url(), client_url).await;
    connected.unwrap_or_else(|silent| panic!("{silent}"))
}
