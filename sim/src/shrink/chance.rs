//! How much a scenario's failure depends on chance: whether other seeds show it too.
//!
//! The search judges by one seed. If only that seed shows the failure, any other change of the draws (another version,
//! another draw) hides it, and the result is useless as a regression test. So afterwards the smallest scenario of the chain
//! is taken that shows the failure with enough other seeds, and the search continues from there with steps that keep this.
//! The faults are written out, so another seed changes only latencies, the order of requests, and elections.
//!
//! The chain is searched backwards in growing steps, and then by bisection. That assumes that a smaller scenario shows the
//! failure with fewer seeds. If that does not hold, the result is larger than necessary, but still shows the failure.

use super::search::{Chain, Judge, Stop, shrink};
use crate::scenario::Scenario;

/// How many other seeds are tried.
pub const OTHER_SEEDS: usize = 8;

/// How many of them must show the failure.
const ENOUGH: usize = 4;

/// The scenario with each of the other seeds.
pub(super) fn with_other_seeds(scenario: &Scenario) -> Vec<Scenario> {
    let own = scenario.spec.seeds[0];
    let seeds = (1..).filter(|seed| *seed != own).take(OTHER_SEEDS);
    let with = |seed| {
        let mut other = scenario.clone();
        other.spec.seeds = vec![seed];
        other
    };
    seeds.map(with).collect()
}

/// How many other seeds show the failure.
///
/// # Errors
/// If the judge stops.
pub fn showing(scenario: &Scenario, judge: &mut dyn Judge) -> Result<usize, Stop> {
    let others = with_other_seeds(scenario);
    let (mut from, mut count) = (0, 0);
    while let Some(next) = judge.first(&others[from..])? {
        from += next + 1;
        count += 1;
    }
    Ok(count)
}

/// The smallest scenario that enough other seeds show: from the chain, and shrunk further from there. `None` if no
/// scenario of the chain is shown by enough seeds. In case of a stop: the best so far. `is_finished`: whether the
/// search has tried every step from the chain's end.
pub fn sturdiest(
    chain: &Chain,
    is_finished: bool,
    judge: &mut dyn Judge,
) -> (Option<Scenario>, Result<(), Stop>) {
    let links = chain.links();
    let (best, stopped) = sturdy_link(links, judge);
    let Some(best) = best else { return (None, stopped) };
    let mut further = Chain::from(links[best].clone());
    if (is_finished && best + 1 == links.len()) || stopped.is_err() {
        return (Some(links[best].clone()), stopped);
    }
    let stopped = shrink(&mut further, &mut Sturdy { judge });
    (Some(further.last().clone()), stopped)
}

/// The index of the last sturdy link, as far as it was found.
fn sturdy_link(links: &[Scenario], judge: &mut dyn Judge) -> (Option<usize>, Result<(), Stop>) {
    let mut best = None;
    let mut look = || -> Result<(), Stop> {
        let (mut bad, mut stride) = (links.len(), 1);
        while bad > 0 {
            let index = bad.saturating_sub(stride);
            if is_sturdy(&links[index], judge)? {
                best = Some(index);
                break;
            }
            (bad, stride) = (index, stride * 2);
        }
        while let Some(good) = best
            && bad - good > 1
        {
            let middle = good + (bad - good) / 2;
            if is_sturdy(&links[middle], judge)? { best = Some(middle) } else { bad = middle }
        }
        Ok(())
    };
    let stopped = look();
    (best, stopped)
}

/// Whether enough other seeds show the failure. Asks no more than it needs.
fn is_sturdy(scenario: &Scenario, judge: &mut dyn Judge) -> Result<bool, Stop> {
    let others = with_other_seeds(scenario);
    let (mut from, mut missing) = (0, ENOUGH);
    while missing > 0 {
        let Some(spare) = (others.len() - from).checked_sub(missing) else { return Ok(false) };
        let Some(next) = judge.first(&others[from..=from + spare])? else { return Ok(false) };
        from += next + 1;
        missing -= 1;
    }
    Ok(true)
}

/// Demands of each scenario that enough other seeds show it too.
struct Sturdy<'a> {
    judge: &'a mut dyn Judge,
}

impl Judge for Sturdy<'_> {
    fn first(&mut self, candidates: &[Scenario]) -> Result<Option<usize>, Stop> {
        let mut from = 0;
        while let Some(next) = self.judge.first(&candidates[from..])? {
            if is_sturdy(&candidates[from + next], self.judge)? {
                return Ok(Some(from + next));
            }
            from += next + 1;
        }
        Ok(None)
    }
}
