//! A run as a planner sees it: the acknowledged writes, how long each took, and the leaders.

use squall::report::RunResult;
use squall_checker::history::{Event, Operation, RaftLine};

/// The measurements of a run. Times count from the start of the clients, as in a scenario.
#[derive(Debug)]
pub struct Measured {
    /// For each acknowledged write: the instant of its answer, and how long it took, in seconds of virtual time; sorted
    /// by instant.
    writes: Vec<(f64, f64)>,
    /// The instants at which a member became leader, in seconds.
    leaders: Vec<f64>,
    /// The instant of the first refusal of a write for lack of space, in seconds.
    pub full: Option<f64>,
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

impl Measured {
    pub fn of(result: &RunResult) -> Measured {
        let history = &result.history;
        // The first fault gives the start: its planned instant counts from there, and its recorded one from the run's
        // beginning.
        let meant = result.plan.faults.iter().map(|fault| fault.at).min().expect("a drill has faults");
        let struck = history.events.iter().filter_map(|event| match event {
            Event::Fault(fault) => Some(fault.at),
            _ => None,
        });
        let start = seconds(struck.min().expect("it struck")) - meant.as_secs_f64();
        let changes =
            || history.operations.iter().filter(|operation| operation.op.may_change() && !operation.is_final);
        let mut writes: Vec<(f64, f64)> = changes()
            .filter(|operation| operation.is_ok())
            .filter_map(|operation| {
                let at = operation.ret?;
                Some((seconds(at) - start, seconds(at.saturating_sub(operation.call))))
            })
            .collect();
        writes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let leaders = history.events.iter().filter_map(|event| match event {
            Event::Raft(RaftLine::Role(change)) if change.role == "leader" => {
                Some(seconds(change.at) - start)
            }
            _ => None,
        });
        let no_space = |operation: &&Operation| {
            operation.error.as_ref().is_some_and(|error| error.message.contains("database space exceeded"))
        };
        let full = changes()
            .filter(no_space)
            .filter_map(|operation| operation.ret)
            .min()
            .map(|at| seconds(at) - start);
        Measured { writes, leaders: leaders.collect(), full }
    }

    /// The writes acknowledged between two instants.
    fn between(&self, from: f64, to: f64) -> impl Iterator<Item = (f64, f64)> {
        self.writes.iter().copied().filter(move |(at, _)| (from..to).contains(at))
    }

    /// How many writes were acknowledged between two instants.
    pub fn count(&self, from: f64, to: f64) -> usize {
        self.between(from, to).count()
    }

    /// How many writes a second were acknowledged between two instants.
    pub fn rate(&self, from: f64, to: f64) -> f64 {
        self.count(from, to) as f64 / (to - from)
    }

    /// The percentile of the time, in seconds, of the writes acknowledged between two instants.
    pub fn percentile(&self, percent: usize, from: f64, to: f64) -> Option<f64> {
        let mut took: Vec<f64> = self.between(from, to).map(|(_, took)| took).collect();
        took.sort_by(f64::total_cmp);
        took.get((took.len() * percent / 100).min(took.len().saturating_sub(1))).copied()
    }

    /// How often a member became leader between two instants.
    pub fn leaders(&self, from: f64, to: f64) -> usize {
        self.leaders.iter().filter(|at| (from..to).contains(*at)).count()
    }

    /// The longest time without an acknowledged write between two instants, in seconds.
    pub fn gap(&self, from: f64, to: f64) -> f64 {
        let mut instants = vec![from];
        instants.extend(self.between(from, to).map(|(at, _)| at));
        instants.push(to);
        instants.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
    }
}
