//! Scripts for the node (`store/tests/node`): several members, every message and every change of a disk in the script's
//! hand. They are in the style of etcd-io/raft's data-driven tests and toydb's golden scripts: each command is followed
//! by what the members did because of it, line by line, so the order of the lines is the order of the work.
//!
//! ```text
//! cluster n1 n2 n3 [snapshot=N] [catchup=N] [segment=BYTES]     found a cluster and start its members
//! tick n1 [N]                  the member's clock ticks; 10 ticks without a leader begin an election
//! wait 100ms                   time passes for all: engine commits, compaction steps, retries
//! propose n1 7 put k=v         a client's request under the number 7; also: delete k, compact REVISION
//! read n1 r1                   a linearizable read
//! change n1 7 add n4 | remove n3
//! transfer n1                  hand the leadership over
//! deliver [FILTER]             deliver the messages that are in flight now, in their order
//! deliver 7 5                  these, in this order
//! drop FILTER | 7              lose messages; a snapshot's sender is told
//! double 7                     deliver a copy, and keep the message in flight
//! stabilize [FILTER]           deliver until nothing that the filter lets through is in flight
//! flight                       what is in flight
//! hold n1 [N]                  the member's disk stops before the next change, or after N more
//! step n1 [N]                  lets the next changes through
//! release n1                   the disk works again
//! crash n1 [engine=N]          power loss: what was not synced is gone, but for the engine's first N batches
//! kill n1                      the process ends; nothing that was written is lost
//! start n1                     start the member from its disk
//! join n4                      start a member that was added, with an empty disk
//! show n1                      role, log, applied index, what is durable
//! ```
//! FILTER is any of `from=n1`, `to=n2`, `type=MsgAppend`.
//!
//! Three things are checked at every step, whatever the script prints: no message leaves that promises more than is
//! durable (`world.rs`); members that apply an entry at one index apply the same entry and come to the same state; one
//! member leads a term. `[quiet]` in front of a command drops its lines.

mod disk;
mod narrate;
mod world;

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::Write as _,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use goldenscript::{Argument, Command};
use protobuf::Message as _;
use raft::eraftpb::Message;
use squall_core::{
    Member, MemberId, MembershipChange, Refusal, Reply,
    planted::{Bug, Set, plant},
};
use tokio::sync::{mpsc, oneshot};

use self::{
    disk::{Gate, ScriptDisk, ScriptEngine},
    narrate::{Lines, Names, Narrator, answer_text, message_text},
    world::{Driven, Fact, Flight, InFlight, NoNet, ScriptClock, ScriptProbe, ScriptTasks, ScriptTransport},
};
use super::{Halt, INPUT_QUEUE, Ids, Input, Node, NodeParts, Request, Shared, entry, snapshot_path};
use crate::{
    Config, durable,
    proto::etcdserverpb as pb,
    seam::{Env, Files as _},
    server::open_data,
    snapshot::Receiver,
    wal::{Metadata, Wal, crash_disk::block_on},
};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

macro_rules! scripts {
    ($($name:ident)*) => {
        $(#[test] fn $name() { run(stringify!($name)) })*

        const SCRIPTS: &[&str] = &[$(stringify!($name)),*];
    };
}

scripts! {
    apply
    compaction
    conf_changes
    elections
    overwritten_suffix
    persist_follower
    persist_leader
    proposals
    reads
    removed_leader
    restart_voters
    single
    snapshot_crashes
    snapshot_installed
    snapshot_saved
    transfer
    votes
}

/// A script that nobody runs proves nothing.
#[test]
fn every_script_is_listed() {
    #[expect(clippy::disallowed_methods, reason = "the test reads its own scripts")]
    let mut files: Vec<String> = std::fs::read_dir(SCRIPT_DIR)
        .expect("the script folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a UTF-8 name"))
        .collect();
    files.sort();
    assert_eq!(files, SCRIPTS);
}

/// The scripts hold the order of the work: whatever error of this list is planted, a script fails. (How each fails is
/// printed; that is expected.)
#[test]
fn the_scripts_notice_a_broken_order() {
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        return;
    }
    let mut noticed = String::new();
    for bug in ORDER {
        plant((*bug).into());
        let fails = |name: &&&str| std::panic::catch_unwind(|| run(name)).is_err();
        let failed = SCRIPTS.iter().rev().find(fails).copied().unwrap_or_default();
        plant(Set::NONE);
        let _ = writeln!(noticed, "{:<36} {failed}", bug.name());
    }
    println!("{noticed}");
    for line in noticed.lines() {
        assert!(line.split_whitespace().count() > 1, "no script notices {line}; in all:\n{noticed}");
    }
}

/// Errors in the order of the work, or in what a restart makes of what it finds.
const ORDER: &[Bug] = &[
    Bug::VoteBeforeSync,
    Bug::AckBeforeSync,
    Bug::SingleVoterAcknowledgesBeforeFsync,
    Bug::HardStateNotSynced,
    Bug::VoteNotStored,
    Bug::CommitNotStored,
    Bug::VoteForgottenAtRestart,
    Bug::ReadBeforeApply,
    Bug::ReadJoinsBatch,
    Bug::LeaderServesReadsWithoutReadIndex,
    Bug::LeaseReads,
    Bug::LeaderGuessesAck,
    Bug::AnswersSwapped,
    Bug::ProposalRefusedAndKept,
    Bug::TailKept,
    Bug::WalTailKept,
    Bug::RestartSkipsEntry,
    Bug::RestartTakesSnapshotVoters,
    Bug::SnapshotRecordNotSynced,
    Bug::SegmentReleasedEarly,
    Bug::CommitReportedEarly,
    Bug::EngineMarkAhead,
    Bug::AppliedIndexApart,
    Bug::RefusalNotAdvanced,
    Bug::InstallBeforeRecord,
    Bug::InstallOnlyInMemory,
    Bug::InstallKeepsOldRows,
    Bug::SnapshotFileNotSynced,
    Bug::SnapshotFileGoneEarly,
    Bug::SnapshotDropsKey,
    Bug::RemovedStillVotes,
    Bug::RemovedGoesOn,
    Bug::HiddenRowDiffers,
    Bug::SyncSkipped,
];

const SCRIPT_DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node");

fn run(name: &str) {
    goldenscript::run(&mut Runner::default(), format!("{SCRIPT_DIR}/{name}")).expect("the script runs");
}

/// The members of a script and the messages between them.
#[derive(Default)]
struct Runner {
    names: Names,
    lines: Lines,
    flight: Flight,
    now: Arc<Mutex<Duration>>,
    applied: Arc<Mutex<Vec<Fact>>>,
    /// By index: the first fact that was told of it.
    agreed: BTreeMap<u64, Fact>,
    /// Who leads which term.
    leaders: BTreeMap<u64, String>,
    members: BTreeMap<String, Scripted>,
    config: Config,
}

/// One member: what outlives its process, and its process.
struct Scripted {
    narrator: Narrator,
    config: Arc<Config>,
    disk: ScriptDisk,
    engine: ScriptEngine,
    life: Option<Life>,
}

/// A running process.
struct Life {
    node: Driven<Halt>,
    tasks: ScriptTasks,
    clock: ScriptClock,
    inputs: mpsc::Sender<Input>,
    shared: Arc<Shared>,
    waiting: Vec<Waiting>,
}

/// A client that waits.
enum Waiting {
    Proposal(u64, oneshot::Receiver<Result<Reply, Refusal>>),
    Read(String, oneshot::Receiver<Result<(), Refusal>>),
    Transfer(oneshot::Receiver<()>),
}

/// Notes that some task has something to do.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl goldenscript::Runner for Runner {
    fn run(&mut self, command: &Command) -> Result<String> {
        let args = Args::of(&command.args);
        self.perform(&command.name, args)?;
        self.settle();
        self.check();
        let lines = self.lines.take();
        let mut out = String::new();
        if !command.tags.contains("quiet") {
            lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        }
        Ok(out)
    }
}

/// A command's arguments: words, and settings `key=value`. A put's `k=v` counts as a word.
struct Args {
    words: Vec<String>,
    settings: BTreeMap<String, String>,
}

impl Args {
    const SETTINGS: &[&str] = &["snapshot", "catchup", "segment", "from", "to", "type", "engine"];

    fn of(args: &[Argument]) -> Args {
        let (mut words, mut settings) = (Vec::new(), BTreeMap::new());
        for arg in args {
            match &arg.key {
                Some(key) if Args::SETTINGS.contains(&key.as_str()) => {
                    settings.insert(key.clone(), arg.value.clone());
                }
                Some(key) => words.push(format!("{key}={}", arg.value)),
                None => words.push(arg.value.clone()),
            }
        }
        words.reverse();
        Args { words, settings }
    }

    fn word(&mut self) -> Result<String> {
        self.words.pop().ok_or_else(|| "a word is missing".into())
    }

    fn number(&mut self) -> Result<u64> {
        Ok(self.word()?.trim_start_matches('#').parse()?)
    }

    fn number_or(&mut self, default: u64) -> Result<u64> {
        if self.words.is_empty() { Ok(default) } else { self.number() }
    }

    fn setting<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>>
    where
        T::Err: Error + 'static,
    {
        Ok(self.settings.get(key).map(|value| value.parse()).transpose()?)
    }

    /// Whether the filter lets a message through.
    fn lets(&self, message: &InFlight) -> bool {
        let wants = |key: &str, value: &str| self.settings.get(key).is_none_or(|wanted| wanted == value);
        wants("from", &message.from)
            && wants("to", &message.to)
            && wants("type", &format!("{:?}", message.message.get_msg_type()))
    }
}

impl Runner {
    fn perform(&mut self, command: &str, mut args: Args) -> Result<()> {
        match command {
            "cluster" => self.found(args)?,
            "tick" => {
                let (name, count) = (args.word()?, args.number_or(1)?);
                for _ in 0..count {
                    self.life(&name)?.clock.ticks.fetch_add(1, Ordering::Relaxed);
                    self.settle();
                }
            }
            "wait" => {
                let millis: u64 = args.word()?.trim_end_matches("ms").parse()?;
                *self.now.lock().unwrap() += Duration::from_millis(millis);
            }
            "propose" => {
                let (name, id) = (args.word()?, args.number()?);
                let data = entry::encode(id, request(&mut args)?);
                let (answer, waiting) = oneshot::channel();
                self.hand(&name, Input::Propose { id, data, answer }, Waiting::Proposal(id, waiting))?;
            }
            "change" => {
                let (name, id) = (args.word()?, args.number()?);
                let (what, whom) = (args.word()?, args.word()?);
                let change = match what.as_str() {
                    "add" => {
                        // Every member has one name and one life of its name: the token makes the id.
                        let member = Member::new(vec![url(&whom)], "added", None);
                        self.names.add(member.id.0, &whom);
                        MembershipChange::Add(member)
                    }
                    "remove" => MembershipChange::Remove(self.id(&whom)?),
                    other => return Err(format!("no such change: {other}").into()),
                };
                let (answer, waiting) = oneshot::channel();
                self.hand(
                    &name,
                    Input::ChangeMembers { id, change, answer },
                    Waiting::Proposal(id, waiting),
                )?;
            }
            "read" => {
                let (name, label) = (args.word()?, args.word()?);
                let (answer, waiting) = oneshot::channel();
                self.hand(&name, Input::ReadIndex(answer), Waiting::Read(label, waiting))?;
            }
            "transfer" => {
                let name = args.word()?;
                let (done, waiting) = oneshot::channel();
                self.hand(&name, Input::TransferLeadership(done), Waiting::Transfer(waiting))?;
            }
            "removed-by" => {
                let (name, peer) = (args.word()?, args.word()?);
                let input = Input::RemovedByPeer(self.id(&peer)?);
                self.send_input(&name, input)?;
            }
            "deliver" => self.deliver(args)?,
            "drop" => {
                for number in self.chosen(&mut args)? {
                    let message = self.take(number)?;
                    self.lines.push(format!("#{number} is lost"));
                    if let Some((_, done)) = message.snapshot {
                        let _ = done.send(Err("lost".to_owned()));
                    }
                }
            }
            "double" => {
                let number = args.number()?;
                let copy = self.copy_of(number)?;
                self.arrive(copy)?;
            }
            "stabilize" => {
                for round in 0.. {
                    if round == 1_000 {
                        return Err("the members never come to rest".into());
                    }
                    self.settle();
                    let Some(message) = self.flight.take(|message| args.lets(message)) else { break };
                    self.arrive(message)?;
                }
            }
            "flight" => {
                let names = self.names.clone();
                let lines = self.flight.show(|m| {
                    format!("#{} {} to {}: {}", m.number, m.from, m.to, message_text(&names, &m.message))
                });
                lines.into_iter().for_each(|line| self.lines.push(line));
            }
            "hold" => {
                let (name, after) = (args.word()?, args.number_or(0)?);
                self.member(&name)?.disk.gate.hold(after as u32);
            }
            "step" => {
                let (name, count) = (args.word()?, args.number_or(1)?);
                for _ in 0..count {
                    self.member(&name)?.disk.gate.permit(1);
                    self.settle();
                }
            }
            "release" => self.member(&args.word()?)?.disk.gate.release(),
            "crash" | "kill" => {
                let keep = args.setting("engine")?.unwrap_or(0);
                let power = command == "crash";
                let member = self.member(&args.word()?)?;
                member.life = None;
                member.disk.gate.release();
                if power {
                    member.disk.lose_unsynced();
                    member.engine.lose_unsynced(keep);
                }
            }
            "start" => self.start(&args.word()?)?,
            "join" => self.join(&args.word()?)?,
            "show" => self.show(&args.word()?)?,
            other => return Err(format!("no such command: {other}").into()),
        }
        Ok(())
    }

    // Members.

    fn found(&mut self, mut args: Args) -> Result<()> {
        let mut names = std::mem::take(&mut args.words);
        names.reverse();
        self.config = Config {
            initial_cluster: names.iter().map(|name| (name.clone(), url(name))).collect(),
            snapshot_count: args.setting("snapshot")?.unwrap_or(10_000),
            snapshot_catchup_entries: args.setting("catchup")?.unwrap_or(5_000),
            wal_segment_bytes: args.setting("segment")?.unwrap_or(1 << 20),
            compaction_batch_limit: 2,
            ..Config::default()
        };
        for name in &names {
            let id = Member::new(vec![url(name)], &self.config.initial_cluster_token, None).id;
            self.add(name, id);
        }
        for name in &names {
            self.start(name)?;
        }
        Ok(())
    }

    fn add(&mut self, name: &str, id: MemberId) {
        self.names.add(id.0, name);
        let narrator =
            Narrator { name: name.to_owned(), names: self.names.clone(), lines: self.lines.clone() };
        let mut initial_cluster = self.config.initial_cluster.clone();
        if !initial_cluster.iter().any(|(known, _)| known == name) {
            initial_cluster.push((name.to_owned(), url(name)));
        }
        let config = Config {
            name: name.to_owned(),
            data_dir: format!("/{name}").into(),
            advertise_peer_urls: vec![url(name)],
            initial_cluster,
            ..self.config.clone()
        };
        let gate = Gate::default();
        let member = Scripted {
            disk: ScriptDisk::new(narrator.clone(), gate.clone()),
            engine: ScriptEngine::new(narrator.clone(), gate),
            narrator,
            config: Arc::new(config),
            life: None,
        };
        self.members.insert(name.to_owned(), member);
    }

    /// A member that was added starts with an empty log; who it is, the others would tell it.
    fn join(&mut self, name: &str) -> Result<()> {
        let cluster_id = self.members.values().find_map(|member| Some(member.life.as_ref()?.shared.cluster));
        let metadata = Metadata {
            member_id: self.id(name)?,
            cluster_id: cluster_id.ok_or("nobody runs who could tell of the cluster")?,
        };
        self.add(name, metadata.member_id);
        let member = self.member(name)?;
        let (files, dir) = (member.disk.clone(), member.config.wal_dir());
        block_on(durable::create_dir_all(&files, dir.parent().expect("a folder")))?;
        block_on(Wal::create(Arc::new(files), &dir, metadata, member.config.wal_segment_bytes))?;
        self.lines.take();
        self.start(name)
    }

    fn start(&mut self, name: &str) -> Result<()> {
        let clock = ScriptClock { now: self.now.clone(), ..ScriptClock::default() };
        let (applied, flight) = (self.applied.clone(), self.flight.clone());
        let member = self.member(name)?;
        if member.life.is_some() {
            return Err(format!("{name} runs").into());
        }
        let first = !block_on(member.disk.exists(&member.config.wal_dir()))?;
        let tasks = ScriptTasks::default();
        let env = Env {
            clock: Arc::new(clock.clone()),
            net: Arc::new(NoNet),
            files: Arc::new(member.disk.clone()),
            engines: Arc::new(member.engine.clone()),
            tasks: Arc::new(tasks.clone()),
            probe: Arc::new(ScriptProbe { narrator: member.narrator.clone(), applied }),
        };
        let config = member.config.clone();
        let data = block_on(open_data(&config, &env))?;
        let (inputs, input_queue) = mpsc::channel(INPUT_QUEUE);
        let shared = Arc::new(Shared::new(
            data.member,
            data.cluster,
            data.state,
            data.bootstrap.log.applied().clone(),
        ));
        let transport = ScriptTransport {
            narrator: member.narrator.clone(),
            flight,
            disk: member.disk.clone(),
            wal_dir: config.wal_dir(),
            peers: Arc::default(),
        };
        let ids =
            Ids::new(data.member, Duration::ZERO, data.bootstrap.term, data.bootstrap.log.last(), "reads");
        let node = Node::new(NodeParts {
            env,
            config,
            shared: shared.clone(),
            transport: Arc::new(transport),
            wal: data.wal,
            engine: data.engine,
            ids,
            log: data.bootstrap.log,
            snapshot_index: data.bootstrap.snapshot_index,
            inputs: input_queue,
            own_inputs: inputs.clone(),
            election_spread: 1,
        })?;
        let lock = data.lock;
        let node = Box::pin(async move {
            let halt = node.run().await;
            drop(lock);
            halt
        });
        member.life = Some(Life { node, tasks, clock, inputs, shared, waiting: Vec::new() });
        if first {
            // How a log comes into being is the WAL's tests' subject.
            self.lines.take();
        }
        Ok(())
    }

    fn show(&mut self, name: &str) -> Result<()> {
        let names = self.names.clone();
        let member = self.member(name)?;
        let disk = Arc::new(member.disk.disk.durable_copy());
        let (_, durable) = block_on(Wal::open(disk, &member.config.wal_dir(), u64::MAX))?;
        let engine = member.engine.durable_index();
        let mut line = match &member.life {
            None => format!("{name} is down"),
            Some(life) => {
                let status = life.shared.status();
                let state = life.shared.state();
                let members: Vec<u64> = state.membership().members().map(|member| member.id.0).collect();
                format!(
                    "{name} {:?} term={} last={} committed={} applied={} revision={} members={}",
                    status.role,
                    status.term,
                    status.last,
                    status.committed,
                    status.applied,
                    state.revision(),
                    names.list(&members)
                )
            }
        };
        let first = durable.snapshot.as_ref().map_or(0, |record| record.index.0);
        write!(
            line,
            "; durable: log after {first} to {}, term={} vote={} commit={}, engine {engine}",
            durable.last_index(),
            durable.hard_state.term,
            names.name(durable.hard_state.vote),
            durable.hard_state.commit,
        )?;
        self.lines.push(line);
        Ok(())
    }

    fn member(&mut self, name: &str) -> Result<&mut Scripted> {
        self.members.get_mut(name).ok_or_else(|| format!("no member {name}").into())
    }

    fn life(&mut self, name: &str) -> Result<&mut Life> {
        self.member(name)?.life.as_mut().ok_or_else(|| format!("{name} is down").into())
    }

    fn id(&self, name: &str) -> Result<MemberId> {
        Ok(MemberId(self.names.id(name).ok_or_else(|| format!("no member {name}"))?))
    }

    fn send_input(&mut self, name: &str, input: Input) -> Result<()> {
        self.life(name)?.inputs.try_send(input).map_err(|_| format!("{name} takes nothing").into())
    }

    fn hand(&mut self, name: &str, input: Input, waiting: Waiting) -> Result<()> {
        self.send_input(name, input)?;
        self.life(name)?.waiting.push(waiting);
        Ok(())
    }

    // Messages.

    /// The numbers that a command names, or those of all messages that its filter lets through.
    fn chosen(&self, args: &mut Args) -> Result<Vec<u64>> {
        if args.words.is_empty() {
            return Ok(self.flight.numbers(|message| args.lets(message)));
        }
        let mut numbers = Vec::new();
        while !args.words.is_empty() {
            numbers.push(args.number()?);
        }
        Ok(numbers)
    }

    fn take(&self, number: u64) -> Result<InFlight> {
        let found = self.flight.take(|message| message.number == number);
        found.ok_or_else(|| format!("#{number} is not in flight").into())
    }

    fn copy_of(&self, number: u64) -> Result<InFlight> {
        let mut copy = None;
        self.flight.numbers(|message| {
            if message.number == number {
                copy = Some((message.from.clone(), message.to.clone(), message.message.clone()));
            }
            false
        });
        let (from, to, message) = copy.ok_or_else(|| format!("#{number} is not in flight"))?;
        Ok(InFlight { number, from, to, message, snapshot: None })
    }

    fn deliver(&mut self, mut args: Args) -> Result<()> {
        for number in self.chosen(&mut args)? {
            let message = self.take(number)?;
            self.arrive(message)?;
            self.settle();
        }
        Ok(())
    }

    /// A message reaches its receiver, if that runs.
    fn arrive(&mut self, message: InFlight) -> Result<()> {
        let InFlight { number, to, message, snapshot, .. } = message;
        let runs = self.members.get(&to).is_some_and(|member| member.life.is_some());
        if !runs {
            self.lines.push(format!("#{number} finds nobody"));
            if let Some((_, done)) = snapshot {
                let _ = done.send(Err("nobody there".to_owned()));
            }
            return Ok(());
        }
        let Some((bytes, done)) = snapshot else {
            // Only bytes cross.
            let bytes = message.write_to_bytes()?;
            return self.send_input(&to, Input::Messages(vec![Message::parse_from_bytes(&bytes)?]));
        };
        // The peer service writes the file, durably, before raft hears of it.
        let member = self.member(&to)?;
        let path = snapshot_path(&member.config.snap_dir(), message.get_snapshot().get_metadata().index);
        receive(&member.disk, &path, bytes)?;
        self.send_input(&to, Input::Snapshot(Box::new(message)))?;
        self.settle();
        let _ = done.send(Ok(()));
        Ok(())
    }

    // Running.

    /// Polls everything until nothing moves.
    fn settle(&mut self) {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        for round in 0.. {
            assert!(round < 10_000, "the members never come to rest");
            woken.0.store(false, Ordering::Relaxed);
            for (name, member) in &mut self.members {
                let Some(life) = &mut member.life else { continue };
                let halt = life.node.as_mut().poll(&mut cx);
                life.tasks.poll(&mut cx);
                life.hear(name, &self.lines);
                if let Poll::Ready(halt) = halt {
                    let why = match halt {
                        Halt::Requested => "as asked".to_owned(),
                        Halt::Removed => "it was removed".to_owned(),
                        Halt::Refused(why) => why,
                        Halt::Failed(reason) => reason,
                    };
                    self.lines.push(format!("{name} stops: {why}"));
                    member.life = None;
                }
            }
            if !woken.0.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// What must hold whatever happens: one entry and one state at each index, one leader a term.
    fn check(&mut self) {
        for fact in std::mem::take(&mut *self.applied.lock().unwrap()) {
            let agreed = self.agreed.entry(fact.1).or_insert_with(|| fact.clone());
            assert_eq!(
                (agreed.2, agreed.3, agreed.4),
                (fact.2, fact.3, fact.4),
                "{} and {} differ at index {}: term, entry, state",
                agreed.0,
                fact.0,
                fact.1
            );
        }
        for (name, member) in &self.members {
            let Some(life) = &member.life else { continue };
            let status = life.shared.status();
            if status.role == crate::seam::Role::Leader {
                let leader = self.leaders.entry(status.term.0).or_insert_with(|| name.clone());
                assert_eq!(leader, name, "two leaders in term {}", status.term);
            }
        }
    }
}

impl Life {
    /// Tells what clients have heard.
    fn hear(&mut self, name: &str, lines: &Lines) {
        self.waiting.retain_mut(|waiting| {
            let gone = |label: &dyn std::fmt::Display| format!("{name} leaves {label} without an answer");
            let text = match waiting {
                Waiting::Proposal(id, answer) => match answer.try_recv() {
                    Ok(answer) => format!("{name} answers #{id}: {}", answer_text(&answer)),
                    Err(oneshot::error::TryRecvError::Empty) => return true,
                    Err(_) => gone(&format_args!("#{id}")),
                },
                Waiting::Read(label, answer) => match answer.try_recv() {
                    Ok(Ok(())) => {
                        let state = self.shared.state();
                        format!("{name} serves read {label} at revision {}", state.revision())
                    }
                    Ok(Err(refusal)) => format!("{name} refuses read {label}: {refusal}"),
                    Err(oneshot::error::TryRecvError::Empty) => return true,
                    Err(_) => gone(&format_args!("read {label}")),
                },
                Waiting::Transfer(done) => match done.try_recv() {
                    Ok(()) => format!("{name} has handed over"),
                    Err(oneshot::error::TryRecvError::Empty) => return true,
                    Err(_) => gone(&"the transfer"),
                },
            };
            lines.push(text);
            false
        });
    }
}

fn receive(disk: &ScriptDisk, path: &Path, bytes: Vec<u8>) -> Result<()> {
    block_on(async {
        let mut receiver = Receiver::create(Arc::new(disk.clone()), path, u64::MAX).await?;
        receiver.append(bytes.into()).await?;
        receiver.finish().await
    })?;
    Ok(())
}

fn url(name: &str) -> String {
    format!("http://{name}:2380")
}

fn request(args: &mut Args) -> Result<Request> {
    Ok(match args.word()?.as_str() {
        "put" => {
            let pair = args.word()?;
            let (key, value) = pair.split_once('=').ok_or("a put needs KEY=VALUE")?;
            let (key, value) = (key.to_owned().into(), value.to_owned().into());
            Request::Put(pb::PutRequest { key, value, ..Default::default() })
        }
        "delete" => {
            Request::DeleteRange(pb::DeleteRangeRequest { key: args.word()?.into(), ..Default::default() })
        }
        "compact" => Request::Compaction(pb::CompactionRequest {
            revision: args.word()?.parse()?,
            ..Default::default()
        }),
        other => return Err(format!("no such request: {other}").into()),
    })
}
