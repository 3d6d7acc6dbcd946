//! The audit hash and the trace: what happened, in order.
//!
//! Every message, fault, disk operation, probe and client event is an [`Event`]. Its bytes (fixed-size little-endian
//! fields, then its content if it has any) go through a buffer into blake3. Two runs of one seed are the same run
//! exactly if their hashes agree (commonware's Auditor, FoundationDB's unseed). madsim's own determinism check
//! compares random draws only and misses other values that differ (determinism-traps).
//!
//! The trace holds the same events as values, with their virtual times, for the timeline. It is off by default and has
//! no influence on the hash.

use std::sync::Arc;

use serde::Serialize;
use squall_store::seam::{ProbeEvent, Role};

use super::node::{At, NodeId};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// A process started.
    Started {
        /// The node it happened on.
        node: NodeId,
        /// The process's incarnation, counted from 1.
        incarnation: u32,
    },
    /// A process ended by itself, or because it was asked to.
    Exited {
        /// The node it happened on.
        node: NodeId,
        /// The process's incarnation.
        incarnation: u32,
        /// The error it ended with, if any.
        failure: Option<String>,
    },
    /// A process panicked. It is killed right after.
    Panicked {
        /// The node it happened on.
        node: NodeId,
        /// The process's incarnation.
        incarnation: u32,
        /// The panic's message and place.
        message: String,
    },
    /// A fault began or ended, or the operator did something to the world.
    Fault {
        /// The action's name: `kill`, `pause`, `resume`, `cut`, `heal`, `stall`, …
        action: &'static str,
        /// The node it was applied to.
        node: NodeId,
        /// The other end, if it was applied to a link.
        peer: Option<NodeId>,
        /// The action's setting: nanoseconds, bytes, or another unit, as the action defines it.
        value: u64,
    },
    /// A segment left a node.
    Sent {
        /// The connection.
        conn: u64,
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
        /// The length in bytes. The bytes themselves go into the hash only.
        bytes: u64,
    },
    /// A step of a connection, without content.
    Net {
        /// The step.
        step: NetStep,
        /// The connection.
        conn: u64,
        /// The end that the step began at.
        from: NodeId,
        /// The other end.
        to: NodeId,
    },
    /// A disk operation was carried out.
    Disk {
        /// The node it happened on.
        node: NodeId,
        /// The operation.
        op: DiskOp,
        /// The file, or another operand.
        #[serde(serialize_with = "text")]
        path: Arc<str>,
        /// The length in bytes, or another number that the operation defines. An appended content goes into the hash.
        value: u64,
    },
    /// A power failure decided what happens to un-synced data.
    Crash {
        /// The node it happened on.
        node: NodeId,
        /// How many sectors were kept.
        kept: u64,
        /// How many sectors were dropped.
        dropped: u64,
        /// How many writes were torn: some of their sectors were kept and others dropped.
        torn: u64,
        /// How many namespace operations were undone.
        undone: u64,
        /// How many engine batches were kept although they were not committed.
        kept_batches: u64,
        /// How many engine batches were dropped.
        dropped_batches: u64,
    },
    /// A member reported something to its observer.
    Probe {
        /// The member's node.
        node: NodeId,
        /// What it reported.
        #[serde(serialize_with = "debug")]
        event: ProbeEvent,
    },
    /// The harness reported something: a client's call or return, or a note of the nemesis.
    Client {
        /// The client's node.
        node: NodeId,
        /// What happened, as the harness describes it.
        text: String,
    },
}

/// The steps of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum NetStep {
    /// A connection request left.
    Dial = 1,
    /// The connection is established at the dialler's end.
    Connected = 2,
    /// The connection is established at the listener's end.
    Accepted = 3,
    /// The dial was refused: no process listens at that address.
    Refused = 4,
    /// A segment arrived.
    Delivered = 5,
    /// A segment was swallowed by a cut link.
    Lost = 6,
    /// Lost segments are sent again.
    Resent = 7,
    /// One end closed.
    Closed = 8,
    /// A reset arrived.
    Reset = 9,
    /// The sender gave up: its data stayed unacknowledged for too long.
    TimedOut = 10,
}

/// Disk operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum DiskOp {
    /// A file was created.
    Create = 1,
    /// Bytes were appended.
    Append = 2,
    /// Bytes were read.
    Read = 3,
    /// A file was synced.
    Sync = 4,
    /// A file was truncated.
    Truncate = 5,
    /// A directory was created.
    CreateDir = 6,
    /// A directory was synced.
    SyncDir = 7,
    /// Something was renamed.
    Rename = 8,
    /// Something was removed.
    Remove = 9,
    /// A lock was taken.
    Lock = 10,
    /// A batch was written to an engine.
    EngineWrite = 11,
    /// An engine's batches became durable.
    EngineCommit = 12,
    /// An engine's content was replaced.
    EngineReplace = 13,
    /// An engine was opened.
    EngineOpen = 14,
}

fn text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn debug<S: serde::Serializer>(event: &ProbeEvent, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{event:?}"))
}

/// An event and when it happened: a line of the trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Traced {
    /// Its time, in nanoseconds of virtual time.
    pub at: At,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// The buffer's size in bytes. blake3 is fastest over whole blocks of its widest vector.
const BUFFER: usize = 16 * 1024;

/// Hashes the events of a run, and keeps the trace if it was asked for.
pub(crate) struct Audit {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    trace: Option<Vec<Traced>>,
    events: u64,
}

impl Audit {
    pub(crate) fn new(trace: bool) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            buffer: Vec::with_capacity(BUFFER + 1024),
            trace: trace.then(Vec::new),
            events: 0,
        }
    }

    /// Records an event without content.
    pub(crate) fn record(&mut self, at: At, event: Event) {
        self.record_with(at, event, &[]);
    }

    /// Records an event and its content. The event must hold the content's length: it marks where the content ends.
    pub(crate) fn record_with(&mut self, at: At, event: Event, content: &[u8]) {
        self.events += 1;
        encode(&mut self.buffer, at, &event);
        self.buffer.extend_from_slice(content);
        if self.buffer.len() >= BUFFER {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
        if let Some(trace) = &mut self.trace {
            trace.push(Traced { at, event });
        }
    }

    /// The number of events so far.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The hash of all events so far.
    pub(crate) fn hash(&self) -> AuditHash {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.buffer);
        AuditHash(*hasher.finalize().as_bytes())
    }

    /// Takes the trace and leaves an empty one. `None` if no trace was asked for.
    pub(crate) fn take_trace(&mut self) -> Option<Vec<Traced>> {
        self.trace.as_mut().map(std::mem::take)
    }
}

/// The hash over a run's events; shows as hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditHash(pub [u8; 32]);

impl std::fmt::Display for AuditHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for AuditHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Encodes tag, time and fields. A field of variable length follows its length, so no two event sequences share bytes.
fn encode(out: &mut Vec<u8>, at: At, event: &Event) {
    let tag = |out: &mut Vec<u8>, tag: u8, node: NodeId| {
        out.push(tag);
        out.extend_from_slice(&at.0.to_le_bytes());
        out.extend_from_slice(&node.index.to_le_bytes());
    };
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    };
    let number = |out: &mut Vec<u8>, number: u64| out.extend_from_slice(&number.to_le_bytes());
    match event {
        Event::Started { node, incarnation } => {
            tag(out, 1, *node);
            number(out, u64::from(*incarnation));
        }
        Event::Exited { node, incarnation, failure } => {
            tag(out, 2, *node);
            number(out, u64::from(*incarnation));
            out.push(u8::from(failure.is_some()));
            text(out, failure.as_deref().unwrap_or_default());
        }
        Event::Panicked { node, incarnation, message } => {
            tag(out, 3, *node);
            number(out, u64::from(*incarnation));
            text(out, message);
        }
        Event::Fault { action, node, peer, value } => {
            tag(out, 4, *node);
            number(out, peer.map_or(u64::MAX, |peer| u64::from(peer.index)));
            number(out, *value);
            text(out, action);
        }
        Event::Sent { conn, from, to, bytes } => {
            tag(out, 5, *from);
            out.extend_from_slice(&to.index.to_le_bytes());
            number(out, *conn);
            number(out, *bytes);
        }
        Event::Net { step, conn, from, to } => {
            tag(out, 6, *from);
            out.extend_from_slice(&to.index.to_le_bytes());
            number(out, *conn);
            out.push(*step as u8);
        }
        Event::Disk { node, op, path, value } => {
            tag(out, 7, *node);
            out.push(*op as u8);
            number(out, *value);
            text(out, path);
        }
        Event::Crash { node, kept, dropped, torn, undone, kept_batches, dropped_batches } => {
            tag(out, 8, *node);
            for count in [kept, dropped, torn, undone, kept_batches, dropped_batches] {
                number(out, *count);
            }
        }
        Event::Probe { node, event } => {
            tag(out, 9, *node);
            probe(out, event);
        }
        Event::Client { node, text: words } => {
            tag(out, 10, *node);
            text(out, words);
        }
    }
}

fn probe(out: &mut Vec<u8>, event: &ProbeEvent) {
    let mut fields = |tag: u8, fields: [u64; 3]| {
        out.push(tag);
        for field in fields {
            out.extend_from_slice(&field.to_le_bytes());
        }
    };
    match event {
        ProbeEvent::Role { term, role, leader } => {
            let role = match role {
                Role::Follower => 1,
                Role::PreCandidate => 2,
                Role::Candidate => 3,
                Role::Leader => 4,
            };
            fields(1, [term.0, role, leader.map_or(0, |leader| leader.0)]);
        }
        ProbeEvent::Applied { index, term, digest, state, proposal, revision, .. } => {
            fields(2, [index.0, term.0, *digest]);
            fields(2, [*state, *proposal, revision.0 as u64]);
        }
        ProbeEvent::SegmentCut => fields(3, [0; 3]),
        ProbeEvent::TornTailRepaired { bytes } => fields(4, [*bytes, 0, 0]),
        ProbeEvent::SnapshotSaved { index } => fields(5, [index.0, 0, 0]),
        ProbeEvent::SnapshotSent { to, index } => fields(6, [to.0, index.0, 0]),
        ProbeEvent::SnapshotInstalled { index } => fields(7, [index.0, 0, 0]),
        ProbeEvent::CompactsByItself { revision, proposal } => fields(19, [revision.0 as u64, *proposal, 0]),
        ProbeEvent::CompactionFinished { revision } => fields(8, [revision.0 as u64, 0, 0]),
        ProbeEvent::CompactionBegun { revision } => fields(18, [revision.0 as u64, 0, 0]),
        ProbeEvent::Ready => fields(9, [0; 3]),
        ProbeEvent::Starting => fields(11, [0; 3]),
        ProbeEvent::Leaving => fields(20, [0; 3]),
        ProbeEvent::Proposed { tag, proposal } => fields(10, [*tag, *proposal, 0]),
        ProbeEvent::Found { member, cluster, term, vote, last } => {
            fields(11, [member.0, term.0, vote.map_or(0, |vote| vote.0)]);
            fields(11, [last.0, cluster.0, 0]);
        }
        ProbeEvent::LogTerms { terms } => {
            for (term, last) in terms {
                fields(16, [term.0, last.0, 0]);
            }
        }
        ProbeEvent::Configured { index, voters, learners, listed_voters, listed_learners } => {
            let counts = [voters, learners, listed_voters, listed_learners].map(Vec::len);
            fields(17, [index.0, counts[0] as u64, counts[1] as u64]);
            fields(17, [counts[2] as u64, counts[3] as u64, 0]);
            for id in [voters, learners, listed_voters, listed_learners].into_iter().flatten() {
                fields(17, [id.0, 0, 0]);
            }
        }
        ProbeEvent::Voted { term, candidate } => fields(12, [term.0, candidate.0, 0]),
        ProbeEvent::Acknowledged { term, index } => fields(13, [term.0, index.0, 0]),
        ProbeEvent::LeaseEnded { lease, index, term, proposal } => {
            fields(15, [lease.0 as u64, index.0, term.0]);
            fields(15, [*proposal, 0, 0]);
        }
        ProbeEvent::Failed { reason, lost_data } => {
            fields(14, [reason.len() as u64, u64::from(*lost_data), 0]);
            out.extend_from_slice(reason.as_bytes());
        }
    }
}
