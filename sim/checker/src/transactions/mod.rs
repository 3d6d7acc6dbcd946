//! Transactions whose writes are distinct: the order is inferred and not searched for.
//!
//! # What is inferred
//! If a value is written to a key once, a read of the value saw that write. From this it follows which transaction must come
//! before which in every order that is strictly serializable, as in Elle (Kingsbury and Alvaro 2020):
//! - *wr*: the writer of a value comes before its readers;
//! - *ww*: of two appends to a list, the one that stands first in it comes first;
//! - *rw*: a reader of a list or a register before a write comes before that write;
//! - *rt*: a transaction that returned before another was called comes before it.
//!
//! Lists show the order of all appends that any read saw ([`lists`]). Registers do not. There, a write that must come after
//! the write that was read must also come after its readers; this rule is applied until nothing new follows
//! ([`registers`]). The rest of the order is then searched for (`schedule`).
//!
//! # What comes of it
//! - A cycle, or a read of a value that no transaction can have left there, proves that there is no order ([`Contradiction`]).
//! - Otherwise an order that keeps to all of it is a candidate. It need not be trusted: the caller replays it through the
//!   model ([`crate::search::replay`]).
//! - If no candidate is found, nothing is said ([`Inferred::Nothing`]), and the general search decides. The same holds for lists
//!   that get a value twice. A register's value that is written twice tells nothing by itself, and the rest tells as before.
//!
//! The work is near-linear for lists, and quadratic within bounds for registers, where the general search may take
//! exponential time.

mod graph;
mod lists;
mod registers;
mod schedule;

#[cfg(test)]
mod tests;

pub use lists::lists;
pub use registers::registers;

/// What was inferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inferred {
    /// A candidate: operations by their place in the history, all completed ones, and of the ambiguous ones those that
    /// a read saw.
    Order(Vec<usize>),
    /// There is no order.
    Contradiction(Contradiction),
    /// Nothing.
    Nothing,
}

/// Why there is no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// Each must come before the next, and the last before the first.
    Cycle(Vec<Step>),
    /// A transaction read from a key what no order can have left there.
    Read {
        /// The transaction.
        operation: usize,
        /// The key.
        key: String,
        /// Why not.
        why: &'static str,
        /// Others that show it.
        others: Vec<usize>,
    },
}

/// One step of a cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// A transaction.
    pub operation: usize,
    /// Why it comes before the next one.
    pub why: Why,
}

/// Why a transaction comes before another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The other read what it wrote to this key.
    Read(String),
    /// The other's write to this key comes after its own.
    Wrote(String),
    /// It read this key as it was before the other's write.
    ReadBefore(String),
    /// It returned before the other was called.
    RealTime,
}

impl Contradiction {
    /// The operations that it is about, each once.
    pub fn operations(&self) -> Vec<usize> {
        let mut operations: Vec<usize> = match self {
            Contradiction::Cycle(steps) => steps.iter().map(|step| step.operation).collect(),
            Contradiction::Read { operation, others, .. } => {
                std::iter::once(*operation).chain(others.iter().copied()).collect()
            }
        };
        let mut seen = std::collections::BTreeSet::new();
        operations.retain(|operation| seen.insert(*operation));
        operations
    }
}
