//! What the general check is given, and what it answers.

/// Limits on one check, in units that do not depend on the machine, so that a verdict is reproducible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Operations tried, for each part.
    pub steps: u64,
    /// Different states, for each part.
    pub states: usize,
    /// Bytes for the memory of configurations, for all parts together. Past it the search goes on without
    /// remembering more. Half as many may be taken by the states; past that the search ends.
    pub memo_bytes: usize,
}

impl Default for Budget {
    /// A hundred million steps, four million states, 1 GiB: some tens of seconds.
    fn default() -> Self {
        Budget { steps: 100_000_000, states: 4_000_000, memo_bytes: 1 << 30 }
    }
}

/// How to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The limits.
    pub budget: Budget,
    /// How many parts are searched at once, at most. It has no influence on the answer.
    pub threads: usize,
}

impl Default for Options {
    /// The default budget, and as many threads as the machine runs at once.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Options { budget: Budget::default(), threads }
    }
}

/// How much work a check was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effort {
    /// Operations tried.
    pub steps: u64,
    /// Different states met.
    pub states: usize,
    /// Configurations remembered.
    pub configurations: usize,
    /// Bytes of memory for both.
    pub bytes: usize,
}

/// The general check's answer. Operations are named by their place in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<S> {
    /// The history is linearizable.
    Valid(Linearization),
    /// It is not.
    Illegal(Violation<S>),
    /// The budget ran out.
    Unknown(Exhausted<S>),
}

/// An order that shows that a history is linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linearization {
    /// The operations in an order that respects real time and that the model accepts: every completed operation, and
    /// those of the ambiguous ones that had to take effect. It was replayed from the start by
    /// [`replay`](super::replay), on its own, before it was returned.
    pub order: Vec<usize>,
    /// The instant at which each operation of `order` may have taken effect.
    pub points: Vec<crate::model::Instant>,
    /// How much work it was.
    pub effort: Effort,
}

/// Why a history is not linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation<S> {
    /// The operations of the part that cannot be linearized, in order of call.
    pub part: Vec<usize>,
    /// The completed operation that no order gets past: those that returned before it can be linearized,
    /// together with it they cannot. It does not depend on the order of the search.
    pub blamed: usize,
    /// Whether `blamed` is certain. Where the budget ran out on the way to it, it is the furthest that was found, and
    /// a later operation may be the one.
    pub exact: bool,
    /// A longest linearizable prefix: an order of operations of the part with all that returned before the blamed
    /// one did.
    pub prefix: Vec<usize>,
    /// States of the part in which such prefixes end, the first being that of `prefix`; at most eight.
    pub states: Vec<S>,
    /// How much work it was.
    pub effort: Effort,
}

/// How far the search came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhausted<S> {
    /// What ran out.
    pub resource: Resource,
    /// The operations of the first part that is undecided, in order of call.
    pub part: Vec<usize>,
    /// The longest prefix that was found.
    pub prefix: Vec<usize>,
    /// States in which such prefixes end; at most eight.
    pub states: Vec<S>,
    /// The operation that the search did not get past, if it met one.
    pub waiting_for: Option<usize>,
    /// How much work it was.
    pub effort: Effort,
}

/// What a search can run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Steps.
    Steps,
    /// Steps, after there was no memory to remember more configurations.
    Memory,
    /// States.
    States,
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Resource::Steps => "steps",
            Resource::Memory => "memory, and then steps",
            Resource::States => "states",
        })
    }
}
