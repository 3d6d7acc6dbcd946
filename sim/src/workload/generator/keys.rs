//! Keys and ranges of keys, as etcd's pairs of key and `range_end` name them.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use squall_checker::history::Bytes;

/// The keys of a workload: its prefix and a number of at least three digits.
pub(super) struct Keys {
    pub prefix: &'static str,
    /// How many; at least one.
    pub count: u32,
    /// How many of the first keys get four of five requests; 0 if all keys are equally likely.
    pub hot: u32,
}

impl Keys {
    /// The key of this number.
    pub(super) fn name(&self, number: u32) -> Bytes {
        Bytes::from(format!("{}{number:03}", self.prefix))
    }

    /// One key.
    pub(super) fn one(&self, chance: &mut ChaCha8Rng) -> Bytes {
        let hot = self.hot > 0 && chance.gen_ratio(4, 5);
        let number = chance.gen_range(0..if hot { self.hot } else { self.count });
        self.name(number)
    }

    /// From one key up to another one, or past the last.
    pub(super) fn between(&self, chance: &mut ChaCha8Rng) -> (Bytes, Bytes) {
        let from = chance.gen_range(0..self.count);
        let to = chance.gen_range(from + 1..=self.count);
        (self.name(from), self.name(to))
    }

    /// Any form of range that etcd knows.
    pub(super) fn span(&self, chance: &mut ChaCha8Rng) -> (Bytes, Bytes) {
        match chance.gen_range(0..10) {
            0..=4 => self.between(chance),
            // All that begin with a prefix: with a key but for its last digit, or with the workload's own prefix.
            5 => {
                let number = chance.gen_range(0..self.count);
                let prefix = format!("{}{:02}", self.prefix, number / 10);
                (Bytes::from(prefix.clone()), after_prefix(&prefix))
            }
            6 => (Bytes::from(self.prefix), after_prefix(self.prefix)),
            // From a key on, other workloads' keys included.
            7 => (self.name(chance.gen_range(0..self.count)), Bytes::from("\0")),
            // Everything.
            8 => (Bytes::from("\0"), Bytes::from("\0")),
            // Nothing: the end lies before the beginning.
            _ => {
                let (from, to) = self.between(chance);
                (to, from)
            }
        }
    }
}

/// The first name behind all that begin with `prefix`.
fn after_prefix(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().expect("a prefix is not empty") += 1;
    Bytes::from(end.as_slice())
}

/// The first name behind this one.
pub(super) fn after(key: &Bytes) -> Bytes {
    Bytes::from([key.as_slice(), &[0]].concat().as_slice())
}

/// Whether a range holds a key.
pub(super) fn holds(key: &Bytes, range_end: &Bytes, name: &Bytes) -> bool {
    match range_end.as_slice() {
        [] => name == key,
        [0] => name >= key || key.as_slice() == [0],
        end => name >= key && name.as_slice() < end,
    }
}
