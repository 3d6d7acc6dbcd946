//! The part of a run that may be judged.
//!
//! A fault can break what the store's guarantees rest on. A disk that goes back to an older image takes back votes and
//! acknowledged entries. If the member then votes before it learns of this, raft promises nothing any more. The run records
//! that by [`Event::Excused`]. The judge then looks only at what was before that instant, as if the run had ended there: an
//! operation that was open then is open for ever.

use super::{End, Event, Expectations, Meta, Outcome, RunHistory};

impl RunHistory {
    /// Since when the store is not judged; `None` if all of the run is judged.
    pub fn excused_from(&self) -> Option<u64> {
        let excused = self.events.iter().filter(|event| matches!(event, Event::Excused(_)));
        excused.map(Event::at).min()
    }

    /// The history up to an instant, without what the run had to show.
    #[must_use]
    pub fn until(&self, at: u64) -> RunHistory {
        let operations = self.operations.iter().filter(|operation| operation.call <= at).cloned();
        let operations = operations.map(|mut operation| {
            if operation.ret.is_none_or(|ret| ret > at) {
                operation.outcome = Outcome::Info;
                (operation.ret, operation.header, operation.result, operation.error) =
                    (None, None, None, None);
                operation.is_final = false;
            }
            operation
        });
        let events = self.events.iter().filter_map(|event| match event {
            Event::Meta(meta) => {
                let expect = Expectations {
                    min_operations_before_faults: 0,
                    min_operations_after_heal: 0,
                    min_answers_compared: 0,
                    min_writes_during_outage: 0,
                    max_leader_changes: None,
                    must_bite: Vec::new(),
                    alerts: None,
                };
                Some(Event::Meta(Meta { expect, ..meta.clone() }))
            }
            Event::End(end) => Some(Event::End(End { at: end.at.min(at) })),
            Event::Outage(outage) if outage.from < at => {
                let to = outage.to.min(at);
                Some(Event::Outage(super::Outage { to, ..*outage }))
            }
            event => (event.at() <= at).then(|| event.clone()),
        });
        RunHistory { operations: operations.collect(), events: events.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Client, Excused, Liveness, Op, OpId, Operation, Put, Range};

    #[test]
    fn what_comes_after_the_instant_is_not_judged() {
        let operation = |id, call, ret, outcome| Operation {
            id: OpId(id),
            client: Client(id),
            endpoint: "m1".into(),
            call,
            ret: Some(ret),
            op: if id == 2 { Op::Put(Put::default()) } else { Op::Range(Range::default()) },
            outcome,
            header: None,
            result: None,
            error: None,
            is_final: false,
            caller: None,
        };
        let history = RunHistory {
            operations: vec![
                operation(1, 10, 20, Outcome::Ok),
                operation(2, 15, 40, Outcome::Ok),
                operation(3, 31, 50, Outcome::Ok),
            ],
            events: vec![
                Event::Excused(Excused { at: 30, why: "m3 votes".into() }),
                Event::Liveness(Liveness { stuck: "all of it".into(), at: 60 }),
                Event::End(End { at: 70 }),
            ],
        };
        let judged = history.until(history.excused_from().expect("it is excused"));
        let left: Vec<_> = judged.operations.iter().map(|one| (one.id.0, one.ret, one.outcome)).collect();
        assert_eq!(left, [(1, Some(20), Outcome::Ok), (2, None, Outcome::Info)]);
        assert!(!judged.events.iter().any(|event| matches!(event, Event::Liveness(_))));
        assert_eq!(judged.events.last(), Some(&Event::End(End { at: 30 })), "nothing lives beyond it");
    }
}
