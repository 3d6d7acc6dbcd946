//! The index of a folder of scenarios: a line for each, for people. `scenarios/README.md` is made of it.

use std::path::Path;

use super::{Outcome, Scenario, ScenarioFile};

/// What each part of the folder is for: the folder below the top, its heading, its purpose.
const PARTS: [(&str, &str, &str); 5] = [
    (
        "",
        "Drills",
        "What operators practise, and what chance brings. The store must hold: each run is judged by every checker.",
    ),
    (
        "alerts",
        "Alerts",
        "Rules of operators under the faults that they are for: each fires in one of these, and stays silent in another, in virtual \
         time. promtool confirms each (docs/alerts.md).",
    ),
    (
        "planning",
        "Planning",
        "How many members, how far apart, on what disks: docs/planning.md draws what came of these.",
    ),
    (
        "canary",
        "Canaries",
        "Each switches on an error that is planted in the store, or in a client. The checker that is named must find it; \
         with the error switched off it must find nothing.",
    ),
    (
        "regression",
        "Regressions",
        "Each reproduces a defect that was once found, with the seeds that showed it.",
    ),
];

/// The index in Markdown, of scenarios that lie in and below the folder `top`.
pub fn index(files: &[ScenarioFile], top: &Path) -> String {
    let mut text = String::from(
        "# Scenarios\n\nOne file each. `squall run scenarios` runs them all, `squall run scenarios/NAME.yaml` one. This index is \
         made from the files (`UPDATE_GOLDENFILES=1 cargo test -p squall --test drills index`).\n",
    );
    for (folder, heading, purpose) in PARTS {
        let wanted = top.join(folder);
        let mut here: Vec<&ScenarioFile> =
            files.iter().filter(|file| file.path.parent() == Some(wanted.as_path())).collect();
        here.sort_by(|a, b| a.scenario.metadata.name.cmp(&b.scenario.metadata.name));
        if here.is_empty() {
            continue;
        }
        text.push_str(&format!(
            "\n## {heading}\n\n{purpose}\n\n| Scenario | What it shows | Outcome |\n|---|---|---|\n"
        ));
        for file in here {
            let name = &file.scenario.metadata.name;
            let path = Path::new(folder).join(format!("{name}.yaml"));
            let (about, outcome) = (&file.scenario.metadata.description, outcome(&file.scenario));
            text.push_str(&format!("| [{name}]({}) | {about} | {outcome} |\n", path.display()));
        }
    }
    text
}

fn outcome(scenario: &Scenario) -> String {
    let expect = &scenario.spec.expect;
    match (expect.outcome, expect.checker) {
        (Outcome::Valid, _) => "valid".to_owned(),
        (Outcome::Invalid, Some(checker)) => format!("found by `{}`", checker.name()),
        (Outcome::Invalid, None) => "invalid".to_owned(),
    }
}
