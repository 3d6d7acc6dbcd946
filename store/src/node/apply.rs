//! Applies committed entries. Each entry goes through the core; its rows go to the engine, and its reply to the
//! client that waits for it.

use std::time::Duration;

use raft::eraftpb::{ConfChange, ConfChangeType, Entry, EntryType};
use squall_core::{
    AlarmKind, Batch, BatchOp, Command, Index, MemberId, MembershipChange, Refusal, Reply, Revision, Term,
    planted::planted,
};

#[cfg(madsim)]
use squall_core::RequestOp;

use super::{
    Halt,
    bootstrap::conf_state,
    driver::Node,
    entry,
    input::{Answer, Decoded},
};
use crate::seam::{Point, ProbeEvent};

/// An apply that takes longer is counted as slow (etcd's warning-apply-duration).
const SLOW_APPLY: Duration = Duration::from_millis(100);

impl Node {
    /// Applies committed entries, in order, and answers the clients that wait for them. The answers go out once the
    /// rows are in the engine. They need not be durable there, since the WAL has the entries.
    ///
    /// # Errors
    /// The disk fails.
    pub(super) async fn apply(&mut self, entries: Vec<Entry>) -> Result<(), Halt> {
        let Some(last) = entries.last() else { return Ok(()) };
        if !planted!(SingleVoterAcknowledgesBeforeFsync) {
            self.keep_removal(&entries).await?;
        }
        let (last_index, last_term) = (last.index, last.term);
        let began = self.env.clock.monotonic();
        self.env.points.reached(Point::ApplyBeforeEntries).await;
        if entries.iter().any(|entry| entry.get_entry_type() != EntryType::EntryNormal) {
            self.env.points.reached(Point::ApplyBeforeConfChange).await;
        }
        let mut answers: Vec<(Answer, Result<Reply, Refusal>)> = Vec::new();
        let (mut batch, mut batches) = (Batch::new(), 0);
        let (mut members_changed, mut removed, mut first_in_term, mut raise) = (false, false, false, false);
        {
            let shared = self.shared.clone();
            let mut state = shared.state();
            for entry in &entries {
                let (index, term) = (Index(entry.index), Term(entry.term));
                let mut took_effect = true;
                let (id, applied) = match entry::decode(entry) {
                    Decoded::Empty => {
                        first_in_term |= entry.term == self.raft.raft.term;
                        (0, state.apply_empty(index, term))
                    }
                    Decoded::Command { id, caller, command } => {
                        #[cfg(madsim)]
                        let command = if planted!(TxnReadsStripped) && !self.proposals.awaits(id) {
                            without_reads(command)
                        } else {
                            command
                        };
                        let over = self.exceeds_quota(&state, &command);
                        let mut applied = match over && planted!(QuotaRefusesAtApply) {
                            true => state.apply_empty(index, term),
                            false => state.apply_as(index, term, &caller, &command),
                        };
                        self.follow_auth(&command, &applied.reply);
                        if applied.reply.is_ok() {
                            self.follow_leases(&command);
                            if let Ok(reply) = &applied.reply {
                                self.shared.metrics.operations.applied(reply, &applied.events);
                            }
                            if let Command::LeaseRevoke(lease) = command {
                                let ended = ProbeEvent::LeaseEnded { lease, index, term, proposal: id };
                                self.env.probe.emit(ended);
                            }
                        }
                        self.shared.watches().publish(&applied.events, &state);
                        took_effect = applied.reply.is_ok();
                        if over && took_effect {
                            // The entry was applied all the same, as in etcd: members differ in whether it fits.
                            applied.reply = Err(Refusal::NoSpace);
                            raise |= !state.alarms().is_active(AlarmKind::NoSpace);
                        }
                        (id, applied)
                    }
                    Decoded::Membership { id, change, raft } => {
                        let applied = state.apply_membership(index, term, &change);
                        let keeps_vote =
                            planted!(RemovedStillVotes) && matches!(change, MembershipChange::Remove(_));
                        if keeps_vote && applied.reply.is_ok() {
                            members_changed = true;
                            removed |= change == MembershipChange::Remove(self.shared.member);
                        } else if applied.reply.is_ok() || planted!(RefusedChangeApplied) {
                            let conf_state =
                                self.raft.apply_conf_change(&as_raft_takes_it(*raft)).unwrap_or_else(
                                    |error| panic!("entry {index}: raft refused {change:?}: {error}"),
                                );
                            self.raft.mut_store().set_conf_state(conf_state);
                            members_changed = true;
                            removed |= change == MembershipChange::Remove(self.shared.member);
                        }
                        (id, applied)
                    }
                };
                self.env.probe.emit(ProbeEvent::Applied {
                    index,
                    term,
                    digest: entry::digest(entry),
                    state: applied.state,
                    proposal: id,
                    refused: !took_effect,
                    revision: state.revision(),
                });
                batch.extend(applied.batch);
                batches += 1;
                if planted!(AnswerLost) && entry.index.is_multiple_of(50) {
                    // The client gets no answer.
                    std::mem::forget(self.proposals.take(id));
                }
                if let Some(answer) = self.proposals.take(id) {
                    answers.push((answer, applied.reply));
                }
            }
            if planted!(AppliedIndexApart) || planted!(AppliedIndexAhead) {
                let (index, data): (Vec<_>, Vec<_>) = batch
                    .into_ops()
                    .into_iter()
                    .partition(|op| matches!(op, BatchOp::Put { key, .. } if key == "mapplied"));
                let (first, second) = if planted!(AppliedIndexAhead) { (index, data) } else { (data, index) };
                self.engine.write(&first.into_iter().collect());
                batch = second.into_iter().collect();
            }
            if first_in_term && self.is_leader() {
                self.promote_lessor(&state);
            }
            // Written under the state's lock, so that the holder of the lock sees state and engine at the same
            // entry.
            self.engine.write(&batch);
        }
        self.raft.mut_store().set_applied(last_index, last_term);
        self.shared.written().clone_from(self.raft.store().applied());
        self.committer.wrote(batches);
        self.shared.update_status(|status| status.set_applied(Index(last_index)));
        self.shared.applied.send_replace(last_index);
        if members_changed {
            self.env.points.reached(Point::ApplyAfterConfChange).await;
            self.connect_members();
        }
        if entries.iter().any(|entry| entry.get_entry_type() != EntryType::EntryNormal) {
            self.tell_configuration(Index(last_index));
        }
        if planted!(AnswersSwapped)
            && let [(_, first), (_, second), ..] = &mut answers[..]
            && let (Ok(a), Ok(b)) = (&first, &second)
            && std::mem::discriminant(a) == std::mem::discriminant(b)
        {
            std::mem::swap(first, second);
        }
        if raise {
            self.raise_no_space();
        }
        if self.env.clock.monotonic().since(began) > SLOW_APPLY {
            self.shared.metrics.slow_applies.inc();
        }
        let answered = !answers.is_empty();
        if answered {
            self.env.points.reached(Point::ApplyBeforeAnswers).await;
        }
        for (answer, reply) in answers {
            let _ = answer.send(reply);
        }
        self.answer_reads(last_index);
        if answered {
            self.env.points.reached(Point::ApplyAfterAnswers).await;
        }
        if removed && !planted!(RemovedGoesOn) {
            self.step_down();
            self.leave();
        }
        // Until now raft dropped every ReadIndex, since the leader had committed nothing in its term.
        self.reads_due |= first_in_term;
        if self.schedule_compaction() {
            self.env.points.reached(Point::CompactAfterSchedule).await;
        }
        Ok(())
    }

    /// Tells the probe which members take part in raft, and which members the state lists.
    pub(super) fn tell_configuration(&self, index: Index) {
        let ids = |ids: &[u64]| {
            let mut ids: Vec<MemberId> = ids.iter().copied().map(MemberId).collect();
            ids.sort_unstable();
            ids
        };
        let raft = self.raft.raft.prs().conf().to_conf_state();
        let listed = conf_state(&self.shared.state());
        self.env.probe.emit(ProbeEvent::Configured {
            index,
            voters: ids(&raft.voters),
            learners: ids(&raft.learners),
            listed_voters: ids(&listed.voters),
            listed_learners: ids(&listed.learners),
        });
    }

    /// Keeps a link to each other member.
    pub(super) fn connect_members(&self) {
        let state = self.shared.state();
        let members = state.membership().members().map(|member| (member.id, member.peer_urls.clone()));
        self.transport.set_members(members.collect::<Vec<(MemberId, Vec<String>)>>());
    }

    // A compaction deletes in steps, so that the loop stays free for other work.

    /// Schedules the next step of a pending compaction after a pause. True if no step was scheduled before.
    pub(super) fn schedule_compaction(&mut self) -> bool {
        let begins = self.compaction.is_none() && self.shared.state().compaction_pending();
        if begins {
            if self.compaction_began.is_none() {
                self.tell_compaction();
                self.compaction_began = Some(self.env.clock.monotonic());
            }
            self.compaction = Some(self.env.clock.sleep(self.config.compaction_sleep));
        }
        begins
    }

    /// Tells the probe of the compaction that is under way.
    pub(super) fn tell_compaction(&self) {
        let revision = self.shared.state().compact_revision();
        self.env.probe.emit(ProbeEvent::CompactionBegun { revision });
    }

    /// Makes one step of the compaction.
    pub(super) async fn compaction_step(&mut self) {
        self.compaction = None;
        self.env.points.reached(Point::CompactBeforeStep).await;
        let metrics = self.shared.metrics.clone();
        let began = self.env.clock.monotonic();
        let (step, finished) = {
            let mut state = self.shared.state();
            let Some(step) = state.compaction_step(self.config.compaction_batch_limit) else { return };
            self.engine.write(&step.batch);
            (step, state.finished_compact_revision().0)
        };
        self.committer.wrote(1);
        self.env.points.reached(Point::CompactAfterStep).await;
        let now = self.env.clock.monotonic();
        metrics.compaction_pause.observe(now.since(began));
        metrics.compacted_keys.add(step.removed as u64);
        if step.finished {
            let began = self.compaction_began.take().unwrap_or(now);
            metrics.compaction_total.observe(now.since(began));
            self.env.points.reached(Point::CompactAfterFinish).await;
            self.shared.compacted.send_replace(finished);
            self.env.probe.emit(ProbeEvent::CompactionFinished { revision: Revision(finished) });
        }
        self.schedule_compaction();
    }
}

/// A conf change in the form that raft is given.
fn as_raft_takes_it(mut change: ConfChange) -> ConfChange {
    if planted!(LearnerVotesInRaft) && change.get_change_type() == ConfChangeType::AddLearnerNode {
        change.set_change_type(ConfChangeType::AddNode);
    }
    change
}

/// A transaction without its reads. Only a planted error uses it.
#[cfg(madsim)]
fn without_reads(mut command: Command) -> Command {
    if let Command::Txn(txn) = &mut command {
        txn.success.retain(|op| !matches!(op, RequestOp::Range(_)));
        txn.failure.retain(|op| !matches!(op, RequestOp::Range(_)));
    }
    command
}
