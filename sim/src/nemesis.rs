//! The nemesis: applies a plan's faults to the arena and records in the history what it did.
//!
//! It makes no random choices. Each fault is one future, and all run concurrently. It waits for its instant, resolves
//! its target, strikes, waits for its end, and undoes what it did. So a fault that takes long (an operator's
//! procedure) delays no other.
//!
//! At the time limit everything heals, in this order. First, lasting faults end and crashed members start, except
//! those that an operator works on. Then the procedures end; they need a cluster that works. Then the members that are
//! still down start. Only then does the history say that no more faults happen.
//!
//! If only a core heals (`final.core`), members outside it that are down stay down, and those that hang or are cut off
//! are cut off from the whole core for good. So a member outside the core is either sound or gone. Otherwise a leader
//! that reaches only half of the core would keep the other half from electing one, in etcd too, and the run could not
//! demand progress.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::{Either, select},
    stream::FuturesUnordered,
};
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;
use squall_store::seam::yield_once;
use tokio::sync::Notify;

use crate::{
    arena::{At, NodeId},
    faults::{After, Aim, FinalHeal, Milestone, Settings, Stage, Strike, Struck, Undo},
    plan::DrawnFault,
};

/// How long a member stays down after a crash that replaced a worse fault, if the fault gives no duration.
const DOWN: Duration = Duration::from_secs(1);

/// The results of a plan's faults.
#[derive(Debug, Default)]
pub struct Report {
    /// How many faults hit a member or the cluster, by action.
    pub injected: BTreeMap<String, u64>,
    /// How many faults took effect, by action: they swallowed or delayed messages, lost data, or did their work.
    pub bit: BTreeMap<String, u64>,
    /// The names of the faults without any effect: they changed nothing, or the event that they wait for never came.
    pub bit_nothing: Vec<String>,
    /// When each fault was active, by its id: from its strike to its end, in nanoseconds.
    pub spans: BTreeMap<String, (u64, u64)>,
    /// Procedures that were given up without harm: fault and reason.
    pub given_up: Vec<(String, String)>,
    /// Procedures that did not succeed although no fault prevented them, and why.
    pub stuck: Vec<String>,
    /// The final checks that were skipped, and why.
    pub unchecked: Vec<String>,
}

/// Which members heal at the time limit.
pub(crate) enum Healing {
    /// Nothing.
    Nothing,
    /// Every member.
    All,
    /// A core, which the random generator chooses.
    Core(Box<ChaCha8Rng>),
}

/// Applies faults to one cluster.
pub(crate) struct Nemesis {
    stage: Stage,
    state: RefCell<State>,
    final_heal: FinalHeal,
    /// The members that heal, if not all do. Chosen when healing begins.
    core: RefCell<Option<BTreeSet<NodeId>>>,
    /// Notified whenever a fault strikes or ends.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// The names of the members that each fault hit, by the fault's id.
    hits: BTreeMap<String, Vec<String>>,
    /// How many steps the operator had made when each fault struck, by the fault's id.
    steps_before: BTreeMap<String, u64>,
    /// The ids of the faults that have struck and not ended.
    active: Vec<String>,
    /// The ids of the faults that are over: they have ended, or had no target.
    over: BTreeSet<String>,
    report: Report,
}

impl Nemesis {
    pub(crate) fn new(stage: Stage) -> Self {
        Self {
            stage,
            state: RefCell::default(),
            final_heal: FinalHeal::default(),
            core: RefCell::default(),
            changed: Notify::new(),
        }
    }

    /// Applies faults, whose instants count from `origin`, until `end`. Then heals the members that `healing` says and
    /// waits for the procedures, as long as each step ends within `patience` after the step before it.
    pub(crate) async fn apply(
        &self,
        faults: &[DrawnFault],
        origin: At,
        end: At,
        healing: Healing,
        patience: Duration,
    ) -> Report {
        let mut living: FuturesUnordered<_> =
            faults.iter().map(|fault| self.live(fault, origin, end)).collect();
        let mut over = self.stage.arena.sleep_until(end);
        loop {
            match select(living.next(), over).await {
                Either::Left((Some(()), left)) => over = left,
                Either::Left((None, left)) => {
                    left.await;
                    break;
                }
                Either::Right(((), _)) => break,
            }
        }
        if let Healing::Core(mut chance) = healing {
            *self.core.borrow_mut() = self.stage.cluster.choose_core(&mut *chance);
            self.final_heal.begin();
        } else if matches!(healing, Healing::All) {
            self.final_heal.begin();
        }
        if self.final_heal.has_begun() {
            let mut started_again = false;
            loop {
                let given_up = Box::pin(self.stage.arena.sleep(patience));
                let done = self.stage.cluster.work_done();
                match select(living.next(), given_up).await {
                    Either::Left((Some(()), _)) => {}
                    Either::Left((None, _)) => break,
                    Either::Right(((), _)) if self.stage.cluster.work_done() > done => {}
                    // A member may have ended just after the fault that made it end, and not have been started again
                    // yet.
                    Either::Right(((), _)) if !started_again && self.stage.cluster.start_all_exited() => {
                        started_again = true;
                    }
                    Either::Right(((), _)) => {
                        self.note_unfinished();
                        break;
                    }
                }
            }
            // This releases the members that unfinished procedures worked on.
            drop(living);
            self.stage.cluster.start();
            let at = self.stage.recorder.now_ns();
            let detail = self.core.borrow().as_ref().map_or_else(String::new, |core| {
                let names: Vec<&str> = core.iter().map(|node| node.name()).collect();
                format!("only the core heals: {}", names.join(", "))
            });
            self.stage.recorder.event(h::Event::Heal(h::Heal { at, detail, ..h::Heal::default() }));
        }
        self.stage.cluster.close();
        std::mem::take(&mut self.state.borrow_mut().report)
    }

    fn note_unfinished(&self) {
        let mut state = self.state.borrow_mut();
        let refused = self.stage.cluster.last_refusal().unwrap_or_else(|| "nothing was refused".into());
        let text = format!(
            "the operator's work ({}) is not done, though nothing breaks any more; last, {refused}; the members: {}",
            state.active.join(", "),
            self.stage.cluster.last_steps()
        );
        state.report.stuck.push(text);
    }

    /// Runs one fault, from its instant to its end.
    async fn live(&self, fault: &DrawnFault, origin: At, end: At) {
        self.strike_and_end(fault, origin, end).await;
        // Faults that wait for its end have been notified. A fault without a target is over, too.
        if self.state.borrow_mut().over.insert(fault.id.clone()) {
            self.changed.notify_waiters();
        }
    }

    async fn strike_and_end(&self, fault: &DrawnFault, origin: At, end: At) {
        match &fault.after {
            None => self.stage.arena.sleep_until(origin.after(fault.at)).await,
            Some(after) => {
                let happened = std::pin::pin!(async {
                    self.happened(after, origin).await;
                    self.stage.arena.sleep(fault.at).await;
                });
                let over = std::pin::pin!(self.final_heal.begun());
                if let Either::Right(_) = select(happened, over).await {
                    self.state.borrow_mut().report.bit_nothing.push(fault.id.clone());
                    return;
                }
            }
        }
        // Faults that end at this instant end first, so a fault that follows another finds a healed world.
        yield_once().await;
        let (names, lighter) = self.resolve(fault).await;
        if self.final_heal.has_begun() || self.stage.arena.now() > end {
            return;
        }
        let at = self.stage.recorder.now_ns();
        let settings = lighter.as_ref().unwrap_or(&fault.settings);
        let action = settings.action().name().to_owned();
        let mut detail = serde_json::json!({ "id": fault.id });
        if lighter.is_some() {
            detail["insteadOf"] = fault.action().name().into();
            detail["because"] = "the cluster cannot afford to lose another copy".into();
        }
        self.stage.recorder.event(h::Event::Fault(h::Fault {
            at,
            action: action.clone(),
            target: names.join(","),
            detail,
            harms_disk: settings.harms_disk(),
            effects: Some(settings.action().effects().to_vec()),
        }));
        if names.is_empty() {
            return;
        }
        {
            let mut state = self.state.borrow_mut();
            *state.report.injected.entry(action.clone()).or_default() += 1;
            state.report.spans.insert(fault.id.clone(), (at, at));
            state.hits.insert(fault.id.clone(), names.clone());
            state.steps_before.insert(fault.id.clone(), self.stage.cluster.steps());
            state.active.push(fault.id.clone());
        }
        self.changed.notify_waiters();
        let hit: Vec<NodeId> = names.iter().map(|name| self.stage.cluster.node(name)).collect();
        let lives: Vec<(NodeId, u32)> =
            hit.iter().map(|node| (*node, self.stage.arena.life(*node))).collect();
        let strike = Strike {
            stage: &self.stage,
            id: &fault.id,
            hit: &hit,
            draw: fault.draw,
            lasts: fault.duration,
            final_heal: &self.final_heal,
        };
        let struck = settings.strike(strike).await;
        // A fault without a duration lasts as long as a member takes to come back.
        let lasts = match lighter {
            Some(_) => Some(fault.duration.unwrap_or(DOWN)),
            None => fault.duration,
        };
        let (bit, detail) = self.end(fault, lasts, &struck.undo, &lives).await;
        self.note_end(fault, &action, names, struck, bit, detail);
    }

    /// Completes once the event that a fault waits for has happened.
    async fn happened(&self, after: &After, origin: At) {
        let mut steps = self.stage.cluster.steps();
        for name in after.names() {
            loop {
                let changed = self.changed.notified();
                let has_happened = {
                    let state = self.state.borrow();
                    let has_struck = state.hits.contains_key(name);
                    match (after.over, after.ended) {
                        (true, _) => state.over.contains(name),
                        (false, true) => has_struck && !state.active.contains(name),
                        (false, false) => has_struck,
                    }
                };
                if has_happened {
                    break;
                }
                changed.await;
            }
            steps = match self.state.borrow().steps_before.get(name) {
                // A procedure makes its first steps at once, before this future is polled again.
                Some(before) if !after.ended && !after.over => steps.max(*before),
                _ => self.stage.cluster.steps(),
            };
        }
        if !after.since.is_zero() {
            self.stage.arena.sleep_until(origin.after(after.since)).await;
            steps = self.stage.cluster.steps();
        }
        match after.event {
            Some(Milestone::OperatorStep) => self.stage.cluster.reached_step(steps + after.count).await,
            Some(event) => self.stage.arena.reached(event, after.count).await,
            None => {}
        }
    }

    /// The names of the fault's targets, and the milder fault that replaces it if the cluster cannot afford it.
    async fn resolve(&self, fault: &DrawnFault) -> (Vec<String>, Option<Settings>) {
        let candidates = self.stage.cluster.candidates(fault.target.asks_for_roles()).await;
        if fault.action().aim() == Aim::Cluster {
            return (candidates.into_iter().map(|candidate| candidate.name).collect(), None);
        }
        let state = self.state.borrow();
        let same_as = fault.target.selector.same_as.as_ref().and_then(|id| state.hits.get(id));
        let same_as = same_as.map(Vec::as_slice).unwrap_or_default();
        let names = fault.target.resolve(&fault.settings, &candidates, same_as, fault.draw);
        if names.is_empty()
            && let Some(lighter) = fault.settings.lighter()
        {
            let wanted = fault.target.resolve_unaffordable(&fault.settings, &candidates, same_as, fault.draw);
            let possible = |name: &String| {
                candidates.iter().any(|member| member.name == *name && lighter.may_hit(member))
            };
            return (wanted.into_iter().filter(possible).collect(), Some(lighter));
        }
        (names, None)
    }

    /// Waits for the fault's end and undoes it. Answers how often it took effect, and a note for the reader.
    async fn end(
        &self,
        fault: &DrawnFault,
        lasts: Option<Duration>,
        undo: &Undo,
        lives: &[(NodeId, u32)],
    ) -> (u64, String) {
        let cluster = &self.stage.cluster;
        let mut kept_down = Vec::new();
        match undo {
            Undo::Nothing => (0, String::new()),
            Undo::Lift(tokens) => {
                self.wait_for_end(lasts).await;
                let mut detail = String::new();
                if let Some(core) = self.stays(fault, lives) {
                    let outside: Vec<NodeId> = lives.iter().map(|(node, _)| *node).collect();
                    cluster.isolate(&outside, &core);
                    detail = "cut off from the core for good".to_owned();
                }
                let bit = tokens.iter().map(|token| self.stage.arena.lift(*token)).sum();
                cluster.members_came_up();
                (bit, detail)
            }
            Undo::LiftAndStart(tokens, nodes) => {
                self.wait_for_end(lasts).await;
                let bit = tokens.iter().map(|token| self.stage.arena.lift(*token)).sum();
                cluster.members_went_down();
                for node in nodes {
                    if let Some(why) = cluster.start_if_exited(*node) {
                        kept_down.push(format!("{node} stays down: {why}"));
                    }
                }
                (bit, kept_down.join("; "))
            }
            Undo::LiftAndTrust(tokens, nodes) => {
                self.wait_for_end(lasts).await;
                let bit = tokens.iter().map(|token| self.stage.arena.lift(*token)).sum();
                nodes.iter().for_each(|node| cluster.note_lying_disk(*node, false));
                (bit, String::new())
            }
            Undo::Start(nodes) => {
                // A member that another fault or procedure has started is back as well.
                let ended = std::pin::pin!(self.wait_for_end(lasts));
                let started = std::pin::pin!(cluster.started_since(lives));
                select(started, ended).await;
                for node in nodes {
                    if let Some(why) = cluster.start_if_allowed(*node) {
                        kept_down.push(format!("{node} stays down: {why}"));
                    }
                }
                (0, kept_down.join("; "))
            }
            Undo::PutBack(images) => {
                self.wait_for_end(lasts).await;
                if self.final_heal.has_begun() {
                    return (0, "the run ended before the old disk came back".to_owned());
                }
                for (node, image) in images {
                    if let Some(why) = cluster.put_back(*node, image) {
                        kept_down.push(format!("{node}: {why}"));
                    }
                }
                (images.len() as u64 - kept_down.len() as u64, kept_down.join("; "))
            }
        }
    }

    /// The core, if this fault stays for good because all its targets are outside the core.
    fn stays(&self, fault: &DrawnFault, lives: &[(NodeId, u32)]) -> Option<BTreeSet<NodeId>> {
        let core = self.core.borrow();
        let core =
            core.as_ref().filter(|_| self.final_heal.has_begun() && fault.action().stays_outside_core())?;
        lives.iter().all(|(node, _)| !core.contains(node)).then(|| core.clone())
    }

    /// Waits until the fault's duration is over or everything heals.
    async fn wait_for_end(&self, duration: Option<Duration>) {
        match duration {
            Some(_) if self.final_heal.has_begun() => {}
            Some(duration) => {
                let sleep = Box::pin(self.stage.arena.sleep(duration));
                select(sleep, std::pin::pin!(self.final_heal.begun())).await;
            }
            None => self.final_heal.begun().await,
        }
    }

    fn note_end(
        &self,
        fault: &DrawnFault,
        action: &str,
        names: Vec<String>,
        struck: Struck,
        bit: u64,
        detail: String,
    ) {
        let at = self.stage.recorder.now_ns();
        let bit = bit + struck.bit;
        let given_up = match struck.detail.as_str() {
            "" => String::new(),
            why => format!("given up: {why}"),
        };
        let details: Vec<String> =
            [given_up, struck.note, detail].into_iter().filter(|text| !text.is_empty()).collect();
        let detail = details.join("; ");
        let mut state = self.state.borrow_mut();
        state.active.retain(|id| *id != fault.id);
        state.over.insert(fault.id.clone());
        self.changed.notify_waiters();
        let report = &mut state.report;
        if let Some((_, to)) = report.spans.get_mut(&fault.id) {
            *to = at;
        }
        if bit > 0 {
            *report.bit.entry(action.to_owned()).or_default() += 1;
        } else {
            report.bit_nothing.push(fault.id.clone());
        }
        if !struck.detail.is_empty() {
            report.given_up.push((fault.id.clone(), struck.detail));
        }
        if let Some(what) = struck.stuck {
            report.stuck.push(format!("{}: {what}", fault.id));
        }
        self.stage.recorder.event(h::Event::Heal(h::Heal {
            at,
            action: action.to_owned(),
            target: names.join(","),
            bit: Some(bit),
            detail,
        }));
    }
}

#[cfg(test)]
mod tests;
