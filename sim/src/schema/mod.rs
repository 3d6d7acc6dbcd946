//! The JSON Schema (draft-07) of scenario and plan files, and the reference that is made from it.
//!
//! Everything here is derived from the types that read the files ([`crate::scenario`], [`crate::faults`],
//! [`crate::plan`]): a field's documentation is its description, a default is the type's default, a new kind of fault
//! appears as soon as it is registered. `docs/schema/*.json` and `docs/scenarios.md` are committed, and a test
//! compares them with this build's output.
//!
//! A schema cannot express every check (a selector that matches no member, a fault that ends after the time limit).
//! `squall run` makes the other checks before anything runs.

mod example;
mod reference;
mod tidy;

use crate::plan::PlanFile;
use crate::scenario::{API_VERSION, Scenario};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

pub use reference::reference;

/// The kinds of file that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// What a person writes: `kind: Scenario`.
    Scenario,
    /// What a seed makes of it: `kind: Plan`.
    Plan,
}

impl FileKind {
    /// Both.
    pub const ALL: [FileKind; 2] = [FileKind::Scenario, FileKind::Plan];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            FileKind::Scenario => "scenario",
            FileKind::Plan => "plan",
        }
    }
}

/// The schema of a kind of file, as pretty JSON with a line end.
pub fn schema_text(kind: FileKind) -> String {
    let mut text = serde_json::to_string_pretty(&schema(kind)).expect("a schema is JSON");
    text.push('\n');
    text
}

/// The schema of a kind of file.
pub fn schema(kind: FileKind) -> Value {
    match kind {
        FileKind::Scenario => root::<Scenario>("Scenario"),
        FileKind::Plan => root::<PlanFile>("Plan"),
    }
}

/// The files that are generated from the types, with their paths below the project's folder.
pub fn committed() -> [(&'static str, String); 3] {
    [
        ("docs/schema/scenario.schema.json", schema_text(FileKind::Scenario)),
        ("docs/schema/plan.schema.json", schema_text(FileKind::Plan)),
        ("docs/scenarios.md", reference()),
    ]
}

/// The two comments at the head of a scenario file that name its schema for editors. `up` is the path from the file's
/// folder to the project's: empty, or `../` once or several times.
pub fn modeline(up: &str) -> String {
    let path = format!("{up}docs/schema/scenario.schema.json");
    format!("# yaml-language-server: $schema={path}\n# $schema: {path}\n")
}

fn root<T: JsonSchema>(kind: &str) -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>().to_value();
    tidy::tidy(&mut schema);
    schema["title"] = json!(format!("Squall {kind}"));
    schema["properties"]["apiVersion"]["const"] = json!(API_VERSION);
    schema["properties"]["apiVersion"]["description"] = json!(format!("Must be `{API_VERSION}`."));
    schema["properties"]["kind"]["const"] = json!(kind);
    schema
}
