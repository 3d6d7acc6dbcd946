//! How long a disk's operations take.
//!
//! Syncs queue: the device writes them one after the other. Other operations use the page cache and run in parallel. A
//! fault that slows the disk adds to each operation's time. When it ends, the operations under way continue at the
//! disk's new pace. So a sync that began during many slow faults does not stay slow after they end.
//!
//! Each operation draws once, whether or not a fault slows it, so dropping a fault changes no later draw.

use std::{collections::VecDeque, task::Waker, time::Duration};

use super::state::Settings;
use crate::world::{
    chance::{Chance, Stream},
    modifiers::{Bites, Holding, Token},
    net::Latency,
    node::At,
};

/// The times of a disk's operations.
pub(super) struct Pace {
    settings: Settings,
    syncs: Stream,
    work: Stream,
    slow_syncs: Holding<Latency>,
    slow_work: Holding<Latency>,
    /// The syncs that the device has not finished, in the order in which they were queued.
    queue: VecDeque<Sync>,
    /// When the device will have written everything in its queue.
    busy: At,
    next_sync: u64,
    /// Counts the slow faults that have ended.
    reliefs: u64,
    /// Wakers of waiting operations: the end of a slow fault may shorten their wait.
    waiting: Vec<Waker>,
}

/// A sync under way.
struct Sync {
    number: u64,
    given: At,
    begins: At,
    due: At,
    draw: u32,
    /// The time to write its bytes.
    writing: Duration,
}

impl Pace {
    pub(super) fn new(settings: Settings, chance: &Chance) -> Self {
        Self {
            settings,
            syncs: chance.child("syncs").stream(),
            work: chance.child("work").stream(),
            slow_syncs: Holding::default(),
            slow_work: Holding::default(),
            queue: VecDeque::new(),
            busy: At::default(),
            next_sync: 0,
            reliefs: 0,
            waiting: Vec::new(),
        }
    }

    /// Makes each sync take longer.
    pub(super) fn slow_syncs(&mut self, token: Token, bites: Bites, more: Latency) {
        self.slow_syncs.add(token, bites, more);
    }

    /// Makes each other operation take longer.
    pub(super) fn slow_work(&mut self, token: Token, bites: Bites, more: Latency) {
        self.slow_work.add(token, bites, more);
    }

    /// Removes a slow fault. Answers the operations to wake, whose wait may be shorter now. `None` if it is not in
    /// force here.
    pub(super) fn lift(&mut self, now: At, token: Token) -> Option<Vec<Waker>> {
        if !self.slow_syncs.remove(token) && !self.slow_work.remove(token) {
            return None;
        }
        self.reliefs += 1;
        let mut free = At::default();
        for place in 0..self.queue.len() {
            let Sync { given, begins, due, draw, writing, .. } = self.queue[place];
            if due > now {
                let begins = if begins <= now { begins } else { given.max(free) };
                let takes = self.sync_takes(draw, writing);
                let sync = &mut self.queue[place];
                sync.begins = begins;
                sync.due = begins.after(takes).max(now);
            }
            free = self.queue[place].due;
        }
        self.busy = free;
        Some(std::mem::take(&mut self.waiting))
    }

    /// The device loses power: it finishes no sync that is under way.
    pub(super) fn power_lost(&mut self) {
        self.queue.clear();
        self.busy = At::default();
    }

    /// Gives the device a sync of so many bytes. Its number.
    pub(super) fn begin_sync(&mut self, now: At, bytes: usize) -> u64 {
        while self.queue.front().is_some_and(|sync| sync.due <= now) {
            self.queue.pop_front();
        }
        let nanos = self.settings.sync_per_mebibyte.as_nanos() as u64 * (bytes as u64) / (1 << 20);
        let (draw, writing) = (self.syncs.fraction(), Duration::from_nanos(nanos));
        self.slow_syncs.bite();
        let begins = now.max(self.busy);
        let due = begins.after(self.sync_takes(draw, writing));
        self.busy = due;
        let number = self.next_sync;
        self.next_sync += 1;
        self.queue.push_back(Sync { number, given: now, begins, due, draw, writing });
        number
    }

    /// When a sync will be done; `None` if it is done.
    pub(super) fn sync_due(&self, number: u64) -> Option<At> {
        self.queue.iter().find(|sync| sync.number == number).map(|sync| sync.due)
    }

    fn sync_takes(&self, draw: u32, writing: Duration) -> Duration {
        let own = Latency { base: self.settings.sync_base, jitter: self.settings.sync_jitter };
        takes(own, &self.slow_syncs, draw) + writing
    }

    /// Begins an operation that is no sync. Answers its draw.
    pub(super) fn begin_work(&mut self) -> u32 {
        self.slow_work.bite();
        self.work.fraction()
    }

    /// How long an operation with this draw takes at the disk's present pace.
    pub(super) fn work_takes(&self, draw: u32) -> Duration {
        let own = Latency { base: self.settings.work_base, jitter: self.settings.work_jitter };
        takes(own, &self.slow_work, draw)
    }

    /// Counts the slow faults that have ended.
    pub(super) fn reliefs(&self) -> u64 {
        self.reliefs
    }

    /// Wakes `waker` when the next slow fault ends.
    pub(super) fn wait(&mut self, waker: &Waker) {
        let slow = !self.slow_syncs.is_empty() || !self.slow_work.is_empty();
        if slow && !self.waiting.iter().any(|known| known.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }
}

/// How long an operation takes: its own time plus what slow faults add.
fn takes(own: Latency, slow: &Holding<Latency>, draw: u32) -> Duration {
    slow.iter().fold(own, |sum, more| sum.plus(*more)).drawn(draw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u64) -> Token {
        Token::new(number)
    }

    #[test]
    fn what_is_under_way_goes_on_at_the_present_pace_once_a_fault_has_ended() {
        let settings = Settings {
            sync_base: Duration::from_millis(1),
            sync_jitter: Duration::ZERO,
            sync_per_mebibyte: Duration::ZERO,
            work_base: Duration::from_millis(1),
            work_jitter: Duration::ZERO,
        };
        let ms = |count: u64| At(count * 1_000_000);
        let mut pace = Pace::new(settings, &Chance::root(1));
        let slow = Latency { base: Duration::from_secs(1), jitter: Duration::ZERO };
        pace.slow_syncs(token(1), Bites::default(), slow);
        pace.slow_syncs(token(2), Bites::default(), slow);
        let numbers: Vec<u64> = (0..3).map(|_| pace.begin_sync(ms(10), 0)).collect();
        let due = |pace: &Pace| numbers.iter().map(|number| pace.sync_due(*number)).collect::<Vec<_>>();
        assert_eq!(due(&pace), [Some(ms(2_011)), Some(ms(4_012)), Some(ms(6_013))]);
        // One fault ends while the first is written, at half of its time.
        assert!(pace.lift(ms(1_000), token(1)).is_some());
        assert_eq!(due(&pace), [Some(ms(1_011)), Some(ms(2_012)), Some(ms(3_013))]);
        // The other ends while the second is written: that one is done at once, and the third a moment later.
        assert!(pace.lift(ms(1_500), token(2)).is_some());
        assert_eq!(due(&pace), [Some(ms(1_011)), Some(ms(1_500)), Some(ms(1_501))]);
        assert!(pace.lift(ms(1_500), token(2)).is_none());
        let next = pace.begin_sync(ms(1_500), 0);
        assert_eq!((due(&pace), pace.sync_due(next)), (vec![None, None, Some(ms(1_501))], Some(ms(1_502))));
        // Other operations run in parallel.
        pace.slow_work(token(3), Bites::default(), slow);
        let draw = pace.begin_work();
        assert_eq!(pace.work_takes(draw), Duration::from_millis(1_001));
        pace.lift(ms(1_600), token(3));
        assert_eq!(pace.work_takes(draw), Duration::from_millis(1));
    }
}
