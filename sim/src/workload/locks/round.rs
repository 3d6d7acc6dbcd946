//! The plan of a locks-and-elections client for its next round. All of it is drawn in advance, so that other clients'
//! actions do not change any draw.

use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;

use crate::{scenario::Mix, workload::weights};

/// The range of a session's lease TTL, in seconds.
const TTL_SECS: std::ops::RangeInclusive<i64> = 2..=4;
/// The most steps of a holder before it releases its hold.
const STEPS: usize = 8;

/// One round.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) what: What,
    /// Which lock or election, by number.
    pub(super) number: u32,
    /// Whether it begins with a new session.
    pub(super) anew: bool,
    /// Whether a session that has asked for this place before asks again. Otherwise a new session asks.
    pub(super) again: bool,
    /// Whether a session that has a place in another queue asks for one in this queue. Otherwise a new session asks.
    pub(super) shares: bool,
    /// The TTL of a new session's lease, in seconds.
    pub(super) ttl: i64,
    /// The factor by which the time that it waits for its turn is multiplied.
    pub(super) patience: f64,
    /// What it does as the holder.
    pub(super) steps: Vec<Step>,
    /// How it ends.
    pub(super) ending: Ending,
    /// Whether it then tries a write behind a fence that it no longer holds.
    pub(super) late: bool,
    /// Whether another process of the same session asks for the same place meanwhile.
    pub(super) twice: bool,
    /// Whether it resigns again from an election that it led before with the same session.
    pub(super) resigns_late: bool,
    /// How long it keeps its session alive without an answer, so that others can see whether its place still exists.
    pub(super) lingers: Option<Duration>,
}

/// What a round is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Lock,
    Campaign,
    Leader,
    Observe,
    Get,
}

/// What a holder does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// It writes behind the fence.
    Write,
    /// It renews its lease.
    KeepAlive,
    /// As a leader, it proclaims a value. As the holder of a lock, it writes.
    Say,
    /// It sleeps for its lease's TTL and this time more, and then writes as if it still were the holder.
    Sleep(Duration),
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It releases its hold.
    LetGo,
    /// It ends its lease.
    Revoke,
    /// It stops without any request. Its lease expires later.
    Forget,
    /// It keeps what it has.
    Keep,
}

impl Round {
    pub(super) fn draw(mix: &Mix, keys: u32, chance: &mut ChaCha8Rng) -> Round {
        let what = match weights::choose(mix, chance) {
            "lock" => What::Lock,
            "campaign" => What::Campaign,
            "leader" => What::Leader,
            "observe" => What::Observe,
            _ => What::Get,
        };
        let steps: [Step; STEPS] = std::array::from_fn(|_| {
            let beyond = Duration::from_millis(chance.gen_range(100..1_500));
            match chance.gen_range(0..32) {
                0..=11 => Step::Write,
                12..=24 => Step::KeepAlive,
                25..=30 => Step::Say,
                _ => Step::Sleep(beyond),
            }
        });
        let count = chance.gen_range(0..=STEPS);
        Round {
            what,
            number: chance.gen_range(0..keys),
            anew: chance.gen_ratio(1, 6),
            again: chance.gen_ratio(1, 5),
            shares: chance.gen_ratio(1, 2),
            ttl: chance.gen_range(TTL_SECS),
            patience: [0.1, 1.0, 1.0, 4.0][chance.gen_range(0..4)],
            steps: steps[..count].to_vec(),
            ending: match chance.gen_range(0..16) {
                0..=10 => Ending::LetGo,
                11 | 12 => Ending::Revoke,
                13 | 14 => Ending::Forget,
                _ => Ending::Keep,
            },
            late: chance.gen_ratio(1, 4),
            twice: chance.gen_ratio(1, 8),
            resigns_late: chance.gen_ratio(1, 2),
            lingers: chance.gen_ratio(1, 3).then(|| Duration::from_millis(chance.gen_range(1_000..2_500))),
        }
    }

    /// The name of the lock or the election.
    pub(super) fn name(&self) -> h::Bytes {
        let kind = if self.what == What::Lock || self.what == What::Get { "lock" } else { "election" };
        h::Bytes::from(format!("{kind}{}", self.number))
    }

    /// The key that its holders write.
    pub(super) fn guarded(&self) -> h::Bytes {
        let name = self.name();
        h::Bytes::from([b"guarded-", name.as_slice()].concat())
    }
}
