//! Alerts: those that the run must raise fired in time, and those that it must not raise stayed silent.
//!
//! The history has every change of every alert ([`AlertLine`]), as the rules' evaluation made them. Other tests
//! compare the evaluation with Prometheus' promtool. An alert may stay silent because its rule had nothing to look at: no
//! process exposes its metric, the job has another name, or the expression fails. The history names such a rule
//! ([`AlertBlind`]), and the alert's silence does not count. A history without a demand is not judged.

use super::{Failure, seconds};
use crate::history::{AlertBlind, AlertLine, AlertState, Event, ExpectedAlert, RunHistory};

const FIRES: &str = "alerts: what the run is to raise fires";
const IN_TIME: &str = "alerts: what fires does so in time";
const SILENT: &str = "alerts: what the run is not to raise stays silent";
const LOOKS: &str = "alerts: a silent alert has something to look at";

pub(super) const GUARANTEES: [&str; 4] = [FIRES, IN_TIME, SILENT, LOOKS];

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let Some(expected) = history.meta().and_then(|meta| meta.expect.alerts.as_ref()) else {
        return Vec::new();
    };
    let lines = history.alerts();
    let blind: Vec<&AlertBlind> = history
        .events
        .iter()
        .filter_map(|event| match event {
            Event::AlertBlind(line) => Some(line),
            _ => None,
        })
        .collect();
    let first_fault = history.events.iter().filter_map(|event| match event {
        Event::Fault(fault) => Some(fault.at),
        _ => None,
    });
    let from = first_fault.min().unwrap_or(0);
    let fired = |one: &ExpectedAlert| {
        lines.iter().find(|line| line.state == AlertState::Firing && one.is(&line.alert, &line.labels))
    };
    let mut failures = Vec::new();
    for one in &expected.firing {
        let Some(line) = fired(one) else {
            failures.push(Failure::new("alerts", FIRES, missed(one, &lines, &blind)));
            continue;
        };
        if let Some(within) = expected.within
            && line.at > from.saturating_add(within)
        {
            let message = format!(
                "{line} fired at {:.3}s, {:.3}s after the first fault; expected within {:.3}s",
                seconds(line.at),
                seconds(line.at - from),
                seconds(within)
            );
            failures.push(Failure::new("alerts", IN_TIME, message));
        }
    }
    for one in &expected.not_firing {
        if let Some(line) = fired(one) {
            let pending = began(line, &lines);
            let message = format!(
                "{line} fired at {:.3}s, with the value {}; it had been pending since {:.3}s",
                seconds(line.at),
                line.value,
                seconds(pending)
            );
            failures.push(Failure::new("alerts", SILENT, message));
        } else if let Some(line) = blind.iter().find(|line| could_be(one, line)) {
            let message = format!("{one} did not fire, and could not have: {}", line.why);
            failures.push(Failure::new("alerts", LOOKS, message));
        }
    }
    failures
}

/// Whether a rule's alerts could be those that are meant: labels that the rule sets itself must agree.
fn could_be(one: &ExpectedAlert, rule: &AlertBlind) -> bool {
    let agrees = |name: &String, value: &String| rule.labels.get(name).is_none_or(|set| set == value);
    one.alert == rule.alert && one.labels.iter().all(|(name, value)| agrees(name, value))
}

/// Since when an alert that fires has held.
fn began(fires: &AlertLine, lines: &[&AlertLine]) -> u64 {
    let before = lines.iter().filter(|line| {
        let same = (&line.alert, &line.labels) == (&fires.alert, &fires.labels);
        same && line.state == AlertState::Pending && line.at <= fires.at
    });
    before.map(|line| line.at).next_back().unwrap_or(fires.at)
}

/// What can be said of an alert that did not fire: how near it came, or that it could not.
fn missed(one: &ExpectedAlert, lines: &[&AlertLine], blind: &[&AlertBlind]) -> String {
    if let Some(line) = blind.iter().find(|line| could_be(one, line)) {
        return format!("{one} did not fire, and could not: {}", line.why);
    }
    let near = lines.iter().filter(|line| one.is(&line.alert, &line.labels));
    let pending: Vec<&&AlertLine> = near.filter(|line| line.state == AlertState::Pending).collect();
    match pending.as_slice() {
        [] => format!("{one} did not fire: its expression never held"),
        [line] => format!(
            "{one} did not fire: {line} was pending from {:.3}s on, with the value {}, and not for long enough",
            seconds(line.at),
            line.value
        ),
        [line, ..] => format!(
            "{one} did not fire: it was pending {} times, first {line} from {:.3}s on, with the value {}, and never for long enough",
            pending.len(),
            seconds(line.at),
            line.value
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::history::{ReadLimits, jsonl};

    const FROM_A_FAULT: &str = r#"{"fault":{"at":5000000000,"action":"crash","target":"m1"}}
{"alert":{"at":20000000000,"alert":"Down","labels":{"instance":"m1"},"state":"pending","value":"1"}}
{"alert":{"at":30000000000,"alert":"Slow","labels":{"instance":"m1"},"state":"pending","value":"0.7"}}
{"alert":{"at":40000000000,"alert":"Slow","labels":{"instance":"m1"},"state":"inactive"}}
{"alert":{"at":80000000000,"alert":"Down","labels":{"instance":"m1","severity":"page"},"state":"firing","value":"1"}}
{"alert_blind":{"at":90000000000,"alert":"Lost","labels":{"severity":"page"},"why":"no series was `lost`"}}
"#;

    fn judged(expected: &str) -> Vec<Failure> {
        let meta = format!(
            "{{\"meta\":{{\"format\":1,\"scenario\":\"s\",\"seed\":1,\"expect\":{{\"alerts\":{expected}}}}}}}\n"
        );
        let text = format!("{meta}{FROM_A_FAULT}{{\"end\":{{\"at\":99000000000}}}}\n");
        let history = jsonl::read(text.as_bytes(), "test", &ReadLimits::default()).unwrap();
        check(&history)
    }

    #[test]
    fn what_fires_and_what_does_not_is_told() {
        let all = [
            (r#"{"firing":[{"alert":"Down"}],"not_firing":[{"alert":"Slow"}],"within":75000000000}"#, ""),
            (r#"{"firing":[{"alert":"Down","labels":{"instance":"m1"}}]}"#, ""),
            (r#"{"not_firing":[{"alert":"Down","labels":{"instance":"m2"}}]}"#, ""),
            (r#"{"not_firing":[{"alert":"Lost","labels":{"severity":"warning"}}]}"#, ""),
            (
                r#"{"firing":[{"alert":"Down"}],"within":74999000000}"#,
                r#"Down{instance="m1", severity="page"} fired at 80.000s, 75.000s after the first fault; expected within 74.999s"#,
            ),
            (
                r#"{"firing":[{"alert":"Slow"}]}"#,
                r#"Slow did not fire: Slow{instance="m1"} was pending from 30.000s on, with the value 0.7, and not for long enough"#,
            ),
            (
                r#"{"firing":[{"alert":"Down","labels":{"instance":"m2"}}]}"#,
                r#"Down{instance="m2"} did not fire: its expression never held"#,
            ),
            (r#"{"firing":[{"alert":"Lost"}]}"#, "Lost did not fire, and could not: no series was `lost`"),
            (
                r#"{"not_firing":[{"alert":"Down"}]}"#,
                r#"Down{instance="m1", severity="page"} fired at 80.000s, with the value 1; it had been pending since 80.000s"#,
            ),
            (
                r#"{"not_firing":[{"alert":"Lost","labels":{"instance":"m1"}}]}"#,
                r#"Lost{instance="m1"} did not fire, and could not have: no series was `lost`"#,
            ),
        ];
        let mut broken = BTreeSet::new();
        for (expected, message) in all {
            let failures = judged(expected);
            let said: Vec<&str> = failures.iter().map(|failure| failure.message.as_str()).collect();
            let wanted: Vec<&str> = Some(message).filter(|message| !message.is_empty()).into_iter().collect();
            assert_eq!(said, wanted, "{expected}");
            broken.extend(failures.into_iter().map(|failure| failure.guarantee));
        }
        assert_eq!(broken, GUARANTEES.map(str::to_owned).into(), "each guarantee is broken once");
    }
}
