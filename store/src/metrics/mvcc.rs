//! Counts the operations on the key space. As in etcd every member counts what it applies and the reads that it
//! answers. A transaction counts as each of its operations, and also as one transaction if it has several.

use squall_core::{Event, EventKind, Reply, ResponseOp, TxnResponse};

use super::Counter;

/// Counts of operations.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    pub(super) ranges: Counter,
    pub(super) puts: Counter,
    pub(super) deletes: Counter,
    pub(super) txns: Counter,
    pub(super) put_bytes: Counter,
}

#[derive(Default)]
struct Tally {
    ranges: u64,
    puts: u64,
    deletes: u64,
}

impl Operations {
    /// Counts a range that was answered.
    pub(crate) fn ranged(&self) {
        self.ranges.inc();
    }

    /// Counts an answered transaction that only reads.
    pub(crate) fn read(&self, response: &TxnResponse) {
        let mut tally = Tally::default();
        tally.txn(response);
        self.take(&tally);
    }

    /// Counts an applied entry, by its reply and its changes.
    pub(crate) fn applied(&self, reply: &Reply, events: &[Event]) {
        let mut tally = Tally::default();
        match reply {
            Reply::Put(_) => tally.puts = 1,
            Reply::DeleteRange(_) => tally.deletes = 1,
            Reply::Txn(response) => tally.txn(response),
            // Each deleted key of the lease counts.
            Reply::LeaseRevoke(_) => tally.deletes = events.len() as u64,
            _ => return,
        }
        self.take(&tally);
        let puts = events.iter().filter(|event| event.kind == EventKind::Put);
        self.put_bytes.add(puts.map(|event| (event.kv.key.len() + event.kv.value.len()) as u64).sum());
    }

    fn take(&self, tally: &Tally) {
        self.ranges.add(tally.ranges);
        self.puts.add(tally.puts);
        self.deletes.add(tally.deletes);
        if tally.ranges + tally.puts + tally.deletes > 1 {
            self.txns.inc();
        }
    }
}

impl Tally {
    fn txn(&mut self, response: &TxnResponse) {
        for response in &response.responses {
            match response {
                ResponseOp::Range(_) => self.ranges += 1,
                ResponseOp::Put(_) => self.puts += 1,
                ResponseOp::DeleteRange(_) => self.deletes += 1,
                ResponseOp::Txn(nested) => self.txn(nested),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_its_operations_and_one_more() {
        let operations = Operations::default();
        let nested =
            TxnResponse { responses: vec![ResponseOp::Put(Default::default())], ..Default::default() };
        let responses = vec![ResponseOp::Range(Default::default()), ResponseOp::Txn(nested.clone())];
        operations.read(&TxnResponse { responses, ..Default::default() });
        operations.read(&nested);
        let counts = [&operations.ranges, &operations.puts, &operations.deletes, &operations.txns];
        assert_eq!(counts.map(Counter::get), [1.0, 2.0, 0.0, 1.0]);
    }
}
