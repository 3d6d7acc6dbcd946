//! Shrinking: from a failing run to the smallest scenario that shows the same failure.
//!
//! It shrinks the plan, not the seed. The plan's faults are explicit events, so one can be dropped and everything else
//! stays as it was (named random streams ensure that). A step is kept only if the run still has the failure's
//! signature: checker, rule and shape. The method is DEMi's (Scott and others, NSDI 2016): explicit events, delta
//! debugging over them, then each parameter by itself.
//!
//! - **Deterministic.** The steps are a pure function of the plan and of the runs' answers, in a fixed order.
//!   Candidates run in parallel, but the first in that order that shows the failure is taken, whichever ended first.
//! - **Resumable.** Every answer is stored. A second start reads the stored answers and continues where the first one
//!   stopped. The result is the same as without the interruption.
//! - **Not of one seed alone.** Of the scenarios that the search kept, the smallest is taken that enough other seeds
//!   show too, if there is one.
//! - **Bounded.** There is a budget of runs. When it is used up, the smallest scenario so far is the result.
//!
//! | File | What it holds |
//! |---|---|
//! | `search` | the order of the steps, and when a step is kept |
//! | `steps` | the steps: what can be taken away, narrowed or rounded |
//! | `chance` | whether other seeds show the failure too |
//! | `relations` | "begins when that fault is over", after that fault was dropped |
//! | `write` | the result as a person would write it |

mod chance;
mod relations;
mod search;
mod steps;
mod write;

pub use chance::{OTHER_SEEDS, showing, sturdiest};
pub use search::{Chain, Judge, Stop, shrink, start};
pub use write::{Heading, named_scenario, scenario_text};

#[cfg(test)]
mod tests;
