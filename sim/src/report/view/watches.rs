//! Watches as spans: which client watched which keys, at which member, how long, and when it got events.

use serde::Serialize;
use squall_checker::history::{Event, RunHistory};
use std::collections::BTreeMap;

/// One watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WatchSpan {
    /// The client's number.
    pub client: u64,
    /// The client's number for the watch.
    pub watch: i64,
    /// The member that serves it.
    pub member: String,
    /// The watched key, or the two ends of a watched range.
    pub keys: String,
    /// The first revision that it asks for.
    pub revision: i64,
    /// When it was made.
    pub from: u64,
    /// When it ended for its client: the member ended it, or sent nothing more.
    pub to: u64,
    /// Whether the member ended it.
    pub canceled: bool,
    /// When it got events.
    pub told: Vec<u64>,
    /// How many events it got.
    pub events: u64,
}

/// The watches of a history, by their begin.
pub(super) fn spans(history: &RunHistory) -> Vec<WatchSpan> {
    let mut spans: BTreeMap<(u64, i64), WatchSpan> = BTreeMap::new();
    for event in &history.events {
        match event {
            Event::WatchStart(start) => {
                let keys = match start.range_end.as_slice() {
                    [] => start.key.to_string(),
                    [0] => format!("{} and what follows", start.key),
                    _ => format!("{} to {}", start.key, start.range_end),
                };
                let span = WatchSpan {
                    client: start.client.0,
                    watch: start.watch_id,
                    member: start.endpoint.clone(),
                    keys,
                    revision: start.wanted_from(),
                    from: start.at,
                    to: start.at,
                    canceled: false,
                    told: Vec::new(),
                    events: 0,
                };
                spans.insert((start.client.0, start.watch_id), span);
            }
            Event::Watch(line) => {
                if let Some(span) = spans.get_mut(&(line.client.0, line.watch_id)) {
                    span.to = span.to.max(line.at);
                    span.canceled |= line.canceled;
                    if !line.events.is_empty() {
                        span.told.push(line.at);
                        span.events += line.events.len() as u64;
                    }
                }
            }
            _ => {}
        }
    }
    let mut spans: Vec<WatchSpan> = spans.into_values().collect();
    spans.sort_by_key(|span| span.from);
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_checker::history::{
        Client, KeyValue, Revision, WatchEvent, WatchEventKind, WatchLine, WatchStart,
    };

    #[test]
    fn a_watch_lasts_to_the_last_that_its_client_heard() {
        let start = |at, watch_id, key: &str, range_end: &str| {
            Event::WatchStart(WatchStart {
                at,
                client: Client(7),
                watch_id,
                endpoint: "m2".into(),
                revision: Revision(5),
                key: key.into(),
                range_end: range_end.into(),
                ..WatchStart::default()
            })
        };
        let told = |at, watch_id, events: usize, canceled| {
            let event = WatchEvent { kind: WatchEventKind::Put, kv: KeyValue::default(), prev_kv: None };
            Event::Watch(WatchLine {
                at,
                client: Client(7),
                watch_id,
                canceled,
                events: vec![event; events],
                ..WatchLine::default()
            })
        };
        let events = vec![
            start(20, 2, "a", "\0"),
            start(10, 1, "k", ""),
            told(30, 1, 2, false),
            told(40, 1, 0, true),
            told(50, 9, 1, false),
        ];
        let spans = spans(&RunHistory { events, ..RunHistory::default() });
        let found: Vec<_> = spans
            .iter()
            .map(|span| (span.watch, span.keys.as_str(), span.from, span.to, span.canceled, &*span.told))
            .collect();
        assert_eq!(found, [(1, "k", 10, 40, true, &[30][..]), (2, "a and what follows", 20, 20, false, &[])]);
        assert!(spans.iter().all(|span| span.revision == 6), "they want what comes after revision 5");
    }
}
