//! Turns a file's faults and groups into strikes: when each begins, how long it lasts, what it waits for.
//!
//! One walk over the items has two uses. The drawing of a plan walks with random values ([`Values`]). The checks walk
//! with the earliest and with the latest value of every window, to determine what can happen at all.
//!
//! A known instant is a number. An instant is unknown after a fault that ends by itself (an operator's procedure), and
//! after one that waits for a state. A fault that begins at such an instant gets the relation "begins when that fault
//! is over" ([`After::over`]). So a plan stays a flat list that a person can edit.

use std::{collections::BTreeMap, time::Duration};

use super::{Action, After, Fault, Group, Lasts, Node, Settings, group::Item};
use crate::text::Window;

/// The most strikes of one item. No scenario of 30 seconds needs more, and `every: 1ms` must not fill the memory.
pub(crate) const MAX_STRIKES: usize = 1_000;

/// The most rounds of groups in one walk, including rounds without a strike.
const MAX_ROUNDS: u32 = 20_000;

/// The name of a fault's strike, counted from 1: `crash`, `crash.2`, `crash.3`, …
pub(super) fn strike_name(name: &str, strike: u32) -> String {
    match strike {
        1 => name.to_owned(),
        _ => format!("{name}.{strike}"),
    }
}

/// The fault's name and the number of its strike, from the name of a strike.
pub(crate) fn parse_strike(id: &str) -> (&str, u32) {
    let later = id.rsplit_once('.').and_then(|(name, strike)| Some((name, strike.parse().ok()?)));
    later.filter(|(_, strike)| *strike > 1).unwrap_or((id, 1))
}

/// Supplies a walk with values for windows and draws.
pub(crate) trait Values {
    /// A value in a window of the item with the name `of`.
    fn time(&mut self, of: &str, window: Window) -> Duration;
    /// The number that picks a target.
    fn draw(&mut self, of: &str) -> u64;
}

/// One strike.
pub(crate) struct Placed {
    /// The fault's index among the nodes.
    pub(crate) node: usize,
    /// The name of the fault; the second and later strikes are `name.2`, `name.3`, ….
    pub(crate) id: String,
    /// The fault, with what this strike waits for, and with its references resolved to strikes.
    pub(crate) fault: Fault,
    /// When it strikes: the time after the start of the clients, or after what it waits for.
    pub(crate) at: Duration,
    pub(crate) duration: Option<Duration>,
    pub(crate) draw: u64,
}

/// An item that cannot be placed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) node: usize,
    pub(crate) why: Why,
}

/// Why an item cannot be placed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its `after` waits for a state, and so does its group, and there is no fault between the two.
    WaitsTwice,
    /// It ends with the final heal, and the group of this name goes on after it.
    NeverEnds(String),
    /// When this fault begins is known only at run time, so the group cannot keep its deadline.
    DeadlineUnknown(String),
    /// Too many strikes.
    TooMany,
    /// It waits for the end of a group that ends with the final heal.
    WaitsForEver(String),
}

/// Every strike of the items, in the file's order. `limit` is the time limit: an item that repeats without a count
/// repeats as long as it ends before the limit.
pub(crate) fn place(
    nodes: &[Node<'_>],
    limit: Duration,
    values: &mut dyn Values,
) -> Result<Vec<Placed>, Misfit> {
    let mut walk = Walk {
        nodes,
        limit,
        values,
        placed: Vec::new(),
        strikes: vec![0; nodes.len()],
        latest: BTreeMap::new(),
        rounds: 0,
        ends: BTreeMap::new(),
    };
    let start = Moment { base: None, offset: Duration::ZERO, ended: Vec::new() };
    for (node, _) in nodes.iter().enumerate().filter(|(_, node)| node.parent.is_none()) {
        let before = walk.placed.len();
        let end = walk.item(node, &start, None)?;
        if nodes[node].item.group().is_some() {
            walk.bound(node, before)?;
            walk.ends.insert(nodes[node].name.clone(), end);
        }
    }
    walk.waits_for_groups()?;
    Ok(walk.placed)
}

/// An instant: a time after the start of the clients, or after what `base` waits for.
#[derive(Debug, Clone)]
struct Moment {
    base: Option<After>,
    offset: Duration,
    /// The strikes that end at this moment, if it is an end.
    ended: Vec<String>,
}

impl Moment {
    fn later(mut self, by: Duration) -> Moment {
        if !by.is_zero() {
            self.offset = self.offset.saturating_add(by);
            self.ended.clear();
        }
        self
    }

    /// The end of strikes, which is known only at run time.
    fn over(strikes: Vec<String>) -> Moment {
        Moment { base: Some(After::over(strikes.clone())), offset: Duration::ZERO, ended: strikes }
    }
}

/// The end of an item.
#[derive(Debug, Clone)]
enum End {
    At(Moment),
    /// This node lasts until the final heal.
    Never(usize),
}

/// The tightest deadline around an item: its group, and its moment.
#[derive(Clone, Copy)]
struct Deadline<'a> {
    group: usize,
    at: &'a Moment,
}

struct Walk<'a> {
    nodes: &'a [Node<'a>],
    limit: Duration,
    values: &'a mut dyn Values,
    placed: Vec<Placed>,
    /// How often each node has struck.
    strikes: Vec<u32>,
    /// The latest strike of each fault, by the fault's name.
    latest: BTreeMap<String, String>,
    rounds: u32,
    /// The ends of the outermost groups, by name.
    ends: BTreeMap<String, End>,
}

impl Walk<'_> {
    fn item(&mut self, node: usize, begin: &Moment, deadline: Option<Deadline>) -> Result<End, Misfit> {
        match self.nodes[node].item {
            Item::Fault(fault) => self.fault(node, fault, begin, deadline),
            Item::Group(group) => self.group(node, group, begin, deadline),
        }
    }

    /// Places a fault, with its repetitions if it is not in a group. In a group `every` is refused.
    fn fault(
        &mut self,
        node: usize,
        fault: &Fault,
        begin: &Moment,
        deadline: Option<Deadline>,
    ) -> Result<End, Misfit> {
        let name = self.nodes[node].name.clone();
        let begin = self.wait(node, begin, fault.after.as_ref())?;
        let mut at = begin.offset.saturating_add(self.values.time(&name, fault.at));
        let mut end = End::At(begin.clone());
        for _ in 0..MAX_STRIKES {
            let mut duration = fault.duration.map(|window| self.values.time(&name, window));
            let draw = self.values.draw(&name);
            if fault.every.is_some() && at.saturating_add(duration.unwrap_or_default()) > self.limit {
                break;
            }
            if let Some(deadline) = deadline {
                if deadline.at.base != begin.base {
                    return Err(Misfit { node: deadline.group, why: Why::DeadlineUnknown(name) });
                }
                let left = deadline.at.offset.saturating_sub(at);
                if left.is_zero() {
                    return Ok(End::At(Moment { ended: Vec::new(), ..deadline.at.clone() }));
                }
                if fault.action.lasts() != Lasts::Never {
                    duration = Some(duration.unwrap_or(left).min(left));
                }
            }
            let id = self.next_id(node, &name);
            // A fault that waits for a state begins at an instant that is known only at run time.
            end = match duration {
                Some(lasts) if fault.after.is_none() => {
                    let (base, offset) = (begin.base.clone(), at.saturating_add(lasts));
                    End::At(Moment { base, offset, ended: vec![id.clone()] })
                }
                None if fault.action.lasts() != Lasts::Never => End::Never(node),
                _ => End::At(Moment::over(vec![id.clone()])),
            };
            let fault = self.strike_of(fault, begin.base.clone());
            self.latest.insert(name.clone(), id.clone());
            self.placed.push(Placed { node, id, fault, at, duration, draw });
            match fault_every(self.nodes[node].item) {
                Some(every) => at = at.saturating_add(self.values.time(&name, every)),
                None => break,
            }
        }
        Ok(end)
    }

    fn next_id(&mut self, node: usize, name: &str) -> String {
        self.strikes[node] += 1;
        strike_name(name, self.strikes[node])
    }

    /// The fault, with what one strike waits for. A reference to a fault that strikes in each round means the strike
    /// of the same round.
    fn strike_of(&self, fault: &Fault, after: Option<After>) -> Fault {
        let mut fault = Fault { after, ..fault.clone() };
        let refer = |name: &mut String| {
            if let Some(id) = self.latest.get(name) {
                name.clone_from(id);
            }
        };
        if let Some(same_as) = fault.selector.as_mut().and_then(|selector| selector.same_as.as_mut()) {
            refer(same_as);
        }
        if let Some(Settings::RestoreSnapshot(restore)) = fault.blocks.get_mut(&Action::RestoreSnapshot) {
            refer(&mut restore.snapshot);
        }
        fault
    }

    fn group(
        &mut self,
        node: usize,
        group: &Group,
        begin: &Moment,
        deadline: Option<Deadline>,
    ) -> Result<End, Misfit> {
        let name = self.nodes[node].name.clone();
        let before = self.placed.len();
        let begin = self.wait(node, begin, group.after.as_ref())?;
        let mut begin = begin.later(self.values.time(&name, group.at));
        let first = begin.clone();
        let counted = group.repeat.or(group.every.is_none().then_some(1));
        let mut ends = Vec::new();
        for round in 1..=counted.unwrap_or(u32::MAX) {
            self.rounds += 1;
            if self.rounds > MAX_ROUNDS {
                return Err(Misfit { node, why: Why::TooMany });
            }
            let of_round = self.placed.len();
            let end = self.round(node, group, &begin, deadline)?;
            if counted.is_none() && round > 1 {
                let ends_in_time = |strike: &Placed| {
                    strike.at.saturating_add(strike.duration.unwrap_or_default()) <= self.limit
                };
                let fits = begin.offset <= self.limit && self.placed[of_round..].iter().all(ends_in_time);
                if !fits || self.placed.len() - before > MAX_STRIKES {
                    self.placed.truncate(of_round);
                    break;
                }
            }
            self.bound(node, before)?;
            ends.push(end.clone());
            if Some(round) == counted {
                break;
            }
            begin = match (group.every, end) {
                (Some(every), _) => begin.later(self.values.time(&name, every)),
                (None, End::At(end)) => end,
                (None, End::Never(node)) => return Err(Misfit { node, why: Why::NeverEnds(name) }),
            };
        }
        Ok(join(ends, &first))
    }

    /// Refuses more strikes of one item than any run needs.
    fn bound(&self, node: usize, before: usize) -> Result<(), Misfit> {
        match self.placed.len() - before > MAX_STRIKES {
            true => Err(Misfit { node, why: Why::TooMany }),
            false => Ok(()),
        }
    }

    fn round(
        &mut self,
        node: usize,
        group: &Group,
        begin: &Moment,
        outer: Option<Deadline>,
    ) -> Result<End, Misfit> {
        let name = self.nodes[node].name.clone();
        let own = group.deadline.map(|window| begin.clone().later(self.values.time(&name, window)));
        let own = own.as_ref().map(|at| Deadline { group: node, at });
        let deadline = match (own, outer) {
            (Some(own), Some(outer)) if outer.at.base != own.at.base => {
                return Err(Misfit { node: outer.group, why: Why::DeadlineUnknown(name) });
            }
            (Some(own), Some(outer)) if own.at.offset < outer.at.offset => Some(own),
            (own, outer) => outer.or(own),
        };
        let members = self.nodes[node].members.clone();
        if !group.is_serial() {
            let ends: Result<Vec<End>, Misfit> =
                members.into_iter().map(|member| self.item(member, begin, deadline)).collect();
            return Ok(join(ends?, begin));
        }
        let mut now = begin.clone();
        let last = members.last().copied();
        for member in members {
            match self.item(member, &now, deadline)? {
                End::At(end) => {
                    // A member that the deadline omits does not affect the end.
                    let ended = if end.ended.is_empty() { now.ended } else { end.ended };
                    now = Moment { ended, ..end };
                }
                end @ End::Never(_) if Some(member) == last => return Ok(end),
                End::Never(node) => return Err(Misfit { node, why: Why::NeverEnds(name) }),
            }
        }
        Ok(End::At(now))
    }

    /// The moment at which an item begins that has its own `after` in addition.
    fn wait(&self, node: usize, begin: &Moment, own: Option<&After>) -> Result<Moment, Misfit> {
        let Some(own) = own else { return Ok(begin.clone()) };
        let base = match &begin.base {
            None => After { since: begin.offset.max(own.since), ..own.clone() },
            Some(base) if begin.offset.is_zero() && base.event.is_none() => {
                After { event: own.event, count: own.count, ..base.clone() }
            }
            Some(_) if !begin.ended.is_empty() => {
                After { event: own.event, count: own.count, ..After::over(begin.ended.clone()) }
            }
            Some(_) => return Err(Misfit { node, why: Why::WaitsTwice }),
        };
        Ok(Moment { base: Some(base), offset: Duration::ZERO, ended: Vec::new() })
    }

    /// Replaces a group's name by its last strikes, wherever a fault waits for the group's end.
    fn waits_for_groups(&mut self) -> Result<(), Misfit> {
        for strike in &mut self.placed {
            let Some(after) = &mut strike.fault.after else { continue };
            if !after.names().any(|name| self.ends.contains_key(name)) {
                continue;
            }
            let mut strikes = Vec::new();
            for name in after.names() {
                match self.ends.get(name) {
                    None => strikes.push(name.clone()),
                    Some(End::At(end)) => strikes.extend(end.ended.iter().cloned()),
                    Some(End::Never(_)) => {
                        return Err(Misfit { node: strike.node, why: Why::WaitsForEver(name.clone()) });
                    }
                }
            }
            *after =
                After { since: after.since, event: after.event, count: after.count, ..After::over(strikes) };
        }
        Ok(())
    }
}

fn fault_every(item: &Item) -> Option<Window> {
    item.fault().and_then(|fault| fault.every)
}

/// The moment at which the last of several items has ended. If they count from different moments, it is known only at
/// run time.
fn join(ends: Vec<End>, begin: &Moment) -> End {
    let mut moments = Vec::new();
    for end in ends {
        match end {
            End::Never(_) => return end,
            End::At(moment) => moments.push(moment),
        }
    }
    let Some(latest) = moments.iter().map(|moment| moment.offset).max() else {
        return End::At(begin.clone());
    };
    if moments.windows(2).all(|pair| pair[0].base == pair[1].base) {
        let base = moments[0].base.clone();
        let at_last = moments.into_iter().filter(|moment| moment.offset == latest);
        let ended = at_last.flat_map(|moment| moment.ended).collect();
        return End::At(Moment { base, offset: latest, ended });
    }
    let ended: Vec<String> = moments.into_iter().flat_map(|moment| moment.ended).collect();
    End::At(if ended.is_empty() { begin.clone() } else { Moment::over(ended) })
}
