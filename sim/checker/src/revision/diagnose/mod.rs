//! From a contradiction to its name: which rule it breaks, and which operations to blame.
//!
//! The verdict does not depend on this: the history is invalid even if the name is wrong. If there were choices, the
//! contradiction is that of the deepest place that any of them led to.

mod answer;
mod conflict;
mod lookup;
mod words;

pub(super) use conflict::{layout, odd, pair, replay, shortage, time};
