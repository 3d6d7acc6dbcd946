//! The trait that every kind of fault implements, and the macro that defines one enum over all kinds.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::{Either, select};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use squall_store::seam::BoxFuture;
use tokio::sync::Notify;

use super::{Candidate, Check, Crash, Direction, Drawing, Effect, Peers, Settings, UnsyncedSetting};
use crate::{
    arena::{Arena, ConnectionsEnd, Damage, Modifier, NodeId, Token},
    cluster::{Cluster, OldDisk},
    text::Refusal,
    workload::{Client, Recorder},
    world::{Chance, Stream},
};

/// One kind of fault. The type that implements it is its settings, as a file gives them. Its derived `JsonSchema`
/// feeds `squall schema` and docs/scenarios.md: the fields' documentation is what users read there.
pub(crate) trait Room:
    Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned + JsonSchema + Send + Sync
{
    /// Its name in files, traces and counts, and the key of its settings.
    const ACTION: &'static str;
    /// One line for `squall list`.
    const ABOUT: &'static str;
    /// What it can hit.
    const AIM: Aim;
    /// Whether it takes a duration.
    const LASTS: Lasts;
    /// Whether it stays for good on members outside the core, if only a core heals (`final.core`). A fault that only
    /// delays does not stay, because a slow leader outside the core would slow the core too.
    const STAYS_OUTSIDE_CORE: bool = matches!(Self::COST, Cost::Process);
    /// What it takes from the cluster.
    const COST: Cost;
    /// Whether it may make the disk of its target lose or damage synced data, or fail. The judge then excuses the
    /// member from what it promised.
    const HARMS_DISK: bool = false;
    /// What else it does to the members that it hits. The history names it, and the judge goes by it.
    const EFFECTS: &'static [Effect];
    /// Whether it has settings. A kind without settings has no block in a file.
    const HAS_SETTINGS: bool = true;
    /// An example of its block, for the refusal of a file that lacks it.
    const EXAMPLE: &'static str = "";

    /// The settings if a file has no block: those of an empty block. `None` if a file must have a block.
    fn unwritten() -> Option<Self> {
        serde_json::from_str("{}").ok()
    }

    /// Draws settings for an explored run (`squall fuzz`): plausible ones, which reach every branch of the kind in
    /// some hundred draws. `None` if the kind does not fit here, for example if there is no snapshot to restore. By
    /// default a kind takes part with its default settings.
    fn draw(_drawing: &mut Drawing<'_>) -> Option<Self> {
        Self::unwritten()
    }

    /// Checks beyond the types of the settings.
    fn check(&self, _check: &Check<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    /// Whether it harms the disks of the members that it hits, with these settings.
    fn harms_disk(&self) -> bool {
        Self::HARMS_DISK
    }

    /// How long what it began may go on after its end: a start that is under way, a task that waits, the operator's own pause.
    fn outlasts_by(&self) -> Duration {
        Duration::ZERO
    }

    /// Fills in what the settings leave to the drawing of the plan. `id` is the drawn fault's name.
    fn complete(&mut self, _id: &str) {}

    /// Whether it can hit a member in this state. The roster's rules ([`Cost`]) apply in addition.
    fn may_hit(&self, _member: &Candidate) -> bool {
        true
    }

    /// Whether it hits members that an operator works on.
    fn hits_members_in_hand(&self) -> bool {
        Self::COST < Cost::Process
    }

    /// For kinds that cost a copy: the milder fault if the cluster cannot afford that. `None` if it then hits no
    /// member.
    fn lighter(&self) -> Option<Settings> {
        None
    }

    /// For kinds that cost a copy: whether it strikes even if the cluster cannot afford it.
    fn beyond_budget(&self) -> bool {
        false
    }

    /// Strikes. The future of an operator's procedure ends with the procedure.
    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck>;
}

/// What a kind of fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// As many members as its `mode` says.
    Members,
    /// One member.
    OneMember,
    /// The cluster as a whole: it takes no selector.
    Cluster,
}

/// Whether a kind of fault is a state that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// It is done at once, or ends by itself.
    Never,
    /// It lasts for its duration, or until the final heal.
    UntilHealed,
    /// It needs a duration: something happens at its end.
    ForItsDuration,
}

/// What a kind of fault costs the cluster, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// Nothing.
    Nothing,
    /// Time: messages or disk operations are late or lost.
    Time,
    /// A process does not run for a while. Members that an operator works on are spared, unless the settings say
    /// otherwise.
    Process,
    /// A copy of committed data. It hits a member only if a quorum of intact members remains.
    Copy,
    /// The operator is at work: the configuration changes.
    Work,
}

/// The things that faults act on.
pub(crate) struct Stage {
    pub(crate) arena: Arc<dyn Arena>,
    pub(crate) cluster: Cluster,
    pub(crate) recorder: Arc<Recorder>,
    /// Performs operations for faults, such as compactions, so that they are recorded for the judge.
    pub(crate) client: tokio::sync::Mutex<Client>,
}

/// One strike of one fault.
#[derive(Clone, Copy)]
pub(crate) struct Strike<'a> {
    pub(crate) stage: &'a Stage,
    /// The fault's name in the plan.
    pub(crate) id: &'a str,
    /// The members that it hits, in the members' order.
    pub(crate) hit: &'a [NodeId],
    /// A number from the plan. A fault makes its remaining choices with it, so that nothing is left to draw.
    pub(crate) draw: u64,
    /// How long the fault lasts. `None` means until the final heal.
    pub(crate) lasts: Option<Duration>,
    /// Notifies of the final heal.
    pub(crate) final_heal: &'a FinalHeal,
}

impl Strike<'_> {
    /// The random stream of this strike's choices.
    pub(crate) fn chance(&self) -> Stream {
        Chance::root(self.draw).child("strike").stream()
    }

    /// One of the nodes, of which there must be at least one.
    pub(crate) fn one_of(&self, nodes: &[NodeId]) -> NodeId {
        *self.chance().pick(nodes).expect("there is something to pick from")
    }

    /// Waits. False if the final heal begins before the end; then the fault must end.
    pub(crate) async fn wait(&self, duration: Duration) -> bool {
        if self.final_heal.has_begun() {
            return false;
        }
        let sleep = Box::pin(self.stage.arena.sleep(duration));
        let healing = Box::pin(self.final_heal.begun());
        matches!(select(sleep, healing).await, Either::Left(_))
    }

    /// Imposes a modifier on each of the links.
    pub(crate) fn impose_on(
        &self,
        links: impl IntoIterator<Item = (NodeId, NodeId)>,
        modifier: impl Fn(NodeId, NodeId) -> Modifier,
    ) -> Struck {
        let tokens = links.into_iter().map(|(from, to)| self.stage.arena.impose(modifier(from, to)));
        Struck::imposed(tokens.collect())
    }

    /// Imposes a modifier on each member that it hits.
    pub(crate) fn tokens(&self, modifier: impl Fn(NodeId) -> Modifier) -> Vec<Token> {
        self.hit.iter().map(|node| self.stage.arena.impose(modifier(*node))).collect()
    }

    /// Imposes a modifier on each member that it hits, until the fault ends.
    pub(crate) fn impose_each(&self, modifier: impl Fn(NodeId) -> Modifier) -> Struck {
        Struck::imposed(self.tokens(modifier))
    }

    /// Damages a file or engine in `part` of the data folder of each member that it hits, and restarts the member.
    pub(crate) async fn damage(&self, part: &Path, damage: Damage, tail_lost: bool) -> Struck {
        let mut struck = Struck::default();
        let mut notes = Vec::new();
        for node in self.hit {
            let cluster = &self.stage.cluster;
            match cluster.damage_and_start(*node, part, damage, self.draw, tail_lost).await {
                Some(what) => {
                    struck.bit += 1;
                    notes.push(format!("{node}: {what}"));
                }
                None => notes.push(format!("{node} has nothing there to damage")),
            }
        }
        struck.note = notes.join("; ");
        struck
    }

    /// Ends every connection between the members that it hits and the other ends. Answers how many there were.
    pub(crate) fn end_connections(&self, peers: Peers, how: ConnectionsEnd) -> u64 {
        let links = self.links(peers, Direction::To).into_iter();
        links.map(|(one, other)| self.stage.arena.end_connections(one, other, how)).sum()
    }

    /// The links between the members that it hits and the other ends.
    pub(crate) fn links(&self, peers: Peers, direction: Direction) -> Vec<(NodeId, NodeId)> {
        self.stage.cluster.links(self.hit, peers, &[], direction)
    }
}

/// Whether the final heal has begun.
#[derive(Default)]
pub(crate) struct FinalHeal {
    begun: AtomicBool,
    rung: Notify,
}

impl FinalHeal {
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
        self.rung.notify_waiters();
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Completes when it begins.
    pub(crate) async fn begun(&self) {
        let rung = self.rung.notified();
        if !self.has_begun() {
            rung.await;
        }
    }
}

/// The result of a strike.
#[derive(Default)]
pub(crate) struct Struck {
    /// How to undo it.
    pub(crate) undo: Undo,
    /// How often it took effect so far, beyond what [`Undo`] will report.
    pub(crate) bit: u64,
    /// For the reader: why a procedure was given up.
    pub(crate) detail: String,
    /// For the reader: a note on a fault that succeeded.
    pub(crate) note: String,
    /// What is stuck, if a procedure failed although the cluster had all that it needed.
    pub(crate) stuck: Option<String>,
}

/// How a fault is undone.
#[derive(Default)]
pub(crate) enum Undo {
    /// There is nothing to undo.
    #[default]
    Nothing,
    /// Lifts modifiers of links, disks and processes.
    Lift(Vec<Token>),
    /// Lifts modifiers, and starts members whose processes have ended by themselves.
    LiftAndStart(Vec<Token>, Vec<NodeId>),
    /// Lifts modifiers, and trusts the disks of members again.
    LiftAndTrust(Vec<Token>, Vec<NodeId>),
    /// Starts members that are down.
    Start(Vec<NodeId>),
    /// Stops each member, puts an old image of its disk back, and starts it.
    PutBack(Vec<(NodeId, OldDisk)>),
}

/// The milder fault that replaces the loss of a copy, if the cluster cannot afford it: the process dies and loses
/// nothing (FoundationDB: downgrade, don't drop).
pub(crate) fn a_crash_instead() -> Settings {
    Settings::Crash(Crash { unsynced: UnsyncedSetting::Keep, during_work: false })
}

impl Struck {
    /// A fault that is active until its modifiers are lifted.
    pub(crate) fn imposed(tokens: Vec<Token>) -> Self {
        Self { undo: Undo::Lift(tokens), ..Self::default() }
    }
}

/// Makes [`Action`](super::Action) and [`Settings`](super::Settings) of the rooms.
macro_rules! rooms {
    ($($module:ident::$Room:ident),+ $(,)?) => {
        $(mod $module; pub use $module::$Room;)+

        /// The kinds of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Action {
            $(#[doc = "See the room of this name."] $Room),+
        }

        /// The settings of one fault, of any kind.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Settings {
            $(#[doc = "See the room of this name."] $Room($Room)),+
        }

        impl Action {
            /// All kinds.
            pub const ALL: &'static [Action] = &[$(Action::$Room),+];
            /// Their names, in the same order.
            pub(crate) const NAMES: &'static [&'static str] = &[$(<$Room as Room>::ACTION),+];

            /// Its name in files, traces and counts.
            pub fn name(self) -> &'static str {
                match self { $(Action::$Room => <$Room as Room>::ACTION),+ }
            }

            /// The line of `squall list`.
            pub fn about(self) -> &'static str {
                match self { $(Action::$Room => <$Room as Room>::ABOUT),+ }
            }

            /// What it hits.
            pub fn aim(self) -> Aim {
                match self { $(Action::$Room => <$Room as Room>::AIM),+ }
            }

            /// Whether it takes a duration.
            pub fn lasts(self) -> Lasts {
                match self { $(Action::$Room => <$Room as Room>::LASTS),+ }
            }

            /// Whether it stays for good on members outside the core.
            pub(crate) fn stays_outside_core(self) -> bool {
                match self { $(Action::$Room => <$Room as Room>::STAYS_OUTSIDE_CORE),+ }
            }

            /// What it takes from the cluster.
            pub fn cost(self) -> Cost {
                match self { $(Action::$Room => <$Room as Room>::COST),+ }
            }

            /// What it does to the members that it hits, as the history names it.
            pub(crate) fn effects(self) -> &'static [squall_checker::history::Effect] {
                match self { $(Action::$Room => <$Room as Room>::EFFECTS),+ }
            }

            /// Whether it has a block of settings.
            pub fn has_settings(self) -> bool {
                match self { $(Action::$Room => <$Room as Room>::HAS_SETTINGS),+ }
            }

            pub(crate) fn example(self) -> &'static str {
                match self { $(Action::$Room => <$Room as Room>::EXAMPLE),+ }
            }

            /// The schema of its block.
            pub(crate) fn settings_schema(self, generator: schemars::SchemaGenerator) -> schemars::Schema {
                match self { $(Action::$Room => generator.into_root_schema_for::<$Room>()),+ }
            }

            /// The settings if a file has no block.
            pub(crate) fn unwritten(self) -> Option<Settings> {
                match self { $(Action::$Room => <$Room as Room>::unwritten().map(Settings::$Room)),+ }
            }

            /// Settings for an explored run, if the kind fits there.
            pub(crate) fn draw(self, drawing: &mut Drawing<'_>) -> Option<Settings> {
                match self { $(Action::$Room => <$Room as Room>::draw(drawing).map(Settings::$Room)),+ }
            }

            /// The settings that a block's JSON form gives, if it gives any.
            pub(crate) fn settings_from(self, block: serde_json::Value) -> Option<Settings> {
                match self { $(Action::$Room => {
                    serde_json::from_value::<$Room>(block).ok().map(Settings::$Room)
                }),+ }
            }

            /// Reads the block of this action as the value of a mapping's key.
            pub(crate) fn read_settings<'de, A: serde::de::MapAccess<'de>>(
                self,
                map: &mut A,
            ) -> Result<Settings, A::Error> {
                match self { $(Action::$Room => map.next_value::<$Room>().map(Settings::$Room)),+ }
            }
        }

        impl Settings {
            /// The kind that these settings belong to.
            pub fn action(&self) -> Action {
                match self { $(Settings::$Room(_) => Action::$Room),+ }
            }

            pub(crate) fn check(&self, check: &Check<'_>) -> Result<(), crate::text::Refusal> {
                match self { $(Settings::$Room(room) => room.check(check)),+ }
            }

            /// How long what it began may go on after its end.
            pub(crate) fn outlasts_by(&self) -> std::time::Duration {
                match self { $(Settings::$Room(room) => room.outlasts_by()),+ }
            }

            /// Whether it harms the disks of the members that it hits.
            pub(crate) fn harms_disk(&self) -> bool {
                match self { $(Settings::$Room(room) => room.harms_disk()),+ }
            }

            pub(crate) fn complete(&mut self, id: &str) {
                match self { $(Settings::$Room(room) => room.complete(id)),+ }
            }

            pub(crate) fn may_hit(&self, member: &Candidate) -> bool {
                match self { $(Settings::$Room(room) => room.may_hit(member)),+ }
            }

            pub(crate) fn hits_members_in_hand(&self) -> bool {
                match self { $(Settings::$Room(room) => room.hits_members_in_hand()),+ }
            }

            pub(crate) fn lighter(&self) -> Option<Settings> {
                match self { $(Settings::$Room(room) => room.lighter()),+ }
            }

            pub(crate) fn beyond_budget(&self) -> bool {
                match self { $(Settings::$Room(room) => room.beyond_budget()),+ }
            }

            pub(crate) fn strike<'a>(
                &'a self,
                strike: Strike<'a>,
            ) -> squall_store::seam::BoxFuture<'a, Struck> {
                match self { $(Settings::$Room(room) => room.strike(strike)),+ }
            }
        }

        impl serde::Serialize for Settings {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $(Settings::$Room(room) => room.serialize(serializer)),+ }
            }
        }
    };
}
pub(crate) use rooms;

/// The type of a kind that has no settings.
macro_rules! without_settings {
    ($(#[$about:meta])* $Room:ident) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $Room {}
    };
}
pub(crate) use without_settings;
