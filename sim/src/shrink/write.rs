//! Writes the result as a person would: without defaults, with one line for each workload and each fault, and with a
//! comment at the top that says what the scenario shows.

use std::path::Path;

use serde_yaml::{Mapping, Value};

use crate::{
    explore::Signature,
    scenario::{CheckerName, Expect, Metadata, Outcome, Scenario, parse},
    schema::modeline,
};

/// The content of the comment at the top of a file.
#[derive(Debug, Clone)]
pub struct Heading {
    /// The failure.
    pub signature: Signature,
    /// The checker's message.
    pub message: String,
    /// Its origin: the run and the build, in one line.
    pub origin: String,
    /// How many other seeds show the failure too, and how many were tried.
    pub other_seeds: Option<(usize, usize)>,
}

/// The longest line of a flow mapping, in characters.
const WIDTH: usize = 110;

/// How many lines of the message the comment shows.
const LINES: usize = 8;

/// The scenario with a new name and its expectation: the store is sound, or the planted bug is found.
pub fn named_scenario(scenario: &Scenario, heading: &Heading) -> Scenario {
    let mut scenario = scenario.clone();
    let seed = scenario.spec.seeds[0];
    let rule = heading.signature.words();
    scenario.metadata = Metadata {
        name: format!("{rule}-{seed}"),
        description: description(&heading.signature),
        references: Vec::new(),
    };
    if scenario.spec.cluster.planted_bug.is_some() {
        let checker =
            CheckerName::ALL.iter().find(|(checker, _)| checker.name() == heading.signature.checker);
        if let Some((checker, _)) = checker {
            scenario.spec.expect = Expect {
                outcome: Outcome::Invalid,
                checker: Some(*checker),
                within: Some(200),
                ..scenario.spec.expect
            };
        }
    }
    scenario
}

fn description(signature: &Signature) -> String {
    let rule = signature.rule.rsplit_once(": ").map_or(signature.rule.as_str(), |(_, rule)| rule);
    match rule.strip_prefix("no ") {
        Some(broken) => format!("Shows a {broken}, found by the checker {}.", signature.checker),
        None => format!("Breaks what the checker {} demands: {rule}.", signature.checker),
    }
}

/// The file's text. Read back, it is the same scenario.
pub fn scenario_text(scenario: &Scenario, heading: &Heading) -> String {
    let value = serde_yaml::to_value(scenario).expect("a scenario is made of strings and numbers");
    let mut pruned = value;
    prune(&mut pruned, scenario);
    let mut text = comment(heading);
    // The path is for scenarios/regression, where the file is meant to go.
    text.push_str(&modeline("../../"));
    let Value::Mapping(root) = &pruned else { unreachable!("a scenario is a mapping") };
    block(root, 0, &mut text);
    // The plain form, if ours would be read as another scenario.
    if parse(Path::new("shrunk.yaml"), &text).as_ref() == Ok(scenario) {
        text
    } else {
        comment(heading)
            + &serde_yaml::to_string(scenario).expect("a scenario is made of strings and numbers")
    }
}

fn comment(heading: &Heading) -> String {
    let mut text = format!("# {}\n#\n", description(&heading.signature));
    for line in heading.message.lines().take(LINES) {
        text.push_str(&format!("#   {}\n", line.trim_end().replace(|c: char| c.is_control(), " ")));
    }
    text.push_str("#\n");
    if let Some((showing, of)) = heading.other_seeds {
        let line = match showing {
            0 => format!("# None of {of} other seeds shows it: an unrelated change of chance may hide it."),
            1 => format!("# Of {of} other seeds 1 shows it too."),
            _ => format!("# Of {of} other seeds {showing} show it too."),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str(&format!("# {}\n", heading.origin.replace(|c: char| c.is_control(), " ")));
    text
}

/// Removes every key that does not change the scenario that is read.
fn prune(value: &mut Value, scenario: &Scenario) {
    let mut path = Vec::new();
    prune_below(value, &mut path, scenario);
}

#[derive(Clone)]
enum Place {
    Key(Value),
    Index(usize),
}

fn prune_below(root: &mut Value, path: &mut Vec<Place>, scenario: &Scenario) {
    let places: Vec<Place> = match at(root, path) {
        Value::Mapping(map) => map.keys().cloned().map(Place::Key).collect(),
        Value::Sequence(items) => (0..items.len()).map(Place::Index).collect(),
        _ => return,
    };
    for place in places {
        if let Place::Key(key) = &place {
            let mut without = root.clone();
            if let Value::Mapping(map) = at(&mut without, path) {
                map.shift_remove(key);
            }
            // A file always states its name and its seeds.
            let stays =
                matches!(key.as_str(), Some("name" | "description" | "seeds" | "timeLimit" | "outcome"));
            if !stays && reads_the_same(without.clone(), scenario) {
                *root = without;
                continue;
            }
        }
        path.push(place);
        prune_below(root, path, scenario);
        path.pop();
    }
}

fn reads_the_same(value: Value, scenario: &Scenario) -> bool {
    serde_yaml::from_value::<Scenario>(value).is_ok_and(|read| read == *scenario)
}

fn at<'a>(value: &'a mut Value, path: &[Place]) -> &'a mut Value {
    path.iter().fold(value, |value, place| match (value, place) {
        (Value::Mapping(map), Place::Key(key)) => map.get_mut(key).expect("the path was walked"),
        (Value::Sequence(items), Place::Index(index)) => &mut items[*index],
        (value, _) => value,
    })
}

/// A mapping in block form. Values below `metadata` and `spec` take flow form if they fit on a line.
fn block(map: &Mapping, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    for (key, value) in map {
        let key = scalar(key);
        let opens = depth == 0 && matches!(value, Value::Mapping(_));
        if !opens {
            let line = format!("{indent}{key}: {}", flow(value));
            if line.chars().count() <= WIDTH && !is_list_of_mappings(value) {
                text.push_str(&line);
                text.push('\n');
                continue;
            }
        }
        match value {
            Value::Mapping(below) => {
                text.push_str(&format!("{indent}{key}:\n"));
                block(below, depth + 1, text);
            }
            Value::Sequence(items) => {
                text.push_str(&format!("{indent}{key}:\n"));
                for item in items {
                    list_item(item, depth + 1, text);
                }
            }
            other => text.push_str(&format!("{indent}{key}: {}\n", scalar(other))),
        }
    }
}

fn list_item(item: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let line = format!("{indent}- {}", flow(item));
    match item {
        Value::Mapping(map) if line.chars().count() > WIDTH => {
            let mut below = String::new();
            block(map, depth + 1, &mut below);
            // The first key comes after the dash.
            text.push_str(&format!("{indent}- {}", below.trim_start()));
        }
        _ => {
            text.push_str(&line);
            text.push('\n');
        }
    }
}

fn is_list_of_mappings(value: &Value) -> bool {
    matches!(value, Value::Sequence(items) if items.iter().any(Value::is_mapping))
}

fn flow(value: &Value) -> String {
    match value {
        Value::Mapping(map) => {
            let items: Vec<String> =
                map.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value))).collect();
            format!("{{{}}}", items.join(", "))
        }
        Value::Sequence(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        other => scalar(other),
    }
}

/// A scalar. A string is plain if YAML reads it as the same string, otherwise in quotes.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let plain = !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '/' | '_' | ' '))
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && !text.ends_with(' ')
                && serde_yaml::from_str::<Value>(text).is_ok_and(|read| read == *value);
            if plain { text.clone() } else { serde_json::to_string(text).expect("a string") }
        }
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        _ => "null".to_owned(),
    }
}
