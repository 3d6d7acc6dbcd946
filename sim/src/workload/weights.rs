//! Chooses a kind of operation by the weights in a scenario.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::scenario::Mix;

/// The name of the next operation's kind. It takes one draw.
pub(super) fn choose(mix: &Mix, chance: &mut ChaCha8Rng) -> &'static str {
    let weights = mix.weights();
    let total: u32 = weights.iter().map(|(_, weight)| weight).sum();
    let mut draw = chance.gen_range(0..total);
    for (name, weight) in weights {
        if draw < weight {
            return name;
        }
        draw -= weight;
    }
    unreachable!("the draw lies below the sum of the weights")
}
