//! One cluster: its members, the clients that load it, the killer, and the judge.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, seq::index};
use rand_chacha::ChaCha8Rng;
use squall_checker::{
    history as h,
    judge::{CheckOptions, Judged, check_paths},
};
use squall_store::proto::etcdserverpb::{HashKvRequest, maintenance_client::MaintenanceClient};
use tokio::{task::block_in_place, time::sleep};

use crate::{
    harness::{Member, Running, folder, wait_all_ready},
    leasing, load,
    load::{Client, Shared},
    recorder::Recorder,
    watching,
};

/// The snapshot count is small, so that snapshots are taken and the log is released between the kills.
const FLAGS: [&str; 1] = ["--snapshot-count=400"];
const WRITERS: u64 = 6;
const LEASES: u64 = 3;
const WATCHERS: u64 = 4;
/// The client that reads everything at the end.
const LAST: u64 = 1_000;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub members: usize,
    pub kills: usize,
    pub seed: u64,
}

/// The measured figures.
#[derive(Default)]
pub struct Figures {
    pub operations: u64,
    kills: usize,
    /// For each start: the time until the member served, and whether the others were a quorum.
    starts: Vec<(Duration, bool)>,
    judging: Duration,
}

impl Figures {
    pub fn add(&mut self, other: Figures) {
        self.operations += other.operations;
        self.kills += other.kills;
        self.starts.extend(other.starts);
        self.judging += other.judging;
    }

    /// The slowest start while the others were a quorum, or while they were not.
    pub fn slowest(&self, beside_quorum: bool) -> Duration {
        let starts = self.starts.iter().filter(|(_, quorum)| *quorum == beside_quorum);
        starts.map(|(took, _)| *took).max().unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut starts: Vec<Duration> = self.starts.iter().map(|(took, _)| *took).collect();
        starts.sort();
        let median = starts.get(starts.len() / 2).copied().unwrap_or_default();
        write!(
            f,
            "{} kills, {} operations, nothing lost; served after {median:.2?} (median), {:.2?} (slowest beside a quorum), \
             {:.2?} (slowest of those that made the quorum); judged in {:.1?}",
            self.kills,
            self.operations,
            self.slowest(true),
            self.slowest(false),
            self.judging
        )
    }
}

/// Founds a cluster, loads it, kills its members, and has the history judged.
pub async fn round(settings: Settings) -> Figures {
    let folder = folder();
    let history = folder.path().join("history.jsonl");
    let names = ["m1", "m2", "m3"];
    let members: Vec<Member> =
        names[..settings.members].iter().map(|name| Member::new(folder.path(), name)).collect();
    let shared = Arc::new(Shared {
        recorder: Recorder::new(&history),
        members,
        stop: AtomicBool::new(false),
        over: AtomicBool::new(false),
        revision: AtomicU64::new(0),
    });
    let mut cluster = Cluster::found(&shared);
    let client = |id| Client::new(id, settings.seed, &shared);
    let mut load = Vec::new();
    load.extend((0..WRITERS).map(|id| tokio::spawn(load::keys(client(id)))));
    load.extend((0..LEASES).map(|id| tokio::spawn(leasing::leases(client(100 + id)))));
    let watch = |id| tokio::spawn(watching::watch(client(watching::FIRST + id), id as usize));
    let watchers: Vec<_> = (0..WATCHERS).map(watch).collect();

    let mut figures = cluster.kill(settings).await;
    sleep(Duration::from_millis(500)).await;
    shared.stop.store(true, Ordering::Relaxed);
    for one in load {
        one.await.expect("none of the load panics");
    }
    look_at_the_end(&shared).await;
    shared.over.store(true, Ordering::Relaxed);
    for watcher in watchers {
        watcher.await.expect("no watcher panics");
    }
    drop(cluster);

    let shared = Arc::into_inner(shared).expect("everybody is done");
    figures.operations = shared.recorder.operations();
    let complaints = shared.recorder.finish();
    let began = Instant::now();
    block_in_place(|| judge(settings, &history, &complaints));
    figures.judging = began.elapsed();
    figures
}

/// The members' processes.
struct Cluster {
    shared: Arc<Shared>,
    running: Vec<Option<Running>>,
    lives: u64,
}

impl Cluster {
    fn found(shared: &Arc<Shared>) -> Cluster {
        let mut cluster = Cluster { shared: Arc::clone(shared), running: Vec::new(), lives: 0 };
        let mut running: Vec<Running> = (0..shared.members.len()).map(|at| cluster.start(at)).collect();
        block_in_place(|| wait_all_ready(&mut running));
        cluster.running = running.into_iter().map(Some).collect();
        cluster
    }

    fn start(&mut self, at: usize) -> Running {
        let recorder = &self.shared.recorder;
        self.lives += 1;
        recorder.event(&h::Event::Life(h::Life {
            at: recorder.now(),
            member: self.shared.members[at].name.clone(),
            incarnation: self.lives,
            outdated: false,
        }));
        let all: Vec<&Member> = self.shared.members.iter().collect();
        self.shared.members[at].spawn(&all, &FLAGS)
    }

    /// Kills one member, sometimes two or all, and starts them again.
    async fn kill(&mut self, settings: Settings) -> Figures {
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
        rng.set_stream(u64::MAX);
        let all = settings.members;
        let mut figures = Figures::default();
        while figures.kills < settings.kills {
            sleep(Duration::from_millis(rng.gen_range(200..1_500))).await;
            let victims = match rng.gen_range(0..10) {
                0 => all,
                1 => 2,
                _ => 1,
            };
            let victims = index::sample(&mut rng, all, victims.min(all)).into_vec();
            for victim in &victims {
                let recorder = &self.shared.recorder;
                self.running[*victim].take().expect("it runs").kill();
                recorder.event(&h::Event::Fault(h::Fault {
                    at: recorder.now(),
                    action: "crash".into(),
                    target: self.shared.members[*victim].name.clone(),
                    ..h::Fault::default()
                }));
            }
            figures.kills += victims.len();
            sleep(Duration::from_millis(rng.gen_range(0..400))).await;
            let from = Instant::now();
            let beside_quorum = all - victims.len() > all / 2;
            let mut started: Vec<Running> = victims.iter().map(|victim| self.start(*victim)).collect();
            block_in_place(|| wait_all_ready(&mut started));
            figures.starts.push((from.elapsed(), beside_quorum));
            for (victim, running) in victims.iter().zip(started) {
                let log = running.log();
                assert!(!log.contains("panic"), "{log}");
                self.running[*victim] = Some(running);
            }
        }
        figures
    }
}

/// Reads everything from every member, asks for their hashes, and waits until the leases have ended.
async fn look_at_the_end(shared: &Arc<Shared>) {
    let mut client = Client::new(LAST, 0, shared);
    if let Err(what) = leasing::all_have_ended(&mut client).await {
        shared.recorder.complain(what);
    }
    for (at, member) in shared.members.iter().enumerate() {
        client.turn_to(at);
        if client.range(load::everything(), true).await.is_none() {
            shared.recorder.complain(format!("{} does not answer at the end", member.name));
            continue;
        }
        let mut maintenance = MaintenanceClient::new(client.channel());
        match maintenance.hash_kv(HashKvRequest { revision: 0 }).await {
            Ok(hash) => {
                let hash = hash.into_inner();
                let revision = hash.header.map_or(0, |header| header.revision);
                shared.recorder.event(&h::Event::Hash(h::HashLine {
                    member: member.name.clone(),
                    revision: h::Revision(revision),
                    compact_revision: h::Revision(hash.compact_revision),
                    hash: u64::from(hash.hash),
                    at: shared.recorder.now(),
                }));
            }
            Err(status) => shared.recorder.complain(format!("{}'s hash: {status}", member.name)),
        }
    }
}

/// # Panics
/// If anything is wrong; the history is then kept.
fn judge(settings: Settings, history: &Path, complaints: &[String]) {
    let report = check_paths(&[history.to_owned()], &CheckOptions::default());
    let [judged] = &report.files[..] else { panic!("one history, and {} verdicts", report.files.len()) };
    let valid = judged.verdict == Judged::Valid && complaints.is_empty() && judged.error.is_none();
    let keep = std::env::var_os("SQUALL_KILLS_KEEP").map(PathBuf::from);
    if !valid || keep.is_some() {
        let into = keep.unwrap_or_else(std::env::temp_dir);
        fs::create_dir_all(&into).expect("a folder");
        let kept = into.join(format!("kills-{}-{}.jsonl", settings.members, settings.seed));
        fs::copy(history, &kept).expect("the history is kept");
        println!("{}", kept.display());
    }
    let explanation = judged.explanation.as_ref().map_or("", |explanation| &explanation.text);
    assert!(
        valid,
        "{settings:?}: {:?}: {:#?}\n{complaints:#?}\n{explanation}\n{:?}",
        judged.verdict, judged.failures, judged.error
    );
}
