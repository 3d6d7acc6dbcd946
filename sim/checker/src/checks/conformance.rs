//! Conformance: the store answers as a real etcd has answered the same.
//!
//! The client that asked has already compared the two answers, field by field. It knows what may differ: ids that a
//! server chooses, terms, sizes. The history holds the lines that differ, and this checker requires that there are
//! none. Only the first difference is reported, since later ones may be its consequences. Another checker requires
//! that enough was compared (`vacuous`).

use super::{Failure, seconds};
use crate::history::{Compared, Event, RunHistory};

const AS_ETCD: &str = "conformance: the store answers as etcd does";

pub(super) const GUARANTEES: [&str; 1] = [AS_ETCD];

/// All answers that were compared.
pub(super) fn compared(history: &RunHistory) -> impl Iterator<Item = &Compared> {
    history.events.iter().filter_map(|event| match event {
        Event::Compared(line) => Some(line),
        _ => None,
    })
}

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let first = compared(history).filter(|line| !line.agrees()).min_by_key(|line| line.number);
    let failure = |line: &Compared| {
        let nothing = "(nothing)";
        let message = format!(
            "operation {} of the recording was answered otherwise at {:.3}s: {}\netcd:\n{}\nthe store:\n{}",
            line.number,
            seconds(line.at),
            line.asked,
            line.expected.as_deref().unwrap_or(nothing),
            line.answered.as_deref().unwrap_or(nothing),
        );
        Failure::new("conformance", AS_ETCD, message)
    };
    first.map(failure).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, answers: Option<(&str, &str)>) -> Event {
        let (expected, answered) = answers.map(|(one, other)| (one.to_owned(), other.to_owned())).unzip();
        Event::Compared(Compared {
            at: 2_000_000_000,
            number,
            asked: "Nobody Status".into(),
            expected,
            answered,
        })
    }

    #[test]
    fn the_first_answer_that_differs_is_the_finding() {
        let events = vec![line(0, None), line(2, Some(("c", "d"))), line(1, Some(("ttl: 7", "ttl: 9")))];
        let found = check(&RunHistory { operations: Vec::new(), events });
        assert_eq!(found.len(), 1);
        let told = "operation 1 of the recording was answered otherwise at 2.000s: Nobody Status\n\
                    etcd:\nttl: 7\nthe store:\nttl: 9";
        assert_eq!(found[0].message, told);
    }

    #[test]
    fn answers_that_agree_are_no_finding() {
        let history = RunHistory { operations: Vec::new(), events: vec![line(0, None), line(1, None)] };
        assert_eq!(check(&history), []);
        assert_eq!(compared(&history).count(), 2);
    }
}
