//! Runs a script's members: polls them until nothing moves, prints their clients' answers, and checks the
//! invariants.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tokio::sync::oneshot;

use super::{
    Runner,
    members::{Life, Waiting},
    narrate::{Lines, answer_text},
};
use crate::node::Halt;

/// Set when a task has something to do.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Runner {
    /// Polls everything until nothing moves.
    pub(super) fn settle(&mut self) {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        for round in 0.. {
            assert!(round < 10_000, "the members never come to rest");
            woken.0.store(false, Ordering::Relaxed);
            for (name, member) in &mut self.members {
                let Some(life) = &mut member.life else { continue };
                let halt = life.node.as_mut().poll(&mut cx);
                life.tasks.poll(&mut cx);
                life.hear(name, &self.lines);
                if let Poll::Ready(halt) = halt {
                    let why = match halt {
                        Halt::Requested => "as asked".to_owned(),
                        Halt::Removed => "it was removed".to_owned(),
                        Halt::Refused(why) => why,
                        Halt::Failed(reason) => reason,
                    };
                    self.lines.push(format!("{name} stops: {why}"));
                    member.life = None;
                }
            }
            if !woken.0.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Checks the invariants: one entry and one state at each index, one leader in each term.
    pub(super) fn check(&mut self) {
        for fact in std::mem::take(&mut *self.applied.lock().unwrap()) {
            let agreed = self.agreed.entry(fact.1).or_insert_with(|| fact.clone());
            assert_eq!(
                (agreed.2, agreed.3, agreed.4),
                (fact.2, fact.3, fact.4),
                "{} and {} differ at index {}: term, entry, state",
                agreed.0,
                fact.0,
                fact.1
            );
        }
        for (name, member) in &self.members {
            let Some(life) = &member.life else { continue };
            let status = life.shared.status();
            if status.role == crate::seam::Role::Leader {
                let leader = self.leaders.entry(status.term.0).or_insert_with(|| name.clone());
                assert_eq!(leader, name, "two leaders in term {}", status.term);
            }
        }
    }
}

impl Life {
    /// Prints the answers that clients have got.
    fn hear(&mut self, name: &str, lines: &Lines) {
        self.waiting.retain_mut(|waiting| {
            let gone = |label: &dyn std::fmt::Display| format!("{name} leaves {label} without an answer");
            let text = match waiting {
                Waiting::Proposal(id, answer) => match answer.try_recv() {
                    Ok(answer) => format!("{name} answers #{id}: {}", answer_text(&answer)),
                    Err(oneshot::error::TryRecvError::Empty) => return true,
                    Err(_) => gone(&format_args!("#{id}")),
                },
                Waiting::Read(label, answer) => match answer.try_recv() {
                    Ok(Ok(())) => {
                        let state = self.shared.state();
                        format!("{name} serves read {label} at revision {}", state.revision())
                    }
                    Ok(Err(refusal)) => format!("{name} refuses read {label}: {refusal}"),
                    Err(oneshot::error::TryRecvError::Empty) => return true,
                    Err(_) => gone(&format_args!("read {label}")),
                },
                Waiting::Transfer(done) => match done.try_recv() {
                    Ok(()) => format!("{name} has handed over"),
                    Err(oneshot::error::TryRecvError::Empty) => return true,
                    Err(_) => gone(&"the transfer"),
                },
                Waiting::Ready(whom, answer) => match answer.try_recv() {
                    Ok(Ok(())) => format!("{name} says that {whom} may vote"),
                    Ok(Err(refusal)) => format!("{name} says of {whom}: {refusal}"),
                    Err(oneshot::error::TryRecvError::Empty) => return true,
                    Err(_) => gone(&"the question"),
                },
                Waiting::Defragment(done) => match done.try_recv() {
                    Ok(()) => format!("{name} is defragmented"),
                    Err(oneshot::error::TryRecvError::Empty) => return true,
                    Err(_) => gone(&"the defragmentation"),
                },
                Waiting::Move(begun) => match begun.try_recv() {
                    Ok(Ok(())) => format!("{name} hands over"),
                    Ok(Err(refusal)) => format!("{name} does not hand over: {refusal}"),
                    Err(oneshot::error::TryRecvError::Empty) => return true,
                    Err(_) => gone(&"the move"),
                },
            };
            lines.push(text);
            false
        });
    }
}
