//! The plan and its file.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{draw::draw_faults, drawn::DrawnFault};
use crate::{
    faults::nodes,
    scenario::{self, API_VERSION, Scenario, Spec},
    text::{self, Refusal, Source, Step},
};

/// A drawn run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The scenario's name.
    pub scenario: String,
    /// The root of the chance by place.
    pub seed: u64,
    /// Everything that the scenario says, and every default. Its `faults` and `seeds` are empty: the drawn faults and the
    /// seed stand beside it.
    pub spec: Spec,
    /// The faults, ordered by instant, then by id.
    pub faults: Vec<DrawnFault>,
}

impl Plan {
    /// Draws the plan of a scenario that has passed validation.
    pub fn draw(scenario: &Scenario, seed: u64) -> Plan {
        let mut spec = scenario.spec.clone();
        spec.seeds = Vec::new();
        let faults = std::mem::take(&mut spec.faults);
        // What the workload's type decides is written out too.
        for workload in &mut spec.workloads {
            workload.mix = Some(workload.mix());
        }
        Plan {
            scenario: scenario.metadata.name.clone(),
            seed,
            faults: draw_faults(&faults, spec.time_limit, seed),
            spec,
        }
    }

    /// The file's text: [`parse_plan`] reads it back to an equal plan.
    pub fn to_yaml(&self) -> String {
        let mut spec = self.spec.clone();
        spec.seeds = vec![self.seed];
        spec.faults = self.faults.iter().map(|fault| fault.to_fault().into()).collect();
        let file = PlanFile {
            api_version: API_VERSION.into(),
            kind: "Plan".into(),
            scenario: self.scenario.clone(),
            spec,
        };
        serde_yaml::to_string(&file).expect("a plan is made of strings and numbers")
    }
}

/// A drawn run, as a file holds it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Plan")]
pub(crate) struct PlanFile {
    /// Must be `squall/v1`.
    api_version: String,
    /// Must be `Plan`.
    kind: String,
    /// The name of the scenario that it was drawn from.
    scenario: String,
    /// As in a scenario, with one seed and with faults that leave nothing to draw.
    spec: Spec,
}

/// Reads a plan's text, as [`Plan::to_yaml`] or a person wrote it. `path` only names it in errors.
///
/// # Errors
/// What is wrong, with its place.
pub fn parse_plan(path: &Path, text: &str) -> Result<Plan, Refusal> {
    scenario::check_header(path, text, "Plan")?;
    let mut file: PlanFile = text::read(path, text)?;
    let source = Source { path, text };
    scenario::check_name(&source, &[Step::Key("scenario")], &file.scenario)?;
    scenario::read_rules(&source, &mut file.spec)?;
    scenario::check_spec(&source, &file.spec, true)?;
    let seeds = [Step::Key("spec"), Step::Key("seeds")];
    source.refuse_if(file.spec.seeds.len() != 1, &seeds, || {
        "a plan is one run: expected a list of one seed".to_owned()
    })?;
    let mut spec = file.spec;
    let seed = spec.seeds.remove(0);
    let faults = std::mem::take(&mut spec.faults);
    let mut drawn: Vec<DrawnFault> = nodes(&faults)
        .into_iter()
        .filter_map(|node| {
            // A plan has no groups: the validation has refused them.
            let fault = node.item.fault()?;
            let duration = fault.duration.map(|window| window.from);
            Some(DrawnFault::new(fault, node.name, fault.at.from, duration, fault.draw.unwrap_or(0)))
        })
        .collect();
    drawn.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    Ok(Plan { scenario: file.scenario, seed, spec, faults: drawn })
}
