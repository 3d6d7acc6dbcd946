//! Scripts for the node (`store/tests/node`): several members, with every message and every disk change under the
//! script's control. They are in the style of etcd-io/raft's data-driven tests and toydb's golden scripts: each
//! command is followed by what the members did because of it, line by line, so the order of the lines is the order
//! of the work.
//!
//! ```text
//! cluster n1 n2 n3 [snapshot=N] [catchup=N] [segment=BYTES]     found a cluster and start its members
//! tick n1 [N]                  the member's clock ticks; 10 ticks without a leader begin an election
//! wait 100ms                   time passes for all: engine commits, compaction steps, retries
//! propose n1 7 put k=v         a client's request under the number 7; also: delete k, compact REVISION,
//!                              grant LEASE ttl=SECONDS, revoke LEASE
//! read n1 r1                   a linearizable read
//! change n1 7 add n4 | learn n4 | promote n4 | remove n3 | update n3 URL
//! ready n1 n4                  whether the learner n4 may be promoted
//! defragment n1                write the engine's content anew
//! transfer n1                  hand the leadership over, before a stop
//! move n1 n2                   hand the leadership to n2
//! deliver [FILTER]             deliver the messages that are in flight now, in their order
//! deliver 7 5                  these, in this order
//! drop FILTER | 7              lose messages; a snapshot's sender is told
//! double 7                     deliver a copy, and keep the message in flight
//! stabilize [FILTER]           deliver until nothing that the filter lets through is in flight
//! flight                       what is in flight
//! hold n1 [N]                  the member's disk stops before the next change, or after N more
//! step n1 [N]                  lets the next changes through
//! release n1                   the disk works again
//! crash n1 [engine=N]          power loss: what was not synced is gone, but for the engine's first N batches
//! kill n1                      the process ends; nothing that was written is lost
//! start n1                     start the member from its disk
//! join n4                      start a member that was added, with an empty disk
//! show n1                      role, log, applied index, what is durable
//! ```
//! FILTER is any of `from=n1`, `to=n2`, `type=MsgAppend`.
//!
//! Three things are checked at every step, whatever the script prints: no message promises more than is durable
//! (`world.rs`); members that apply an entry at one index apply the same entry and come to the same state; each term
//! has one leader. `[quiet]` in front of a command drops its lines.

mod commands;
mod disk;
#[path = "../../../core/tests/suite/golden.rs"]
mod golden;
mod members;
mod messages;
mod narrate;
mod running;
mod world;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use goldenscript::Command;
#[cfg(madsim)]
use squall_core::planted::{Bug, Set, plant};

use self::{
    golden::{Args, Result, scripts},
    members::Scripted,
    narrate::{Lines, Names},
    world::{Fact, Flight},
};
use crate::Config;

scripts! { SCRIPT_DIR, run:
    apply
    compaction
    conf_changes
    elections
    leases
    member_update
    move_leader
    overwritten_suffix
    persist_follower
    persist_leader
    proposals
    reads
    removed_leader
    removed_leader_ahead
    removed_leader_restarts
    restart_voters
    single
    snapshot_crashes
    snapshot_installed
    snapshot_saved
    transfer
    votes
}

/// The scripts check the order of the work: for each planted error of this list, a script fails. (The failures are
/// printed; that is expected.)
#[cfg(madsim)]
#[test]
fn the_scripts_notice_a_broken_order() {
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        return;
    }
    let mut noticed = String::new();
    for bug in ORDER {
        plant((*bug).into());
        let fails = |name: &&&str| std::panic::catch_unwind(|| run(name)).is_err();
        let failed = SCRIPTS.iter().rev().find(fails).copied().unwrap_or_default();
        plant(Set::NONE);
        let _ = writeln!(noticed, "{:<36} {failed}", bug.name());
    }
    println!("{noticed}");
    for line in noticed.lines() {
        assert!(line.split_whitespace().count() > 1, "no script notices {line}; in all:\n{noticed}");
    }
}

/// Errors in the order of the work, or in what a restart makes of what it finds.
#[cfg(madsim)]
const ORDER: &[Bug] = &[
    Bug::VoteBeforeSync,
    Bug::AckBeforeSync,
    Bug::SingleVoterAcknowledgesBeforeFsync,
    Bug::HardStateNotSynced,
    Bug::VoteNotStored,
    Bug::CommitNotStored,
    Bug::VoteForgottenAtRestart,
    Bug::ReadBeforeApply,
    Bug::ReadJoinsBatch,
    Bug::LeaderServesReadsWithoutReadIndex,
    Bug::LeaseReads,
    Bug::LeaderGuessesAck,
    Bug::AnswersSwapped,
    Bug::ProposalRefusedAndKept,
    Bug::TailKept,
    Bug::WalTailKept,
    Bug::RestartSkipsEntry,
    Bug::RestartTakesSnapshotVoters,
    Bug::SnapshotRecordNotSynced,
    Bug::SegmentReleasedEarly,
    Bug::CommitReportedEarly,
    Bug::EngineMarkAhead,
    Bug::AppliedIndexApart,
    Bug::RefusalNotAdvanced,
    Bug::InstallBeforeRecord,
    Bug::InstallOnlyInMemory,
    Bug::InstallKeepsOldRows,
    Bug::SnapshotFileNotSynced,
    Bug::SnapshotFileGoneEarly,
    Bug::SnapshotDropsKey,
    Bug::RemovedStillVotes,
    Bug::RemovedGoesOn,
    Bug::HiddenRowDiffers,
    Bug::SyncSkipped,
];

const SCRIPT_DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node");

fn run(name: &str) {
    goldenscript::run(&mut Runner::default(), format!("{SCRIPT_DIR}/{name}")).expect("the script runs");
}

/// The members of a script and the messages between them.
#[derive(Default)]
struct Runner {
    names: Names,
    lines: Lines,
    flight: Flight,
    now: Arc<Mutex<Duration>>,
    applied: Arc<Mutex<Vec<Fact>>>,
    /// By index: the first fact about that entry.
    agreed: BTreeMap<u64, Fact>,
    /// The leader of each term.
    leaders: BTreeMap<u64, String>,
    members: BTreeMap<String, Scripted>,
    config: Config,
}

impl goldenscript::Runner for Runner {
    fn run(&mut self, command: &Command) -> Result<String> {
        let mut args = Args::of(command);
        self.perform(&command.name, &mut args)?;
        args.reject_rest()?;
        self.settle();
        self.check();
        let lines = self.lines.take();
        let mut out = String::new();
        if !command.tags.contains("quiet") {
            lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        }
        Ok(out)
    }
}
