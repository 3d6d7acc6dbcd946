//! The nemesis: applies a schedule to the world, instant by instant, and tells the history what it did.
//!
//! It draws nothing. A target that was symbolic in the schedule is resolved when its fault strikes, with the number that
//! the planner drew for it; the names go into the history. Procedures that take time (replace a member, restore a
//! snapshot) go on beside later faults, as an operator's work does.

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt, future::Either, future::select, stream::FuturesUnordered};
use squall_checker::history as h;

use crate::{
    cluster::Cluster,
    plan::{Injection, Schedule, ScheduledFault},
    run::gaps,
    scenario::{self, Direction, Latency, Peers, SlowFsync},
    workload::{Client, Recorder},
    world::{At, Latency as LinkLatency, NodeId, Unsynced, World},
};

/// What came of a schedule.
#[derive(Debug, Default)]
pub struct Report {
    /// Faults that hit somebody, by action.
    pub injected: BTreeMap<String, u64>,
    /// When each fault held, by its id: from its strike to its end, in nanoseconds.
    pub spans: BTreeMap<String, (u64, u64)>,
    /// Procedures that did not succeed, and why.
    pub stuck: Vec<String>,
}

/// Applies schedules to one cluster.
pub struct Nemesis {
    world: World,
    cluster: Cluster,
    recorder: Arc<Recorder>,
    /// What each link has when no fault slows it.
    latency: LinkLatency,
    /// Performs the operations that are faults, such as compactions, so that the judge sees them.
    client: Arc<tokio::sync::Mutex<Client>>,
    /// Faults in force, by their place in the schedule: whom they hit.
    active: BTreeMap<usize, Vec<String>>,
    /// Whom each fault hit, by its id.
    hits: BTreeMap<String, Vec<String>>,
    report: Report,
}

enum Step {
    Strike(usize),
    End(usize),
}

type Procedure<'a> = Pin<Box<dyn Future<Output = (usize, Result<(), String>)> + 'a>>;

impl Nemesis {
    /// A nemesis for `cluster`, whose links have `latency` by default.
    pub fn new(
        world: World,
        cluster: Cluster,
        recorder: Arc<Recorder>,
        latency: LinkLatency,
        client: Client,
    ) -> Self {
        Self {
            world,
            cluster,
            recorder,
            latency,
            client: Arc::new(tokio::sync::Mutex::new(client)),
            active: BTreeMap::new(),
            hits: BTreeMap::new(),
            report: Report::default(),
        }
    }

    /// Applies the schedule, whose instants count from `origin`, until `end`; then heals everything, unless told not
    /// to, and waits for the procedures for at most `patience` each.
    pub async fn apply(
        mut self,
        schedule: &Schedule,
        origin: At,
        end: At,
        heal: bool,
        patience: Duration,
    ) -> Report {
        let mut steps = BTreeMap::new();
        for (place, fault) in schedule.faults.iter().enumerate() {
            steps.insert((fault.at_ns, 1, place), Step::Strike(place));
            if let Some(ends) = fault.ends_ns() {
                // Ends come before strikes of the same instant: a fault that follows another meets a mended world.
                steps.insert((ends, 0, place), Step::End(place));
            }
        }
        let cluster = self.cluster.clone();
        let mut procedures: FuturesUnordered<Procedure<'_>> = FuturesUnordered::new();
        loop {
            let next = steps.first_key_value().map(|((at, ..), _)| origin.after(Duration::from_nanos(*at)));
            let next = next.map_or(end, |at| at.min(end));
            self.wait(next, &mut procedures, schedule).await;
            match steps.pop_first() {
                Some((_, step)) if next < end || self.world.now() <= end => match step {
                    Step::Strike(place) => {
                        let fault = &schedule.faults[place];
                        if let Some(procedure) = self.strike(place, fault, &cluster).await {
                            procedures.push(procedure);
                        }
                    }
                    Step::End(place) => self.end(place, &schedule.faults[place]),
                },
                _ => break,
            }
            self.cluster.mind_outage();
        }
        let now = self.world.now();
        if now < end {
            self.wait(end, &mut procedures, schedule).await;
        }
        // Members that are down stay down while an operator is at work on the cluster: a member that was wiped from the
        // plan must not come back with its old data in the middle of it.
        if heal {
            self.heal_all(schedule, |fault| !matches!(fault.injection, Injection::Crash { .. }));
        }
        self.wait_all(patience, &mut procedures, schedule).await;
        if heal {
            self.heal_all(schedule, |_| true);
            // What a crash without an end took down, and what a procedure left behind when it gave up.
            for candidate in self.cluster.candidates() {
                self.cluster.start_if_down(&candidate.name);
            }
            self.recorder.event(h::Event::Heal(h::Heal { at: self.recorder.now_ns(), ..h::Heal::default() }));
        }
        self.cluster.mind_outage();
        self.cluster.close_outage();
        self.report
    }

    /// Waits until `until`, while procedures go on.
    async fn wait(
        &mut self,
        until: At,
        procedures: &mut FuturesUnordered<Procedure<'_>>,
        schedule: &Schedule,
    ) {
        let world = self.world.clone();
        let mut sleep = Box::pin(world.sleep_until(until));
        loop {
            if procedures.is_empty() {
                return sleep.await;
            }
            match select(procedures.next(), sleep.as_mut()).await {
                Either::Left((Some(done), _)) => self.procedure_done(done, schedule),
                Either::Left((None, _)) => {}
                Either::Right(((), _)) => return,
            }
        }
    }

    /// Waits for all procedures, but for none longer than `patience`: they take turns.
    async fn wait_all(
        &mut self,
        patience: Duration,
        procedures: &mut FuturesUnordered<Procedure<'_>>,
        schedule: &Schedule,
    ) {
        let world = self.world.clone();
        let mut sleep = Box::pin(world.sleep(patience));
        while !procedures.is_empty() {
            match select(procedures.next(), sleep.as_mut()).await {
                Either::Left((Some(done), _)) => {
                    self.procedure_done(done, schedule);
                    sleep = Box::pin(world.sleep(patience));
                }
                Either::Left((None, _)) => {}
                Either::Right(((), _)) => {
                    let left: Vec<&str> = self
                        .active
                        .keys()
                        .map(|place| &schedule.faults[*place])
                        .filter(|fault| !fault.injection.action().lasts())
                        .map(|fault| fault.id.as_str())
                        .collect();
                    let refused = self.cluster.last_refusal().unwrap_or_else(|| "nothing was refused".into());
                    self.report.stuck.push(format!(
                        "the operator's work ({}) is not done, though nothing breaks any more; last, {refused}",
                        left.join(", ")
                    ));
                    return;
                }
            }
        }
    }

    fn procedure_done(&mut self, (place, result): (usize, Result<(), String>), schedule: &Schedule) {
        let fault = &schedule.faults[place];
        if let Err(why) = result {
            self.report.stuck.push(format!("{}: {why}", fault.id));
        }
        // Whoever was down before a cluster was made anew has been started by that, or was meant to stay down.
        if matches!(fault.injection, Injection::ForceNewCluster(_) | Injection::RestoreSnapshot { .. }) {
            let crashes: Vec<usize> = self.active.keys().copied().collect();
            for place in crashes {
                if matches!(schedule.faults[place].injection, Injection::Crash { .. }) {
                    self.note_end(place, &schedule.faults[place]);
                }
            }
        }
        self.note_end(place, fault);
        self.cluster.mind_outage();
    }

    /// A fault strikes. A procedure is handed back, to go on beside what follows.
    async fn strike<'a>(
        &mut self,
        place: usize,
        fault: &'a ScheduledFault,
        cluster: &'a Cluster,
    ) -> Option<Procedure<'a>> {
        let action = fault.injection.action();
        let now = self.recorder.now_ns();
        let candidates = self.cluster.candidates();
        let same_as = fault.target.selector.same_as.as_ref().and_then(|id| self.hits.get(id)).cloned();
        let names = if action.has_target() {
            fault.target.resolve(action, &candidates, &same_as.unwrap_or_default(), fault.draw)
        } else {
            candidates.iter().map(|candidate| candidate.name.clone()).collect()
        };
        let hit = !names.is_empty();
        self.recorder.event(h::Event::Fault(h::Fault {
            at: now,
            action: action.name().to_owned(),
            target: names.join(","),
            detail: serde_json::json!({ "id": fault.id }),
        }));
        if !hit {
            return None;
        }
        *self.report.injected.entry(action.name().to_owned()).or_default() += 1;
        self.report.spans.insert(fault.id.clone(), (now, now));
        self.hits.insert(fault.id.clone(), names.clone());
        self.active.insert(place, names.clone());
        let nodes: Vec<NodeId> = names.iter().map(|name| self.cluster.node(name)).collect();
        let first = names[0].clone();
        match &fault.injection {
            Injection::Crash { unsynced } => {
                for node in nodes {
                    match unsynced {
                        scenario::Unsynced::Any => self.world.kill_with(node, Unsynced::Drawn),
                        scenario::Unsynced::Drop => self.world.kill_with(node, Unsynced::Lost),
                        scenario::Unsynced::Keep => self.world.kill_process(node),
                    }
                }
            }
            Injection::Restart => {
                return Some(Box::pin(async move {
                    for name in &names {
                        cluster.restart(name).await;
                    }
                    (place, Ok(()))
                }));
            }
            Injection::Pause => nodes.iter().for_each(|node| self.world.pause(*node)),
            Injection::Partition(partition) => {
                for (from, to) in self.links(&nodes, partition.peers, &partition.names, partition.direction) {
                    self.world.cut(from, to);
                }
            }
            Injection::Latency(latency) => {
                let slow = self.slowed(latency);
                for (from, to) in self.links(&nodes, latency.peers, &[], Direction::Both) {
                    self.world.set_latency(from, to, Some(slow));
                }
            }
            Injection::DiskStall => nodes.iter().for_each(|node| self.world.stall_disk(*node)),
            Injection::SlowFsync(slow) => {
                nodes.iter().for_each(|node| self.world.slow_disk(*node, slowness(slow, fault.draw)));
            }
            Injection::ReplaceMember(settings) => {
                return Some(Box::pin(async move {
                    (place, cluster.replace_member(&first, settings.pause).await)
                }));
            }
            Injection::ForceNewCluster(settings) => {
                return Some(Box::pin(
                    async move { (place, cluster.force_new_cluster(&first, settings).await) },
                ));
            }
            Injection::SnapshotSave => {
                return Some(Box::pin(
                    async move { (place, cluster.save_snapshot(&fault.id, &first).await) },
                ));
            }
            Injection::RestoreSnapshot { snapshot, token, pause } => {
                return Some(Box::pin(async move {
                    (place, cluster.restore_snapshot(snapshot, token, *pause).await)
                }));
            }
            Injection::Compact(compact) => {
                let (recorder, client, keep) = (self.recorder.clone(), self.client.clone(), compact.keep);
                return Some(Box::pin(async move {
                    let mut client = client.lock().await;
                    let newest = recorder.with_operations(|operations| {
                        operations
                            .iter()
                            .filter_map(h::Operation::revision)
                            .max()
                            .map_or(0, |revision| revision.0)
                    });
                    let revision = (newest - keep as i64).max(1);
                    // What the compaction takes away, nobody can be asked for: so it takes what is explained.
                    let revision = gaps::explain(&recorder, &mut client, revision, false).await;
                    let compact = h::Compact { revision: h::Revision(revision), physical: false };
                    client.perform(&h::Op::Compact(compact), false).await;
                    (place, Ok(()))
                }));
            }
        }
        None
    }

    /// A fault that lasts is undone.
    fn end(&mut self, place: usize, fault: &ScheduledFault) {
        let Some(names) = self.active.get(&place).cloned() else { return };
        let nodes: Vec<NodeId> = names.iter().map(|name| self.cluster.node(name)).collect();
        match &fault.injection {
            Injection::Crash { .. } => names.iter().for_each(|name| self.cluster.start_if_down(name)),
            Injection::Pause => {
                nodes.iter().for_each(|node| self.world.resume(*node));
                self.cluster.came_back();
            }
            Injection::Partition(partition) => {
                for (from, to) in self.links(&nodes, partition.peers, &partition.names, partition.direction) {
                    self.world.heal(from, to);
                }
            }
            Injection::Latency(latency) => {
                for (from, to) in self.links(&nodes, latency.peers, &[], Direction::Both) {
                    self.world.set_latency(from, to, None);
                }
            }
            Injection::DiskStall => nodes.iter().for_each(|node| self.world.end_disk_stall(*node)),
            Injection::SlowFsync(_) => {
                nodes.iter().for_each(|node| self.world.slow_disk(*node, Duration::ZERO))
            }
            // Procedures end by themselves.
            Injection::Restart
            | Injection::ReplaceMember(_)
            | Injection::ForceNewCluster(_)
            | Injection::SnapshotSave
            | Injection::RestoreSnapshot { .. }
            | Injection::Compact(_) => return,
        }
        self.note_end(place, fault);
    }

    fn note_end(&mut self, place: usize, fault: &ScheduledFault) {
        let Some(names) = self.active.remove(&place) else { return };
        let at = self.recorder.now_ns();
        if let Some((_, to)) = self.report.spans.get_mut(&fault.id) {
            *to = at;
        }
        let action = fault.injection.action().name().to_owned();
        self.recorder.event(h::Event::Heal(h::Heal {
            at,
            action,
            target: names.join(","),
            ..h::Heal::default()
        }));
    }

    /// Ends the faults in force that `which` names.
    fn heal_all(&mut self, schedule: &Schedule, which: impl Fn(&ScheduledFault) -> bool) {
        let active: Vec<usize> = self.active.keys().copied().collect();
        for place in active {
            let fault = &schedule.faults[place];
            if which(fault) {
                self.end(place, fault);
            }
        }
        self.cluster.mind_outage();
    }

    /// The links of a partition or a slowness: from the selected members to the other ends, and back, as the direction
    /// says.
    fn links(
        &self,
        hit: &[NodeId],
        peers: Peers,
        only: &[String],
        direction: Direction,
    ) -> Vec<(NodeId, NodeId)> {
        let members = self.cluster.nodes().into_iter().filter(|node| {
            !hit.contains(node) && (only.is_empty() || only.iter().any(|name| name == node.name()))
        });
        let clients = self.cluster.client_nodes();
        let others: Vec<NodeId> = match peers {
            Peers::Members => members.collect(),
            Peers::Clients => clients,
            Peers::All => members.chain(clients).collect(),
        };
        let mut links = Vec::new();
        for one in hit {
            for other in &others {
                if direction != Direction::From {
                    links.push((*one, *other));
                }
                if direction != Direction::To {
                    links.push((*other, *one));
                }
            }
        }
        links
    }

    fn slowed(&self, latency: &Latency) -> LinkLatency {
        LinkLatency { base: self.latency.base + latency.delay, jitter: self.latency.jitter + latency.jitter }
    }
}

/// What a slow disk adds to each fsync of one fault: the delay, and the draw's share of the jitter.
fn slowness(slow: &SlowFsync, draw: u64) -> Duration {
    slow.delay + slow.jitter * u32::try_from(draw % 1001).unwrap_or(0) / 1000
}
