//! The engine writes that make one step durable.
//!
//! The core does not own an engine; it says what must be written and the node writes it, atomically. A batch that came
//! from one entry always holds the row with the applied index, so that data and index reach the disk together or not at
//! all: etcd #13766 is what happens otherwise.

use bytes::Bytes;

/// One write to the engine's key space.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BatchOp {
    /// Set a row.
    Put {
        /// The row's key, table prefix included.
        key: Bytes,
        /// The row's value.
        value: Bytes,
    },
    /// Remove a row. Removing one that is not there is no error.
    Delete {
        /// The row's key, table prefix included.
        key: Bytes,
    },
}

/// A sequence of engine writes that must become durable together. A later write to a row wins over an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Batch {
    ops: Vec<BatchOp>,
}

impl FromIterator<BatchOp> for Batch {
    fn from_iter<I: IntoIterator<Item = BatchOp>>(ops: I) -> Batch {
        Batch { ops: ops.into_iter().collect() }
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Add a write.
    pub fn put(&mut self, key: Bytes, value: Bytes) {
        self.ops.push(BatchOp::Put { key, value });
    }

    /// Add a removal.
    pub fn delete(&mut self, key: Bytes) {
        self.ops.push(BatchOp::Delete { key });
    }

    /// The writes, in order.
    pub fn ops(&self) -> &[BatchOp] {
        &self.ops
    }

    /// The writes, in order, given away.
    pub fn into_ops(self) -> Vec<BatchOp> {
        self.ops
    }

    /// How many writes there are.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Add another batch's writes after these.
    pub fn extend(&mut self, other: Batch) {
        self.ops.extend(other.ops);
    }

    /// The bytes of all keys and values.
    pub fn size_bytes(&self) -> usize {
        self.ops
            .iter()
            .map(|op| match op {
                BatchOp::Put { key, value } => key.len() + value.len(),
                BatchOp::Delete { key } => key.len(),
            })
            .sum()
    }
}
