//! Alerts as spans: since when each was pending, when it fired, and when it ended.

use std::collections::BTreeMap;

use serde::Serialize;
use squall_checker::history::{AlertState, RunHistory};

/// One alert, from its begin to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertSpan {
    /// Its name and labels, as Prometheus writes them.
    pub alert: String,
    /// Since when its expression held.
    pub from: u64,
    /// When it fired; null if it did not.
    pub firing: Option<u64>,
    /// When it ended; null if it lasted to the end of the run.
    pub to: Option<u64>,
    /// The value of its expression when it began, or fired.
    pub value: String,
}

/// The alerts of a history, by their begin.
pub(super) fn spans(history: &RunHistory) -> Vec<AlertSpan> {
    let mut spans: Vec<AlertSpan> = Vec::new();
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for line in history.alerts() {
        let alert = line.to_string();
        let begun = open.get(&alert).copied();
        match (line.state, begun) {
            (AlertState::Firing, Some(at)) => {
                spans[at].firing = Some(line.at);
                spans[at].value.clone_from(&line.value);
            }
            (AlertState::Pending | AlertState::Firing, _) => {
                open.insert(alert.clone(), spans.len());
                let firing = (line.state == AlertState::Firing).then_some(line.at);
                spans.push(AlertSpan { alert, from: line.at, firing, to: None, value: line.value.clone() });
            }
            (AlertState::Inactive | AlertState::Resolved, _) => {
                if let Some(at) = open.remove(&alert) {
                    spans[at].to = Some(line.at);
                }
            }
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_checker::history::{AlertLine, Event};

    #[test]
    fn each_alert_is_a_span_each_time() {
        let line = |at, alert: &str, state, value: &str| {
            let (alert, value) = (alert.to_owned(), value.to_owned());
            Event::Alert(AlertLine { at, alert, labels: BTreeMap::new(), state, value })
        };
        let events = vec![
            line(10, "A", AlertState::Pending, "1"),
            line(11, "B", AlertState::Firing, "2"),
            line(20, "A", AlertState::Firing, "3"),
            line(30, "A", AlertState::Resolved, ""),
            line(40, "A", AlertState::Pending, "4"),
            line(50, "A", AlertState::Inactive, ""),
        ];
        let found = spans(&RunHistory { events, ..RunHistory::default() });
        let found: Vec<_> = found
            .iter()
            .map(|span| (span.alert.as_str(), span.from, span.firing, span.to, span.value.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("A", 10, Some(20), Some(30), "3"),
                ("B", 11, Some(11), None, "2"),
                ("A", 40, None, Some(50), "4")
            ]
        );
    }
}
