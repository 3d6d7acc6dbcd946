//! Examples for the reference: a whole file, and each kind of fault. A test reads all of them as scenarios.

use crate::faults::{Action, Aim, Lasts};

/// A whole scenario.
pub(super) const SCENARIO: &str = "\
apiVersion: squall/v1
kind: Scenario
metadata:
  name: isolated-leader
  description: The leader is cut off from the others, and a new one takes over.
spec:
  seeds: [1, 2, 3]
  cluster: {members: 3}
  workloads:
    - {type: kv, clients: 6, rate: 200, keys: 8}
  timeLimit: 20s
  faults:
    - {name: isolate, at: 4s..8s, action: partition, selector: {role: leader}, duration: 3s}
  expect: {outcome: valid, mustBite: [partition]}
";

/// Groups, as items of `spec.faults`.
pub(super) const GROUPS: &str = "  - name: storm
    at: 2s..3s
    repeat: 2
    serial:
      - {name: backup, action: snapshotSave}
      - parallel:
          - {action: partition, selector: {role: leader}, duration: 1s..2s}
          - {at: 300ms, action: slowFsync, mode: all, slowFsync: {delay: 20ms}, duration: 1s}
      - {at: 500ms, action: restart, selector: {role: follower}}
";

/// A fault of this kind, as items of `spec.faults`.
pub(super) fn fault(action: Action) -> String {
    let mut text = String::new();
    let block = block(action);
    // The snapshot to restore must be saved before.
    if block.contains("snapshot: save") {
        text.push_str("  - {name: save, at: 3s, action: snapshotSave}\n");
    }
    text.push_str("  - at: 5s..8s\n");
    text.push_str(&format!("    action: {}\n", action.name()));
    match action.aim() {
        Aim::Members | Aim::OneMember => text.push_str("    mode: one\n"),
        Aim::Cluster => {}
    }
    match action.lasts() {
        Lasts::Never => {}
        Lasts::UntilHealed | Lasts::ForItsDuration => text.push_str("    duration: 2s..4s\n"),
    }
    text.push_str(&block);
    text
}

/// The block of settings: the room's own example, or its defaults.
fn block(action: Action) -> String {
    let example = action.example().trim_matches('`').replace("<name of the snapshotSave>", "save");
    if !example.is_empty() {
        return format!("    {example}\n");
    }
    let defaults = action.unwritten().filter(|_| action.has_settings());
    let Some(settings) = defaults.and_then(|settings| serde_yaml::to_string(&settings).ok()) else {
        return String::new();
    };
    if settings.trim() == "{}" {
        return String::new();
    }
    let lines: String = settings.lines().map(|line| format!("      {line}\n")).collect();
    format!("    {}:\n{lines}", action.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;
    use std::path::Path;

    #[test]
    fn every_example_is_a_scenario() {
        let path = Path::new("isolated-leader.yaml");
        parse(path, SCENARIO).unwrap_or_else(|refusal| panic!("{refusal}"));
        let faults = Action::ALL.iter().map(|action| fault(*action)).chain([GROUPS.to_owned()]);
        for fault in faults {
            let head = SCENARIO.split("  faults:\n").next().unwrap_or_default();
            let text = format!("{head}  faults:\n{}", fault);
            parse(path, &text).unwrap_or_else(|refusal| {
                panic!("{refusal}\nThe room's EXAMPLE is what a user reads in docs/scenarios.md:\n{text}")
            });
        }
    }
}
