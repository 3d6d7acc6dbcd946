//! Alarms: problems of members that the cluster has recorded, and the requests that are refused meanwhile.
//!
//! An alarm belongs to a member and has a kind. As long as an alarm of some kind is active on any member, that kind
//! restricts the whole cluster (etcd's `v3alarm` and the appliers that it puts in front of the others):
//!
//! - **NOSPACE**: commands that would make the store larger are refused: puts, transactions that could put, grants
//!   of leases. Reads, deletes, revocations and compactions go on, since they are needed to make room.
//! - **CORRUPT**: every change of keys and leases is refused. Reads are served, as etcd 3.5 serves them.
//!
//! An alarm is raised and taken back by an entry of the log, so every member refuses the same entries. An alarm is
//! never taken back automatically. A listing goes through the log too, and changes nothing.
//!
//! When an alarm is raised is not decided here: the quota and the corruption check are in the server
//! (`store/src/node/quota.rs`, `store/src/corrupt`).

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::planted::planted;
use crate::{Batch, Command, MemberId, Refusal, digest, quota, rows};

/// The kinds of alarms, with etcd's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum AlarmKind {
    /// A member's quota is used up.
    NoSpace = 1,
    /// A member's data differ from the others'.
    Corrupt = 2,
}

impl AlarmKind {
    /// The name that etcd's tools print.
    pub fn name(self) -> &'static str {
        match self {
            AlarmKind::NoSpace => "NOSPACE",
            AlarmKind::Corrupt => "CORRUPT",
        }
    }

    /// The kind with this number.
    pub fn from_number(number: i32) -> Option<AlarmKind> {
        [AlarmKind::NoSpace, AlarmKind::Corrupt].into_iter().find(|kind| *kind as i32 == number)
    }
}

/// One member's alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alarm {
    /// What is wrong.
    pub kind: AlarmKind,
    /// The member that has the problem.
    pub member: MemberId,
}

/// A client's or a member's request about alarms. Without a kind (etcd's `NONE`) a listing lists all kinds, and an
/// activation or a deactivation does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmRequest {
    /// List the active alarms.
    Get(Option<AlarmKind>),
    /// Raise an alarm. Raising it again changes nothing.
    Activate(MemberId, Option<AlarmKind>),
    /// Take an alarm back. It is no error if the alarm is not active.
    Deactivate(MemberId, Option<AlarmKind>),
}

/// The alarms that are active.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    active: BTreeSet<Alarm>,
    /// The sum of the digests of their rows (`digest.rs`).
    content: u64,
}

impl Alarms {
    /// The active alarms, by kind and then by member.
    pub fn iter(&self) -> impl Iterator<Item = Alarm> + '_ {
        self.active.iter().copied()
    }

    /// Whether an alarm of this kind is active on any member.
    pub fn is_active(&self, kind: AlarmKind) -> bool {
        self.active.iter().any(|alarm| alarm.kind == kind)
    }

    /// Whether this alarm is active.
    pub fn contains(&self, alarm: Alarm) -> bool {
        self.active.contains(&alarm)
    }

    /// Whether a command may be applied under the alarms that are active.
    ///
    /// # Errors
    /// `Corrupt`, `NoSpace`.
    pub(crate) fn check(&self, command: &Command) -> Result<(), Refusal> {
        if self.active.is_empty() {
            return Ok(());
        }
        let changes_data = matches!(
            command,
            Command::Put(_)
                | Command::DeleteRange(_)
                | Command::Txn(_)
                | Command::Compact(_)
                | Command::LeaseGrant { .. }
                | Command::LeaseRevoke(_)
        );
        let spared = planted!(CorruptSparesDeletes) && !matches!(command, Command::Put(_) | Command::Txn(_));
        if changes_data && self.is_active(AlarmKind::Corrupt) && !spared {
            return Err(Refusal::Corrupt);
        }
        if planted!(NoSpaceStopsDeletes) && changes_data && self.is_active(AlarmKind::NoSpace) {
            return Err(Refusal::NoSpace);
        }
        let spared = planted!(NoSpaceSparesTransactions) && !matches!(command, Command::Put(_));
        if quota::cost(command) > 0 && self.is_active(AlarmKind::NoSpace) && !spared {
            return Err(Refusal::NoSpace);
        }
        Ok(())
    }

    /// Carry out a request. Returns the alarms that etcd returns: the listed ones, or the one that was raised or
    /// taken back.
    pub(crate) fn apply(&mut self, request: AlarmRequest) -> (Vec<Alarm>, Batch) {
        let mut batch = Batch::new();
        let alarms = match request {
            AlarmRequest::Get(kind) => {
                self.iter().filter(|alarm| kind.is_none_or(|kind| alarm.kind == kind)).collect()
            }
            AlarmRequest::Activate(member, Some(kind)) => {
                let alarm = Alarm { kind, member };
                if self.active.insert(alarm) {
                    self.content = self.content.wrapping_add(row_digest(alarm));
                    batch.put(rows::alarm_key(alarm), Bytes::new());
                }
                vec![alarm]
            }
            AlarmRequest::Deactivate(member, Some(kind)) => {
                let alarm = Alarm { kind, member };
                if planted!(DisarmTakesAll) {
                    let others: Vec<Alarm> =
                        self.iter().filter(|one| one.member == member && *one != alarm).collect();
                    for other in others {
                        self.take_back(other, &mut batch);
                    }
                }
                if self.take_back(alarm, &mut batch) { vec![alarm] } else { Vec::new() }
            }
            AlarmRequest::Activate(_, None) | AlarmRequest::Deactivate(_, None) => Vec::new(),
        };
        (alarms, batch)
    }

    /// Take an alarm back; false if it is not active.
    fn take_back(&mut self, alarm: Alarm, batch: &mut Batch) -> bool {
        let was_active = self.active.remove(&alarm);
        if was_active {
            self.content = self.content.wrapping_sub(row_digest(alarm));
            if !planted!(AlarmReturnsAtRestart) {
                batch.delete(rows::alarm_key(alarm));
            }
        }
        was_active
    }

    /// Put an alarm back as it was stored.
    pub(crate) fn restore(&mut self, alarm: Alarm) {
        if !planted!(AlarmsForgottenAtRestart) && self.active.insert(alarm) {
            self.content = self.content.wrapping_add(row_digest(alarm));
        }
    }

    /// Their rows, in key order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Bytes, Bytes)> + '_ {
        self.iter().map(|alarm| (rows::alarm_key(alarm), Bytes::new()))
    }

    pub(crate) fn content(&self) -> u64 {
        self.content
    }
}

fn row_digest(alarm: Alarm) -> u64 {
    digest::row(&rows::alarm_key(alarm), &[])
}
