//! Groups of faults that belong together: they strike one after the other or at the same time.
//!
//! An item of `spec.faults` is a fault or a group. A group is `serial` (each member begins when the previous one ends)
//! or `parallel` (all begin with the group), and its members are faults or groups. The form is that of Chaos Mesh's
//! Workflow, with its names: `serial`, `parallel`, `deadline`.
//!
//! Groups exist only in a scenario. When a plan is drawn, [`super::order`] turns a group into faults with instants. If
//! an end is known only at run time, a fault gets the relation "begins when that fault is over" instead
//! ([`super::After`]).

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{After, Fault};
use crate::text::{Step, Window};

/// One item of `spec.faults`, or of a group.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A fault.
    Fault(Box<Fault>),
    /// A group of items.
    Group(Box<Group>),
}

/// Several faults that belong together. A group ends when all of its items have ended.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Group {
    /// Names it. Default: `serial` or `parallel`. Unique where it is given, among faults too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it begins: an instant, or a window from which the seed draws one. Required; but in another group it may
    /// be left out, and counts from that group's start, or from the end of the item before it.
    #[serde(default = "at_once")]
    pub at: Window,
    /// Begins again after this long, counted from start to start: `repeat` times, or until the time limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Window>,
    /// Begins only after something else has happened; `at` then counts from that moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
    /// How many rounds it has. Without `every` each round begins where the one before it ends. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub repeat: Option<u32>,
    /// The longest time that a round may take. When it is over, faults that still last are ended, and faults that
    /// have not begun do not begin. A procedure that an operator has begun continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Window>,
    /// Its items, each of which begins where the one before it ends. A group has either `serial` or `parallel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub serial: Option<Vec<Item>>,
    /// Its items, all of which begin with the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub parallel: Option<Vec<Item>>,
    /// A key that it has and that only a fault may have.
    #[serde(skip)]
    #[schemars(skip)]
    pub(crate) stray: Option<&'static str>,
}

fn at_once() -> Window {
    Window::exactly(std::time::Duration::ZERO)
}

impl Group {
    /// Its members, in the file's order.
    pub fn members(&self) -> &[Item] {
        self.serial.as_deref().or(self.parallel.as_deref()).unwrap_or_default()
    }

    /// Whether its members take turns.
    pub fn is_serial(&self) -> bool {
        self.serial.is_some()
    }

    /// The key of its list of members.
    pub(super) fn key(&self) -> &'static str {
        if self.is_serial() { "serial" } else { "parallel" }
    }
}

impl Item {
    /// The fault; `None` if it is a group.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Item::Fault(fault) => Some(fault),
            Item::Group(_) => None,
        }
    }

    /// The group; `None` if it is a fault.
    pub fn group(&self) -> Option<&Group> {
        match self {
            Item::Fault(_) => None,
            Item::Group(group) => Some(group),
        }
    }

    /// The name that the file gives it.
    pub(super) fn given_name(&self) -> Option<&String> {
        match self {
            Item::Fault(fault) => fault.name.as_ref(),
            Item::Group(group) => group.name.as_ref(),
        }
    }

    /// Its default name, if the file gives none.
    fn plain_name(&self) -> &'static str {
        match self {
            Item::Fault(fault) => fault.action.name(),
            Item::Group(group) => group.key(),
        }
    }

    /// What it waits for.
    pub(super) fn after(&self) -> Option<&After> {
        match self {
            Item::Fault(fault) => fault.after.as_ref(),
            Item::Group(group) => group.after.as_ref(),
        }
    }

    /// The fault itself or all faults in the group, in the file's order.
    pub fn faults(&self) -> Vec<&Fault> {
        match self {
            Item::Fault(fault) => vec![fault],
            Item::Group(group) => group.members().iter().flat_map(Item::faults).collect(),
        }
    }
}

impl Item {
    /// The schema of `spec.faults`, whose items must have an instant.
    pub(crate) fn list_with_instants(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<Item>();
        json_schema!({ "type": "array", "items": { "allOf": [item, { "required": ["at"] }] } })
    }
}

impl From<Fault> for Item {
    fn from(fault: Fault) -> Self {
        Item::Fault(Box::new(fault))
    }
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Item::Fault(fault) => fault.serialize(to),
            Item::Group(group) => group.serialize(to),
        }
    }
}

impl JsonSchema for Item {
    fn schema_name() -> Cow<'static, str> {
        "Item".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (fault, group) = (generator.subschema_for::<Fault>(), generator.subschema_for::<Group>());
        json_schema!({ "anyOf": [fault, group] })
    }
}

/// An item of a file, with its name and its place among the others.
pub(crate) struct Node<'a> {
    pub(crate) item: &'a Item,
    /// The given name, or a default name, with a number if it is taken: `crash`, `crash-2`, `serial`.
    pub(crate) name: String,
    /// The group that it is a member of.
    pub(crate) parent: Option<usize>,
    /// Its index in its list.
    pub(crate) place: usize,
    /// The members of a group.
    pub(crate) members: Vec<usize>,
}

/// All items, a group before its members, in the file's order. The numbers in a [`Node`] are indices into this list.
pub(crate) fn nodes(items: &[Item]) -> Vec<Node<'_>> {
    fn collect<'a>(items: &'a [Item], parent: Option<usize>, nodes: &mut Vec<Node<'a>>) -> Vec<usize> {
        let mut members = Vec::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            let index = nodes.len();
            members.push(index);
            nodes.push(Node { item, name: String::new(), parent, place, members: Vec::new() });
            if let Item::Group(group) = item {
                nodes[index].members = collect(group.members(), Some(index), nodes);
            }
        }
        members
    }
    let mut nodes = Vec::new();
    collect(items, None, &mut nodes);
    let mut taken: BTreeSet<String> =
        nodes.iter().filter_map(|node| node.item.given_name().cloned()).collect();
    // The number that the next nameless item of a kind tries first. A scenario may have thousands of one kind.
    let mut next: BTreeMap<&'static str, u64> = BTreeMap::new();
    for node in &mut nodes {
        node.name = node.item.given_name().cloned().unwrap_or_else(|| {
            let plain = node.item.plain_name();
            let next = next.entry(plain).or_insert(1);
            loop {
                let name = if *next == 1 { plain.to_owned() } else { format!("{plain}-{next}") };
                *next += 1;
                if !taken.contains(&name) {
                    break name;
                }
            }
        });
        taken.insert(node.name.clone());
    }
    nodes
}

/// The groups that an item is in, the innermost first.
pub(crate) fn groups_around<'a>(nodes: &'a [Node<'a>], index: usize) -> impl Iterator<Item = usize> + 'a {
    std::iter::successors(nodes[index].parent, |group| nodes[*group].parent)
}

/// The path to an item from the outermost list.
pub(crate) fn path<'a>(nodes: &[Node<'a>], index: usize) -> Vec<Step<'a>> {
    let node = &nodes[index];
    let mut steps = match node.parent {
        None => Vec::new(),
        Some(parent) => {
            let mut steps = path(nodes, parent);
            steps.extend(nodes[parent].item.group().map(|group| Step::Key(group.key())));
            steps
        }
    };
    steps.push(Step::Index(node.place));
    steps
}
