//! Operations of any model, and the concurrent history that they make up.
//!
//! An operation is what one client did: it called, and it may have returned. Its [`Outcome`] says what is known of
//! its effect. Instants are of any unit, as long as one clock gave them; only their order counts. An operation that
//! returns at the very instant at which another is called is concurrent with it, since a clock cannot tell which was
//! first.

use std::fmt;

/// An instant on the history's one clock. Nanoseconds in our own histories; the place in the log where a log has no
/// times.
pub type Instant = u64;

/// A client (Jepsen: process). One client has one operation open at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What is known of an operation's effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome<O> {
    /// It took effect between call and return, and this was the answer.
    Ok(O),
    /// It certainly did not happen, and constrains nothing.
    Fail,
    /// It may have happened, at any time from its call on, or not at all.
    Info,
}

/// One operation of a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation<I, O> {
    /// Who called.
    pub client: ClientId,
    /// When it was called.
    pub call: Instant,
    /// When the client stopped waiting. Always there for [`Outcome::Ok`]; ignored for any other outcome.
    pub ret: Option<Instant>,
    /// What was asked.
    pub input: I,
    /// What became of it.
    pub outcome: Outcome<O>,
}

impl<I, O> Operation<I, O> {
    /// An operation that returned `output`.
    pub fn ok(client: u64, call: Instant, ret: Instant, input: I, output: O) -> Self {
        Operation { client: ClientId(client), call, ret: Some(ret), input, outcome: Outcome::Ok(output) }
    }

    /// An operation that may have happened.
    pub fn info(client: u64, call: Instant, input: I) -> Self {
        Operation { client: ClientId(client), call, ret: None, input, outcome: Outcome::Info }
    }

    /// The answer, if there was one.
    pub fn output(&self) -> Option<&O> {
        match &self.outcome {
            Outcome::Ok(output) => Some(output),
            Outcome::Fail | Outcome::Info => None,
        }
    }
}

/// Why a list of operations is no history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// It returned before it was called.
    #[error("operation {index} (client {client}) returned at {ret}, before its call at {call}")]
    ReturnBeforeCall {
        /// Its place in the list.
        index: usize,
        /// Its client.
        client: ClientId,
        /// Its call.
        call: Instant,
        /// Its return.
        ret: Instant,
    },
    /// It has an output and no return.
    #[error("operation {index} (client {client}) has an outcome ok and no return")]
    OkWithoutReturn {
        /// Its place in the list.
        index: usize,
        /// Its client.
        client: ClientId,
    },
}

/// Operations, each with a return after its call, in the order in which they were given. An operation's place in it
/// is its name in verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcurrentHistory<I, O> {
    operations: Vec<Operation<I, O>>,
}

impl<I, O> ConcurrentHistory<I, O> {
    /// Takes operations in any order.
    ///
    /// # Errors
    /// The first operation that returns before its call, or is ok without a return.
    pub fn new(operations: Vec<Operation<I, O>>) -> Result<Self, HistoryError> {
        for (index, operation) in operations.iter().enumerate() {
            let client = operation.client;
            match (operation.ret, &operation.outcome) {
                (Some(ret), _) if ret < operation.call => {
                    return Err(HistoryError::ReturnBeforeCall { index, client, call: operation.call, ret });
                }
                (None, Outcome::Ok(_)) => return Err(HistoryError::OkWithoutReturn { index, client }),
                _ => {}
            }
        }
        Ok(ConcurrentHistory { operations })
    }

    /// The operations, in the order in which they were given.
    pub fn operations(&self) -> &[Operation<I, O>] {
        &self.operations
    }

    /// How many there are, failed ones included.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}
