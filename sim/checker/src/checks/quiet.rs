//! The times at which nothing breaks, for checkers that demand something of such times alone.

use std::collections::BTreeMap;

use crate::history::{Effect, Event, Fault, Operation, RaftLine, RunHistory};

/// How long after a disturbance a time is quiet again, in nanoseconds. After a long disturbance it takes twice as long as the
/// disturbance lasted, since the pause between two tries of a connection doubles.
const QUIET_AFTER: u64 = 2_000_000_000;

/// The times at which something broke or changed.
pub(super) struct Disturbances(Vec<(u64, u64)>);

impl Disturbances {
    pub(super) fn of(history: &RunHistory) -> Self {
        Self::apart_from(history, None)
    }

    /// The same, apart from faults that have this effect.
    pub(super) fn apart_from(history: &RunHistory, ignored: Option<Effect>) -> Self {
        let mut spans: Vec<(u64, u64)> = Vec::new();
        // How many faults are active, and since when. A fault's end does not say which strike it belongs to: the count suffices.
        let (mut active, mut since) = (0_u64, 0);
        // A heal names its fault's action alone.
        let faults: BTreeMap<&str, &Fault> = history
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Fault(fault) => Some((&*fault.action, fault)),
                _ => None,
            })
            .collect();
        let has = |action: &str, effect: Effect| match faults.get(action) {
            Some(fault) => fault.does(effect),
            None => Effect::of_action(action).contains(&effect),
        };
        let disturbs = |action: &str| {
            has(action, Effect::Disturbs) && !ignored.is_some_and(|effect| has(action, effect))
        };
        let mut events: Vec<&Event> = history.events.iter().collect();
        events.sort_by_key(|event| event.at());
        for event in events {
            let at = event.at();
            match event {
                Event::Fault(fault) if !disturbs(&fault.action) => {}
                Event::Heal(heal) if !disturbs(&heal.action) => {}
                Event::Fault(fault) if !fault.target.is_empty() => {
                    if active == 0 {
                        since = at;
                    }
                    active += 1;
                }
                Event::Heal(heal) => {
                    let alone = active == 0;
                    spans.push((if alone { at } else { since }, at));
                    active = if heal.action.is_empty() { 0 } else { active.saturating_sub(1) };
                }
                Event::Life(_) | Event::Break(_) | Event::Panic(_) | Event::Failed(_) => spans.push((at, at)),
                Event::Outage(outage) => spans.push((outage.from, outage.to)),
                Event::Raft(RaftLine::Role(_)) => spans.push((at, at)),
                _ => {}
            }
        }
        if active > 0 {
            spans.push((since, u64::MAX));
        }
        Disturbances(spans)
    }

    /// Since when it has been quiet at an instant; none if it is not.
    pub(super) fn since(&self, instant: u64) -> Option<u64> {
        let before = self.0.iter().filter(|(begin, _)| *begin <= instant);
        let over = before.map(|(begin, end)| over(*begin, *end)).max().unwrap_or(0);
        (over < instant).then_some(over)
    }

    /// Whether nothing breaks from an operation's call to `until`, and its client has a connection that works. A connection
    /// that died in silence stays dead until its keep-alives notice, long after. So the same client must have had an answer
    /// from that member since the last disturbance, if there was one.
    pub(super) fn leave_alone(&self, history: &RunHistory, operation: &Operation, until: u64) -> bool {
        let connected = |before: &Operation| {
            before.client == operation.client
                && before.endpoint == operation.endpoint
                && before.is_ok()
                && before.ret.is_some_and(|ret| ret <= operation.call)
                && !self.touch(before.call, until)
        };
        !self.touch(operation.call, until)
            && (self.since(operation.call) == Some(0) || history.operations.iter().any(connected))
    }

    /// Whether one of them, or the time that it takes to get over it, lies in this span.
    pub(super) fn touch(&self, from: u64, to: u64) -> bool {
        self.0.iter().any(|(begin, end)| *begin <= to && over(*begin, *end) >= from)
    }
}

/// When it is quiet again after a disturbance.
fn over(begin: u64, end: u64) -> u64 {
    end.saturating_add(QUIET_AFTER.max(2 * (end - begin).min(u64::MAX / 4)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{ReadLimits, jsonl};

    #[test]
    fn a_fault_that_disturbs_nothing_leaves_the_time_quiet() {
        let quiet = |action: &str, effects: &str| {
            let text = format!(
                "{{\"meta\":{{\"format\":1,\"scenario\":\"s\",\"seed\":1}}}}\n\
                 {{\"fault\":{{\"at\":1000,\"action\":\"{action}\",\"target\":\"m1\"{effects}}}}}\n\
                 {{\"heal\":{{\"at\":2000,\"action\":\"{action}\",\"target\":\"m1\"}}}}\n\
                 {{\"end\":{{\"at\":9000000000}}}}\n"
            );
            let history = jsonl::read(text.as_bytes(), "test", &ReadLimits::default()).unwrap();
            !Disturbances::of(&history).touch(1_500, 1_600) && !Disturbances::of(&history).touch(2_500, 2_600)
        };
        assert!(quiet("compact", "") && quiet("snapshotSave", ""));
        assert!(!quiet("pause", "") && !quiet("newKind", ""));
        assert!(quiet("newKind", ",\"effects\":[]"));
        assert!(!quiet("compact", ",\"effects\":[\"disturbs\"]"));
    }
}
