//! Shrinking: from a failing run to the smallest scenario that shows the same failure.
//!
//! What is shrunk is the plan, not the seed: its faults are explicit events, so one can be dropped and everything else
//! stays as it was (chance by place sees to that). A step is kept only where the run still has the failure's signature:
//! checker, rule and shape. The method is DEMi's (Scott and others, NSDI 2016): explicit events, delta debugging over them,
//! then each parameter by itself.
//!
//! - **Deterministic.** The steps are a pure function of the plan and of the answers, in a fixed order. Candidates are run
//!   side by side, but the first in the order that shows the failure is taken, whichever ended first.
//! - **Resumable.** Every answer is written down. A second start asks the same questions and reads the answers, so it comes
//!   to where the first one stopped; interrupted or not, the result is the same.
//! - **Bounded.** A budget of runs. What is in hand when it is used up is the result.
//!
//! | File | What it holds |
//! |---|---|
//! | `search` | the order of the steps, and when one is kept |
//! | `steps` | the steps: what can be taken away, narrowed or rounded |
//! | `relations` | what becomes of "begins when that fault is over" once that fault is dropped |
//! | `write` | the result as a person would write it |

mod relations;
mod search;
mod steps;
mod write;

pub use search::{Judge, Stop, shrink, start};
pub use write::{Told, named_scenario, scenario_text};

#[cfg(test)]
mod tests;
