//! Linearizable reads without an entry (ReadIndex, Ongaro's thesis 6.4; `etcdserver/v3_server.go`).
//!
//! One batch is under way at a time. Requests that arrive meanwhile form the next batch. They must not join the
//! batch under way, since its index may have been fixed before they began. raft drops a ReadIndex silently while
//! there is no leader, or while the leader has committed nothing in its term. So the batch is asked for again until
//! it is confirmed, under a fresh id each time (etcd #20418 shows what an id used twice can do). Any id of the batch
//! may confirm it, because each was drawn after all of the batch's requests had begun.
//!
//! When the leader changes, the batch under way fails: a confirmation that still arrives may be the old leader's.

use std::collections::BTreeMap;

use squall_core::planted::planted;

use super::driver::Node;

/// The reads of one member. `W` is one waiting read.
#[derive(Debug)]
pub(crate) struct Reads<W> {
    /// Reads that arrived after the batch was asked for.
    waiting: Vec<W>,
    /// The batch that was asked for and is not confirmed yet.
    batch: Option<Batch<W>>,
    /// Confirmed reads, by the index that must be applied before they are answered.
    confirmed: BTreeMap<u64, Vec<W>>,
}

#[derive(Debug)]
struct Batch<W> {
    ids: Vec<u64>,
    waiters: Vec<W>,
}

impl<W> Default for Reads<W> {
    fn default() -> Self {
        Self { waiting: Vec::new(), batch: None, confirmed: BTreeMap::new() }
    }
}

impl<W> Reads<W> {
    /// Adds a read that has arrived.
    pub(crate) fn push(&mut self, waiter: W) {
        match &mut self.batch {
            Some(batch) if planted!(ReadJoinsBatch) => batch.waiters.push(waiter),
            _ => self.waiting.push(waiter),
        }
    }

    /// Whether a new batch can be asked for.
    pub(crate) fn can_ask(&self) -> bool {
        self.batch.is_none() && !self.waiting.is_empty()
    }

    /// Whether a batch waits for its confirmation.
    pub(crate) fn is_asking(&self) -> bool {
        self.batch.is_some()
    }

    /// Records a request under `id`: for a new batch of all waiting reads, or again for the batch that is under way.
    pub(crate) fn ask(&mut self, id: u64) {
        match &mut self.batch {
            Some(batch) => batch.ids.push(id),
            None => self.batch = Some(Batch { ids: vec![id], waiters: std::mem::take(&mut self.waiting) }),
        }
    }

    /// raft has confirmed `index` for `id`. False if `id` does not belong to the batch under way.
    pub(crate) fn confirm(&mut self, id: u64, index: u64) -> bool {
        match self.batch.take_if(|batch| planted!(ReadConfirmedByAny) || batch.ids.contains(&id)) {
            Some(batch) => {
                if planted!(ReadsAtOneIndexLost) {
                    self.confirmed.remove(&index);
                }
                self.confirmed.entry(index).or_default().extend(batch.waiters);
                true
            }
            None => false,
        }
    }

    /// Takes the reads that can be answered once everything up to `index` is applied.
    pub(crate) fn applied(&mut self, index: u64) -> Vec<W> {
        let mut ready = Vec::new();
        while let Some(first) = self.confirmed.first_entry().filter(|first| *first.key() <= index) {
            ready.extend(first.remove());
        }
        ready
    }

    /// The leader has changed: takes the reads of the batch under way, which fails.
    pub(crate) fn leader_changed(&mut self) -> Vec<W> {
        self.batch.take().map(|batch| batch.waiters).unwrap_or_default()
    }

    /// Adds the waiting reads to the batch under way. Only a planted error does this.
    #[cfg(madsim)]
    pub(crate) fn join_batch(&mut self) {
        if let Some(batch) = &mut self.batch {
            batch.waiters.append(&mut self.waiting);
        }
    }

    /// Forgets the reads that `keep` does not keep. Confirmed reads stay.
    pub(crate) fn retain(&mut self, keep: impl Fn(&W) -> bool) {
        self.waiting.retain(&keep);
        if let Some(batch) = &mut self.batch {
            batch.waiters.retain(&keep);
        }
        self.batch.take_if(|batch| batch.waiters.is_empty());
    }
}

impl Node {
    /// Asks raft for an index for the reads that wait, if no batch is under way.
    pub(super) fn ask_reads(&mut self) {
        if !self.reads.can_ask() {
            return;
        }
        if planted!(LeaderServesReadsWithoutReadIndex) && self.is_leader() {
            let id = self.ids.next();
            self.reads.ask(id);
            self.reads.confirm(id, 0);
            self.answer_reads(0);
            return;
        }
        self.ask_again();
    }

    /// Asks for a batch of reads, or again for the one under way.
    pub(super) fn ask_again(&mut self) {
        let id = if planted!(ReadIdReused) { 1 } else { self.ids.next() };
        self.reads.ask(id);
        self.read_asked = self.env.clock.monotonic();
        self.raft.read_index(id.to_be_bytes().to_vec());
    }

    /// Answers the reads that waited for the index `applied` or a lower one.
    pub(super) fn answer_reads(&mut self, applied: u64) {
        for waiter in self.reads.applied(applied) {
            let _ = waiter.send(Ok(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_waits_for_its_own_batch_and_then_for_the_apply() {
        let mut reads = Reads::default();
        reads.push("a");
        reads.ask(1);
        reads.push("b");
        assert!(!reads.can_ask(), "one batch at a time");
        assert!(reads.confirm(1, 10));
        assert!(reads.can_ask());
        reads.ask(2);
        assert!(reads.confirm(2, 8), "another leader's commit index may be lower");
        assert_eq!(reads.applied(7), [""; 0]);
        assert_eq!(reads.applied(8), ["b"]);
        assert_eq!(reads.applied(12), ["a"]);
    }

    #[test]
    fn a_retry_may_be_confirmed_by_either_id_but_once() {
        let mut reads = Reads::default();
        reads.push("a");
        reads.ask(1);
        reads.ask(2);
        assert!(reads.confirm(1, 5));
        assert!(!reads.confirm(2, 6));
        assert_eq!(reads.applied(5), ["a"]);
        assert_eq!(reads.applied(6), [""; 0]);
    }

    #[test]
    fn a_late_confirmation_after_a_change_of_leader_answers_nobody() {
        let mut reads = Reads::default();
        reads.push("a");
        reads.ask(1);
        reads.push("b");
        assert_eq!(reads.leader_changed(), ["a"]);
        assert!(!reads.confirm(1, 5));
        reads.ask(2);
        assert!(!reads.confirm(1, 5), "the old id is not the new batch's");
        assert!(reads.confirm(2, 6));
        assert_eq!(reads.applied(6), ["b"]);
    }

    #[test]
    fn a_batch_that_nobody_waits_for_ends() {
        let mut reads = Reads::default();
        reads.push("gone");
        reads.ask(1);
        reads.push("here");
        reads.retain(|waiter| *waiter != "gone");
        assert!(reads.can_ask());
    }
}
