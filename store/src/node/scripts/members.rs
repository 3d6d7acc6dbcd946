//! The members of a script: their parts, how they start and stop, and what they print.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use squall_core::{Member, MemberId, Refusal, Reply};
use tokio::sync::{mpsc, oneshot};

use super::{
    Runner,
    disk::{Gate, ScriptDisk, ScriptEngine},
    golden::{Args, Result},
    narrate::Narrator,
    world::{Driven, NoNet, NoSecrets, ScriptClock, ScriptProbe, ScriptTasks, ScriptTransport},
};
use crate::{
    Config, durable,
    node::{Halt, INPUT_QUEUE, Ids, Input, Node, NodeParts, Shared},
    seam::{Env, Files as _, Points},
    server::open_data,
    wal::{Metadata, Wal, crash_disk::block_on},
};

/// One member: its process, and what outlives the process.
pub(super) struct Scripted {
    pub(super) narrator: Narrator,
    pub(super) config: Arc<Config>,
    pub(super) disk: ScriptDisk,
    pub(super) engine: ScriptEngine,
    pub(super) life: Option<Life>,
}

/// A running process.
pub(super) struct Life {
    pub(super) node: Driven<Halt>,
    pub(super) tasks: ScriptTasks,
    pub(super) clock: ScriptClock,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) shared: Arc<Shared>,
    pub(super) waiting: Vec<Waiting>,
}

/// A client that waits.
pub(super) enum Waiting {
    Proposal(u64, oneshot::Receiver<Result<Reply, Refusal>>),
    Read(String, oneshot::Receiver<Result<(), Refusal>>),
    Transfer(oneshot::Receiver<()>),
    Move(oneshot::Receiver<Result<(), Refusal>>),
    Ready(String, oneshot::Receiver<Result<(), Refusal>>),
    Defragment(oneshot::Receiver<()>),
}

impl Runner {
    pub(super) fn found(&mut self, args: &mut Args) -> Result<()> {
        let names = args.rest();
        self.config = Config {
            initial_cluster: names.iter().map(|name| (name.clone(), url(name))).collect(),
            snapshot_count: args.parse_or("snapshot", 10_000)?,
            snapshot_catchup_entries: args.parse_or("catchup", 5_000)?,
            wal_segment_bytes: args.parse_or("segment", 1 << 20)?,
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

    /// Starts a member that was added, with an empty log. Outside a script, the other members would tell it its id.
    pub(super) fn join(&mut self, name: &str) -> Result<()> {
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

    pub(super) fn start(&mut self, name: &str) -> Result<()> {
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
            points: Points::default(),
            secrets: Arc::new(NoSecrets),
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
            // The creation of a log is not printed: the WAL's own tests cover it.
            self.lines.take();
        }
        Ok(())
    }

    pub(super) fn show(&mut self, name: &str) -> Result<()> {
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

    pub(super) fn member(&mut self, name: &str) -> Result<&mut Scripted> {
        self.members.get_mut(name).ok_or_else(|| format!("no member {name}").into())
    }

    pub(super) fn life(&mut self, name: &str) -> Result<&mut Life> {
        self.member(name)?.life.as_mut().ok_or_else(|| format!("{name} is down").into())
    }

    pub(super) fn id(&self, name: &str) -> Result<MemberId> {
        Ok(MemberId(self.names.id(name).ok_or_else(|| format!("no member {name}"))?))
    }

    pub(super) fn send_input(&mut self, name: &str, input: Input) -> Result<()> {
        self.life(name)?.inputs.try_send(input).map_err(|_| format!("{name} takes nothing").into())
    }

    pub(super) fn hand(&mut self, name: &str, input: Input, waiting: Waiting) -> Result<()> {
        self.send_input(name, input)?;
        self.life(name)?.waiting.push(waiting);
        Ok(())
    }
}

pub(super) fn url(name: &str) -> String {
    format!("http://{name}:2380")
}
