//! Reads an item of `spec.faults` key by key, so that every error has its own place.
//!
//! Whether an item is a fault or a group is known only after its keys are read, since keys may have any order. An
//! unknown key is refused at the key's place. The checks refuse keys that do not belong together, also with the place.

use std::{collections::BTreeMap, fmt, sync::LazyLock};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

use super::{
    Action, Fault, Settings,
    group::{Group, Item},
};
use crate::text::Window;

/// The keys that every fault may have, in the order in which they are written.
const COMMON: [&str; 10] =
    ["name", "at", "every", "after", "action", "selector", "mode", "value", "duration", "draw"];

/// The keys that only groups have.
const OF_GROUPS: [&str; 4] = ["serial", "parallel", "repeat", "deadline"];

/// All keys that an item may have.
static KEYS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let blocks = Action::ALL.iter().filter(|action| action.has_settings()).map(|action| action.name());
    COMMON.into_iter().chain(OF_GROUPS).chain(blocks).collect()
});

/// A key of an item. It is a separate type, so that an unknown key is refused at the key's place.
enum Key {
    Word(&'static str),
    Block(Action),
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Keys;
        impl Visitor<'_> for Keys {
            type Value = Key;
            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("a key")
            }
            fn visit_str<E: de::Error>(self, key: &str) -> Result<Key, E> {
                let mut words = COMMON.iter().chain(&OF_GROUPS);
                if let Some(word) = words.find(|word| **word == key) {
                    return Ok(Key::Word(word));
                }
                let block = Action::ALL.iter().find(|action| action.has_settings() && action.name() == key);
                block.map(|action| Key::Block(*action)).ok_or_else(|| E::unknown_field(key, &KEYS))
            }
        }
        from.deserialize_identifier(Keys)
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        ReadItem { in_group: false }.deserialize(from)
    }
}

/// Reads one item. In a group `at` may be omitted.
struct ReadItem {
    in_group: bool,
}

impl<'de> DeserializeSeed<'de> for ReadItem {
    type Value = Item;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Item, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ReadItem {
    type Value = Item;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("struct Fault")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
        let (mut name, mut at, mut every, mut after, mut action, mut selector) =
            (None, None, None, None, None, None);
        let (mut mode, mut value, mut duration, mut draw) = (None, None, None, None);
        let (mut serial, mut parallel, mut repeat, mut deadline) = (None, None, None, None);
        let mut blocks: BTreeMap<Action, Settings> = BTreeMap::new();
        let (mut of_fault, mut of_group) = (None, None);
        // A repeated key was refused before (`text::yaml::read`).
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Word("name") => name = map.next_value()?,
                Key::Word("at") => at = Some(map.next_value()?),
                Key::Word("every") => every = map.next_value()?,
                Key::Word("after") => after = map.next_value()?,
                Key::Word(word @ ("repeat" | "deadline" | "serial" | "parallel")) => {
                    of_group = Some(word);
                    match word {
                        "repeat" => repeat = Some(map.next_value()?),
                        "deadline" => deadline = Some(map.next_value()?),
                        "serial" => serial = Some(map.next_value_seed(Members)?),
                        _ => parallel = Some(map.next_value_seed(Members)?),
                    }
                }
                Key::Word(word) => {
                    of_fault = Some(word);
                    match word {
                        "action" => action = Some(map.next_value()?),
                        "selector" => selector = map.next_value()?,
                        "mode" => mode = map.next_value()?,
                        "value" => value = map.next_value()?,
                        "duration" => duration = map.next_value()?,
                        "draw" => draw = map.next_value()?,
                        other => unreachable!("the key {other} has no arm"),
                    }
                }
                Key::Block(owner) => {
                    of_fault = Some(owner.name());
                    blocks.insert(owner, owner.read_settings(&mut map)?);
                }
            }
        }
        let at: Option<Window> = at.or(self.in_group.then_some(Window::exactly(std::time::Duration::ZERO)));
        let at = at.ok_or_else(|| de::Error::missing_field("at"))?;
        if serial.is_some() || parallel.is_some() {
            let stray = of_fault;
            let group = Group { name, at, every, after, repeat, deadline, serial, parallel, stray };
            return Ok(Item::Group(Box::new(group)));
        }
        if let Some(word) = of_group {
            return Err(de::Error::custom(format!(
                "`{word}:` belongs to a group, which has `serial:` or `parallel:`: remove the key"
            )));
        }
        let action = action.ok_or_else(|| de::Error::missing_field("action"))?;
        Ok(Fault { name, at, every, after, action, selector, mode, value, duration, draw, blocks }.into())
    }
}

/// Reads the members of a group.
struct Members;

impl<'de> DeserializeSeed<'de> for Members {
    type Value = Vec<Item>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<Item>, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Vec<Item>;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Item>, A::Error> {
        let mut members = Vec::new();
        while let Some(item) = list.next_element_seed(ReadItem { in_group: true })? {
            members.push(item);
        }
        Ok(members)
    }
}
