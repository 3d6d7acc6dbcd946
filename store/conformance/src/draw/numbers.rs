//! Draws keys, revisions and other numbers. Most of them make sense and some do not.

use rand::{Rng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::world::World;

/// Keys that are neighbours or prefixes of one another, and the first and last possible ones.
const KEYS: [&[u8]; 25] = [
    b"a",
    b"aa",
    b"ab",
    b"a\0",
    b"b",
    b"c",
    b"d",
    b"d/",
    b"d/1",
    b"d/2",
    b"d/3",
    b"d0",
    b"e",
    b"f",
    b"g",
    b"h",
    b"k",
    b"\0",
    b"\0\0",
    b"\xff",
    b"\xff\xff",
    b"z",
    "\u{43a}\u{43b}\u{44e}\u{447}".as_bytes(),
    "\u{1f511}".as_bytes(),
    // Not UTF-8: a part of a character.
    b"\xf0\x9f",
];

pub fn key(rng: &mut ChaCha8Rng) -> Vec<u8> {
    match rng.gen_range(0..60) {
        0 => Vec::new(),
        1 if percent(rng, 3) => vec![b'k'; 70_000],
        1 => vec![b'k'; rng.gen_range(1..600)],
        2..30 => KEYS[rng.gen_range(0..8)].to_vec(),
        _ => KEYS.choose(rng).expect("keys").to_vec(),
    }
}

/// The end of a range: of one key, of all keys from this one on, of the keys with this prefix, or any key, also one
/// before it.
pub fn range_end(rng: &mut ChaCha8Rng, key: &[u8]) -> Vec<u8> {
    match rng.gen_range(0..10) {
        0..3 => Vec::new(),
        3 => vec![0],
        4 | 5 => {
            let mut end = key.to_vec();
            while let Some(last) = end.pop() {
                if last < 0xff {
                    end.push(last + 1);
                    return end;
                }
            }
            vec![0]
        }
        6 => [key, &[0]].concat(),
        _ => self::key(rng),
    }
}

pub fn value(rng: &mut ChaCha8Rng) -> Vec<u8> {
    match rng.gen_range(0..12) {
        0 => Vec::new(),
        1 => vec![b'v'; rng.gen_range(0..5_000)],
        2 => vec![0xff, 0, rng.r#gen()],
        _ => rng.gen_range(0..8).to_string().into_bytes(),
    }
}

/// A number of any kind.
pub fn odd(rng: &mut ChaCha8Rng) -> i64 {
    *[0, -1, 1, 2, 3, 100, i64::MAX, i64::MIN, -100].choose(rng).expect("numbers")
}

/// A revision: mostly one that exists, near the newest.
pub fn revision(rng: &mut ChaCha8Rng, world: &World) -> i64 {
    match rng.gen_range(0..20) {
        0 => world.revision + rng.gen_range(1..4),
        1 => odd(rng),
        2 => world.compacted + rng.gen_range(-1..2),
        3 => world.revision,
        4 => rng.gen_range(0..=world.revision),
        _ => (world.revision - rng.gen_range(0..30)).max(world.compacted),
    }
}

/// True with this probability, in per cent.
pub fn percent(rng: &mut ChaCha8Rng, times: u32) -> bool {
    rng.gen_range(0..100) < times
}
