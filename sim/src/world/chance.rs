//! Randomness: one root seed, and a named child stream for each subsystem.
//!
//! A child's key is blake3's key derivation over the root's key with the child's name as context. So a stream depends
//! on the seed and on its name alone: drawing more from one stream does not change another, and adding a subsystem
//! does not change the existing ones. That is why a shrinker can drop a fault without changing the network. The world
//! has no other source of randomness (determinism-traps; TigerBeetle and FoundationDB do likewise).

use std::{ops::Range, time::Duration};

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A point in the tree of random streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chance {
    key: [u8; 32],
}

impl Chance {
    /// The root of a run's streams.
    pub fn root(seed: u64) -> Self {
        Self { key: blake3::derive_key("squall 2026 root", &seed.to_le_bytes()) }
    }

    /// The child with this name.
    pub fn child(&self, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(name.as_bytes());
        Self { key: *hasher.finalize().as_bytes() }
    }

    /// This point's stream.
    pub fn stream(&self) -> Stream {
        Stream(ChaCha8Rng::from_seed(self.key))
    }

    /// A seed derived from this point, for a generator that needs a number (madsim's scheduler).
    pub fn seed(&self) -> u64 {
        u64::from_le_bytes([
            self.key[0],
            self.key[1],
            self.key[2],
            self.key[3],
            self.key[4],
            self.key[5],
            self.key[6],
            self.key[7],
        ])
    }
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

/// For models that draw from any generator (`squall_disk`).
impl RngCore for Stream {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, buffer: &mut [u8]) {
        self.0.fill_bytes(buffer);
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), rand::Error> {
        self.0.try_fill_bytes(buffer)
    }
}

impl Stream {
    /// A number in `range`, which must not be empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        self.0.gen_range(range)
    }

    /// A uniform `u32`: divided by 2^32 it is a fraction of 1.
    pub fn fraction(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Fills a buffer with random bytes.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill_bytes(buffer);
    }

    /// True once in `1 / probability` draws.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.0.gen_bool(probability)
    }

    /// A duration from zero to `most`, both included.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_nanos()).expect("a duration of less than 584 years");
        Duration::from_nanos(self.0.gen_range(0..=most))
    }

    /// One of the items; `None` if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { Some(&items[self.0.gen_range(0..items.len())]) }
    }

    /// One of the items.
    ///
    /// # Panics
    /// If there are none.
    pub fn choose<T: Copy>(&mut self, items: &[T]) -> T {
        *self.pick(items).expect("there is something to choose from")
    }

    /// Puts the items in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.0.gen_range(0..=at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_depends_on_the_seed_and_its_name_only() {
        let draw = |chance: &Chance| chance.stream().within(0..u64::MAX);
        let root = Chance::root(7);
        let network = root.child("network");
        let before = draw(&network);
        draw(&root.child("disk"));
        assert_eq!(before, draw(&Chance::root(7).child("network")));
        assert_ne!(before, draw(&root.child("disk")));
        assert_ne!(before, draw(&Chance::root(8).child("network")));
        assert_ne!(draw(&network.child("m1")), draw(&root.child("m1")));
    }

    #[test]
    fn draws_stay_within_their_bounds() {
        let mut stream = Chance::root(1).stream();
        let mut seen = [false; 4];
        for _ in 0..200 {
            seen[usize::try_from(stream.within(0..4)).unwrap()] = true;
            assert!(stream.up_to(Duration::from_micros(5)) <= Duration::from_micros(5));
        }
        assert_eq!(seen, [true; 4]);
        let mut items = [1, 2, 3, 4, 5, 6];
        stream.shuffle(&mut items);
        assert_ne!(items, [1, 2, 3, 4, 5, 6]);
        items.sort_unstable();
        assert_eq!(items, [1, 2, 3, 4, 5, 6]);
        assert_eq!(stream.pick::<u8>(&[]), None);
    }
}
