//! Faults in their file form: each is one flat object, with its `action`, target and time, and at most one block of
//! settings, which is named after the action.
//!
//! Serde's tagged enums buffer what they read and lose the place of an error. So a fault is read key by key
//! ([`super::read`]), and each block is read at once as the settings of the action that it is named after.
//! [`super::check`] then checks that action and block agree.
//!
//! A plan's faults have the same form, but with fixed instants and with the `draw` that picks the target.

use std::{borrow::Cow, collections::BTreeMap, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
    ser::SerializeMap,
};

use serde_json::{Map, Value, json};

use super::{Action, Settings};
use crate::text::{Window, go};

/// One fault.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields, transform = add_blocks)]
pub struct Fault {
    /// Names it, so that other parts of the file can refer to it. Default: its action. Unique where it is given.
    pub name: Option<String>,
    /// When it strikes: an instant, or a window from which the seed draws one. With `every`, the first time.
    /// Required; but in a group it may be left out (`0s`), and counts from the group's start, or from the end of the
    /// item before it.
    pub at: Window,
    /// Strikes again after this long, counted from strike to strike, until the time limit.
    pub every: Option<Window>,
    /// Strikes only after something else has happened; `at` then counts from that moment. If it never happens, the
    /// fault never strikes.
    pub after: Option<After>,
    /// What happens.
    pub action: Action,
    /// Which members it may hit. Default: every member that the action can hit when it strikes.
    pub selector: Option<Selector>,
    /// How many of the selected members it hits. Default `one`.
    pub mode: Option<Mode>,
    /// The number of members for `mode: fixed`, the percentage for `mode: fixed-percent`.
    pub value: Option<u32>,
    /// How long it lasts; then it is undone (a crashed member is started again). Default: until the final heal.
    pub duration: Option<Window>,
    /// Chooses among several possible targets. Any number; equal numbers make equal choices. If it is absent, the
    /// seed draws it.
    pub draw: Option<u64>,
    /// The blocks of settings, by the action that each is named after. A good file has at most its own action's.
    #[schemars(skip)]
    pub blocks: BTreeMap<Action, Settings>,
}

/// Adds the rooms' parts to the schema of a fault: each kind's block, and which kinds need their block.
fn add_blocks(schema: &mut Schema) {
    let mut blocks = Map::new();
    let mut needed = Vec::new();
    for action in Action::ALL.iter().filter(|action| action.has_settings()) {
        let mut settings = SchemaSettings::draft07();
        settings.inline_subschemas = true;
        settings.meta_schema = None;
        blocks.insert(action.name().to_owned(), action.settings_schema(settings.into_generator()).to_value());
        if action.unwritten().is_none() {
            let has =
                json!({ "properties": { "action": { "const": action.name() } }, "required": ["action"] });
            needed.push(json!({ "if": has, "then": { "required": [action.name()] } }));
        }
    }
    let object = schema.ensure_object();
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.append(&mut blocks);
    }
    object.insert("allOf".to_owned(), Value::Array(needed));
    // `at` may be omitted in a group ([`super::group`]). Outside a group the list's schema requires it.
    object.insert("required".to_owned(), json!(["action"]));
}

impl Fault {
    /// A fault that strikes once, with only the required keys.
    pub(crate) fn new(action: Action, at: Window) -> Fault {
        Fault {
            name: None,
            at,
            every: None,
            after: None,
            action,
            selector: None,
            mode: None,
            value: None,
            duration: None,
            draw: None,
            blocks: BTreeMap::new(),
        }
    }

    /// The settings: those of its block, or the action's defaults. `None` if the action needs a block and there is
    /// none.
    pub fn settings(&self) -> Option<Settings> {
        self.blocks.get(&self.action).cloned().or_else(|| self.action.unwritten())
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        /// Writes a key that has a value.
        macro_rules! write_if_there {
            ($($key:ident),+) => {
                $(if let Some(value) = &self.$key {
                    map.serialize_entry(stringify!($key), value)?;
                })+
            };
        }
        write_if_there!(name);
        map.serialize_entry("at", &self.at)?;
        write_if_there!(every, after);
        map.serialize_entry("action", &self.action)?;
        write_if_there!(selector, mode, value, duration, draw);
        for (action, settings) in &self.blocks {
            map.serialize_entry(action.name(), settings)?;
        }
        map.end()
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl JsonSchema for Action {
    fn schema_name() -> Cow<'static, str> {
        "Action".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let kinds = Action::ALL.iter();
        let kinds =
            kinds.map(|action| json_schema!({ "const": action.name(), "description": action.about() }));
        json_schema!({ "oneOf": kinds.collect::<Vec<_>>() })
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Actions;
        impl Visitor<'_> for Actions {
            type Value = Action;
            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("the name of an action")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Action, E> {
                let found = Action::ALL.iter().find(|action| action.name() == name);
                found.copied().ok_or_else(|| E::unknown_variant(name, Action::NAMES))
            }
        }
        from.deserialize_str(Actions)
    }
}

/// What a fault waits for: first other faults, then an instant, then an event, as far as they are given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct After {
    /// Another fault, by its name: the first time that it hits anyone. Or a group, with `ended` or `over`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Several other faults: waits for the last of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// With `fault`: waits for its end instead of its strike. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    /// With `fault`: waits until it has ended, or has hit nobody. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
    /// Not before this instant, counted from the start of the clients. Default 0s.
    #[serde(default, skip_serializing_if = "Duration::is_zero", with = "go")]
    pub since: Duration,
    /// An event that a member or the operator reports, counted from the start of the clients, or from what `fault`, `faults` and
    /// `since` name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Milestone>,
    /// With `event`: how many times. Default 1.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub count: u64,
}

impl After {
    /// The names of the faults that it waits for.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.fault.iter().chain(&self.faults)
    }

    /// Waits until these faults are over.
    pub(crate) fn over(faults: Vec<String>) -> After {
        let (fault, faults) = match <[String; 1]>::try_from(faults) {
            Ok([one]) => (Some(one), Vec::new()),
            Err(several) => (None, several),
        };
        After { fault, faults, over: true, count: once(), ..After::default() }
    }
}

fn once() -> u64 {
    1
}

fn is_once(count: &u64) -> bool {
    *count == 1
}

/// An event that a member or the operator reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Milestone {
    /// A member wins a term.
    LeaderChange,
    /// A member applies an entry.
    Applied,
    /// A leader begins to stream a snapshot to a member that lags.
    SnapshotInstallBegan,
    /// A member has installed a snapshot.
    SnapshotInstalled,
    /// A member has written a snapshot record and released the log before it.
    SnapshotSaved,
    /// A member's log begins a new segment.
    WalSegmentCut,
    /// A member cuts a torn record off its log at start.
    TornTailRepaired,
    /// A compaction has finished deleting.
    CompactionFinished,
    /// A member that has started serves clients.
    Ready,
    /// An operator's procedure makes its next step: it begins a call that changes something, gets its answer, or stops,
    /// wipes or starts a member. After a `fault`, its own first step counts too.
    OperatorStep,
}

/// Which members a fault may hit. At most one of the fields; without any, every member that the action can hit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Selector {
    /// Members with this role when the fault strikes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleSelector>,
    /// Members with these names: `m1`, `m2`, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The members that an earlier fault hit, given by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
}

/// What a member is when the fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RoleSelector {
    /// It leads the highest term.
    Leader,
    /// It runs and does not lead.
    Follower,
    /// It runs and is a learner: `addLearner` has added it, and it is not promoted yet.
    Learner,
    /// Its process runs.
    Running,
    /// Its process is down.
    Stopped,
}

/// How many of the selected members are hit. The fault's `draw` decides which ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// One.
    One,
    /// All.
    All,
    /// As many as `value` says.
    Fixed,
    /// The percentage that `value` says, rounded to the nearest, at least one.
    FixedPercent,
    /// A number that chance decides, from one to all.
    Random,
    /// The most that leave a quorum of the whole cluster: one of three, two of five.
    Minority,
    /// The fewest that leave no quorum of the whole cluster: two of three, three of five.
    Majority,
}

/// Which messages a fault of the network affects, seen from the selected members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// Those that they send, and those that are sent to them.
    #[default]
    Both,
    /// Those that they send to the other ends.
    To,
    /// Those that are sent to them from the other ends.
    From,
}

impl Direction {
    /// All of them.
    pub(crate) const ALL: [Direction; 3] = [Direction::Both, Direction::To, Direction::From];
}

/// The other ends of the links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Peers {
    /// The members that are not selected. (Selected members still reach one another.)
    #[default]
    Members,
    /// The clients.
    Clients,
    /// The members that are not selected, and the clients.
    All,
}

impl Peers {
    /// All of them.
    pub(crate) const ALL: [Peers; 3] = [Peers::Members, Peers::Clients, Peers::All];
}
