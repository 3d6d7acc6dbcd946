//! One run: it sends operations from one seed to both servers, and collects the differences.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    time::{Duration, Instant},
};

use crate::{pair::Pair, planted::Planted, record::Notes};
use squall_conformance::{
    ALONE, Answer, Call, Delivered, Difference, Drawer, KNOWN, LOST_DELETIONS, Operation, PATIENCE, Received,
    Server, Service, Watching, World, compare_answers,
};

/// How many operations before a difference are shown.
const CONTEXT: usize = 12;
/// How many differences are shown at most.
const SHOWN: usize = 8;

/// A run of this many operations must have shown each known difference.
const LONG: u64 = 100_000;

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub seed: u64,
    pub operations: u64,
    /// Whether each operation is printed.
    pub trace: bool,
    /// The services that take part, with their shares.
    pub services: Vec<(Service, u32)>,
}

impl Settings {
    pub fn from_environment() -> Settings {
        let number = |name: &str, default| match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|error| panic!("{name}={text:?}: {error}")),
            Err(_) => default,
        };
        let services = services(&std::env::var("SQUALL_DIFF_SERVICES").unwrap_or_default());
        Settings {
            seed: number("SQUALL_DIFF_SEED", 1),
            operations: number("SQUALL_DIFF_OPERATIONS", 5_000),
            trace: std::env::var_os("SQUALL_DIFF_TRACE").is_some(),
            services,
        }
    }
}

/// Those that are named, with the share that stands behind the name or the usual one; all where none is.
fn services(named: &str) -> Vec<(Service, u32)> {
    let named: Vec<&str> = named.split(',').filter(|name| !name.is_empty()).collect();
    if named.is_empty() {
        return Service::ALL.to_vec();
    }
    let one = |text: &&str| {
        let (name, share) = text.split_once('=').unwrap_or((text, ""));
        let is_it = |(service, _): &(Service, u32)| format!("{service:?}").eq_ignore_ascii_case(name);
        let (service, usual) = Service::ALL.into_iter().find(is_it).unwrap_or_else(|| {
            panic!("SQUALL_DIFF_SERVICES={named:?}: {name:?} is no service of {:?}", Service::ALL)
        });
        let share = if share.is_empty() { usual } else { share.parse().expect("a share is a number") };
        (service, share)
    };
    named.iter().map(one).collect()
}

/// A difference, with the number and the context of its operation.
#[derive(Debug)]
pub struct Found {
    number: u64,
    difference: Difference,
    context: Vec<String>,
}

/// The counts of one kind of call.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    count: u64,
    refused: u64,
    /// The total time, including the comparison of watchers' events before and after.
    took: Duration,
}

/// A run under way.
pub struct Run {
    settings: Settings,
    pair: Pair,
    drawer: Drawer,
    world: World,
    number: u64,
    recent: VecDeque<String>,
    calls: BTreeMap<String, Calls>,
    /// How often each known difference showed.
    known: BTreeMap<&'static str, u64>,
    found: Vec<Found>,
    /// An error that is still to be planted.
    planted: Option<Planted>,
    /// Whether the two stores differ, so that further comparisons are useless.
    diverged: bool,
    /// What was answered, where it is to be recorded.
    pub notes: Option<Notes>,
}

impl Run {
    /// `None` if this machine has no etcd.
    pub async fn start(settings: Settings) -> Option<Run> {
        Some(Run {
            pair: Pair::start().await?,
            drawer: Drawer::new(settings.seed, settings.services.clone()),
            world: World::new(),
            number: 0,
            recent: VecDeque::new(),
            calls: BTreeMap::new(),
            known: BTreeMap::new(),
            settings,
            found: Vec::new(),
            diverged: false,
            notes: None,
            planted: None,
        })
    }

    /// Which run it is.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Makes the whole run, or stops once further operations are useless.
    pub async fn make(&mut self) {
        while self.number < self.settings.operations && !self.is_over() {
            self.step().await;
        }
        if !self.is_over() {
            // Wait for events that should not come: they may come late.
            tokio::time::sleep(Duration::from_millis(300)).await;
            self.settle(true).await;
        }
    }

    /// Plants an error, and goes on until it has occurred and all is compared. Returns how many differences were found
    /// before it occurred, and all differences.
    pub async fn make_with(&mut self, planted: Planted) -> (usize, Vec<Found>) {
        (self.planted, self.diverged) = (Some(planted), false);
        let mut before = 0;
        while self.planted.is_some() && self.number < self.settings.operations && !self.is_over() {
            before = self.found.len();
            self.step().await;
        }
        assert!(self.planted.is_none(), "there was no occasion for it in {} operations", self.number);
        self.diverged = false;
        (before, std::mem::take(&mut self.found))
    }

    fn is_over(&self) -> bool {
        self.diverged || self.found.len() >= SHOWN
    }

    /// Makes one operation.
    pub async fn step(&mut self) {
        let operation = self.drawer.draw(&self.world);
        let began = Instant::now();
        self.take(&operation).await;
        self.calls.entry(operation.call.name()).or_default().took += began.elapsed();
    }

    async fn take(&mut self, operation: &Operation) {
        self.notes.iter_mut().for_each(|notes| notes.begin(operation));
        if operation.call.needs_quiet() {
            self.settle(true).await;
            self.notes.iter_mut().for_each(Notes::settled);
            if self.world.must_catch_up(&operation.call) {
                let Pair { etcd, squalld, .. } = &self.pair;
                tokio::join!(etcd.caught_up(self.world.revision), squalld.caught_up(self.world.revision));
            }
            if self.is_over() {
                return;
            }
        }
        if let Some(alone) = ALONE.iter().find(|alone| (alone.applies)(&self.world, operation)) {
            let squalld = self.pair.squalld.perform(operation, &self.world).await;
            self.note(operation, &squalld);
            self.notes.iter_mut().for_each(|notes| notes.known(alone.name, &squalld));
            *self.known.entry(alone.name).or_default() += 1;
            if !squalld.declines() {
                self.find(Difference {
                    etcd: "(not asked: squalld must refuse)".into(),
                    squalld: squalld.to_string(),
                });
            }
            self.number += 1;
            return;
        }
        let (etcd, mut squalld) = if operation.call == Call::Restart {
            self.pair.restart().await;
            (Answer::said(&(), 0), Answer::said(&(), 0))
        } else {
            self.both(operation).await
        };
        if let Some(Planted::Answer(falsify)) = self.planted
            && compare_answers(&operation.call, &etcd, &squalld).is_none()
            && falsify(operation, &mut squalld)
        {
            self.planted = None;
        }
        self.note(operation, &etcd);
        self.notes.iter_mut().for_each(|notes| notes.answered(&etcd));
        if let Some(difference) = compare_answers(&operation.call, &etcd, &squalld) {
            let known = KNOWN.iter().find(|known| (known.explains)(&self.world, operation, &etcd, &squalld));
            match known {
                Some(known) => {
                    *self.known.entry(known.name).or_default() += 1;
                    self.notes.iter_mut().for_each(|notes| notes.known(known.name, &squalld));
                }
                None => {
                    self.find(difference);
                    // One server alone has made the change, so all later answers may differ.
                    self.diverged |= etcd.is_refused() != squalld.is_refused() && operation.call.changes();
                }
            }
        }
        if !self.pair.etcd_process.is_running() {
            let log = self.pair.etcd_process.log();
            let end: String = log.lines().rev().take(30).collect::<Vec<_>>().join("\n");
            self.find(Difference {
                etcd: format!("etcd has ended; its log, backwards:\n{end}"),
                squalld: String::new(),
            });
            self.diverged = true;
            return;
        }
        self.world.learn(operation, &etcd, &self.pair.etcd);
        self.settle(false).await;
        self.number += 1;
    }

    async fn both(&mut self, operation: &Operation) -> (Answer, Answer) {
        let Pair { etcd, squalld, .. } = &mut self.pair;
        let world = &self.world;
        let mut answers = tokio::join!(etcd.perform(operation, world), squalld.perform(operation, world));
        // etcd compacts in the background, and its hash covers what is not yet compacted.
        for _ in 0..20 {
            let hashed = !answers.0.is_refused() && !answers.1.is_refused();
            let settles = matches!(operation.call, Call::HashKv(_)) && hashed;
            if !settles || compare_answers(&operation.call, &answers.0, &answers.1).is_none() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            answers = tokio::join!(etcd.perform(operation, world), squalld.perform(operation, world));
        }
        answers
    }

    /// Compares the events of the recorders and, if `watchers` is set, of all watchers.
    async fn settle(&mut self, watchers: bool) {
        let revision = self.world.revision;
        let Pair { etcd, squalld, .. } = &self.pair;
        let recorded = tokio::join!(etcd.recorded(revision), squalld.recorded(revision));
        let events = |server: &Server| server.changes_after(self.world.events);
        let (of_etcd, mut of_squalld) = (events(etcd), events(squalld));
        if let Some(Planted::RecorderMissesChange) = self.planted
            && of_squalld.pop().is_some()
        {
            self.planted = None;
        }
        if of_etcd != of_squalld || recorded != (true, true) {
            self.find(Difference::of_changes("told to the recorder", &of_etcd, &of_squalld));
            self.diverged = true;
            return;
        }
        self.world.changed(&of_etcd);
        self.notes.iter_mut().for_each(|notes| notes.changes(&of_etcd));
        if watchers {
            self.compare_watchers().await;
        }
    }

    async fn compare_watchers(&mut self) {
        let mut differences = Vec::new();
        for (stream, watchers) in &mut self.world.streams {
            let (etcd, squalld) = (self.pair.etcd.stream(*stream), self.pair.squalld.stream(*stream));
            for (id, watcher) in watchers {
                let told = |received: &Received| watcher.not_compared(*id, received);
                let enough = |received: &Received| told(received).len() >= watcher.missing();
                tokio::join!(etcd.wait(PATIENCE, enough), squalld.wait(PATIENCE, enough));
                let (of_etcd, mut of_squalld) = (told(&etcd.received()), told(&squalld.received()));
                if let Some(Planted::WatcherMissesChange) = self.planted
                    && of_squalld.pop().is_some()
                {
                    self.planted = None;
                }
                let lost = |watching: &Watching| {
                    let received = watching.received();
                    received
                        .events
                        .get(id)
                        .into_iter()
                        .flatten()
                        .filter(|event| watcher.has_lost(event))
                        .count()
                };
                if lost(etcd) < lost(squalld) {
                    *self.known.entry(LOST_DELETIONS.0).or_default() += 1;
                }
                let expected = watcher.missing();
                self.notes.iter_mut().for_each(|notes| notes.told(Delivered::of(*stream, *id, &of_etcd)));
                if of_etcd != of_squalld || of_etcd.len() != expected {
                    let (told, request) = (of_etcd.len(), watcher.request());
                    println!("watcher {id} of stream {stream}: {told} of {expected} changes, {request:?}");
                    let what =
                        format!("watcher {id} of stream {stream} was to be told of {expected} changes; told");
                    differences.push(Difference::of_changes(&what, &of_etcd, &of_squalld));
                }
                watcher.compared += of_etcd.len();
            }
        }
        for difference in differences {
            self.find(difference);
            self.diverged = true;
        }
    }

    fn note(&mut self, operation: &Operation, etcd: &Answer) {
        let calls = self.calls.entry(operation.call.name()).or_default();
        calls.count += 1;
        calls.refused += u64::from(etcd.is_refused());
        let mut line = format!("{}: {}", self.number, operation.asked());
        match etcd.refusal() {
            Some(refusal) => _ = write!(line, "\n      etcd refused: {refusal}"),
            None => _ = write!(line, "\n      etcd: revision {}", etcd.revision),
        }
        if self.settings.trace {
            println!("{line}");
        }
        self.recent.push_back(line);
        if self.recent.len() > CONTEXT {
            self.recent.pop_front();
        }
    }

    fn find(&mut self, difference: Difference) {
        if self.found.iter().any(|found| found.difference == difference) {
            return;
        }
        let context = self.recent.iter().cloned().collect();
        self.found.push(Found { number: self.number, difference, context });
    }

    /// A summary of the run.
    pub fn summary(&self, took: Duration) -> String {
        let mut text = format!(
            "seed {}: {} operations in {took:.1?}, revision {}, {} changes\n",
            self.settings.seed, self.number, self.world.revision, self.world.events
        );
        for (call, Calls { count, refused, took }) in &self.calls {
            _ = writeln!(text, "  {call:<22} {count:>6}, refused {refused:>6}, in {took:.1?}");
        }
        let all = KNOWN.iter().map(|known| (known.name, known.reason));
        for (name, reason) in
            all.chain(ALONE.iter().map(|alone| (alone.name, alone.reason))).chain([LOST_DELETIONS])
        {
            let count = self.known.get(name).copied().unwrap_or_default();
            _ = writeln!(text, "  {count:>6} x known: {name} ({reason})");
        }
        text
    }

    /// A known difference that never shows has disappeared, or no operation asks for it. A run of the usual length with
    /// all services names the ones that it did not show; a long run must show all of them.
    pub fn assert_no_stale_table(&self) {
        let all = KNOWN.iter().map(|known| known.name).chain(ALONE.iter().map(|alone| alone.name));
        let never: Vec<_> =
            all.chain([LOST_DELETIONS.0]).filter(|name| !self.known.contains_key(name)).collect();
        if never.is_empty() || self.settings.services.len() < Service::ALL.len() {
            return;
        }
        let what = format!("known differences that never showed in {} operations: {never:#?}", self.number);
        assert!(self.number < LONG, "{what}");
        println!("{what}");
    }

    pub fn assert_no_differences(&self) {
        if self.found.is_empty() {
            assert_eq!(self.number, self.settings.operations, "the run ended early");
            return;
        }
        let mut text = String::new();
        for found in &self.found {
            _ = writeln!(text, "\n==== at operation {} ====", found.number);
            let shown = if found.number == self.found[0].number { CONTEXT } else { 2 };
            for line in &found.context[found.context.len().saturating_sub(shown)..] {
                _ = writeln!(text, "  {line}");
            }
            _ = writeln!(text, "{}", found.difference);
        }
        panic!(
            "squalld and etcd differ. Make this run again with SQUALL_DIFF_SEED={} SQUALL_DIFF_OPERATIONS={}{text}",
            self.settings.seed,
            self.number + 1
        );
    }
}
