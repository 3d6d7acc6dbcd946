//! The audit hash and the trace: what happened, in order.
//!
//! Every message, fault, disk operation, probe and client event is an [`Event`]. Its bytes (fixed-size little-endian
//! fields, then the content where there is one) go through a buffer into blake3: two runs of one seed are the same run
//! exactly if their hashes agree (commonware's Auditor, FoundationDB's unseed). madsim's own determinism check compares
//! draws only and misses values that differ (determinism-traps).
//!
//! The trace is the same events as values, with virtual time, for the timeline; it is off unless asked for, and has no
//! influence on the hash.

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
        /// Where.
        node: NodeId,
        /// Which incarnation, from 1.
        incarnation: u32,
    },
    /// A process ended by itself or was asked to.
    Exited {
        /// Where.
        node: NodeId,
        /// Which incarnation.
        incarnation: u32,
        /// What it failed with, if it failed.
        failure: Option<String>,
    },
    /// A process panicked. It is killed right after.
    Panicked {
        /// Where.
        node: NodeId,
        /// Which incarnation.
        incarnation: u32,
        /// The panic's message and place.
        message: String,
    },
    /// A fault began or ended, or the operator did something to the world.
    Fault {
        /// What: `kill`, `pause`, `resume`, `cut`, `heal`, `stall`, …
        action: &'static str,
        /// To whom.
        node: NodeId,
        /// The other end, for a link.
        peer: Option<NodeId>,
        /// The setting: nanoseconds, bytes, or what the action says.
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
        /// How many bytes. The bytes themselves go into the hash only.
        bytes: u64,
    },
    /// A step of a connection, without content.
    Net {
        /// What.
        step: NetStep,
        /// The connection.
        conn: u64,
        /// Where the step began.
        from: NodeId,
        /// The other end.
        to: NodeId,
    },
    /// A disk operation was carried out.
    Disk {
        /// Where.
        node: NodeId,
        /// What.
        op: DiskOp,
        /// The file, or another operand.
        #[serde(serialize_with = "text")]
        path: Arc<str>,
        /// How many bytes (of an append they go into the hash), or what the operation says.
        value: u64,
    },
    /// A crash decided what becomes of un-synced data.
    Crash {
        /// Where.
        node: NodeId,
        /// Sectors that were kept.
        kept: u64,
        /// Sectors that were dropped.
        dropped: u64,
        /// Writes of which some sectors were kept and some dropped.
        torn: u64,
        /// Namespace operations that were undone.
        undone: u64,
        /// Batches of engines that were kept though not committed.
        kept_batches: u64,
        /// Batches that were dropped.
        dropped_batches: u64,
    },
    /// What a member told its observer.
    Probe {
        /// The member's node.
        node: NodeId,
        /// What it said.
        #[serde(serialize_with = "debug")]
        event: ProbeEvent,
    },
    /// What the harness reports: a client's call or return, a note of the nemesis.
    Client {
        /// The client's node.
        node: NodeId,
        /// What happened, in the harness's own terms.
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
    /// The connection stands, for the dialler.
    Connected = 2,
    /// The connection stands, for the listener.
    Accepted = 3,
    /// Nobody listens there.
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
    /// Un-acknowledged for too long: the sender gave up.
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
    /// A file was cut.
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
    /// When, in nanoseconds of virtual time.
    pub at: At,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// Bytes are gathered until there are this many: blake3 is fastest over whole blocks of its widest vector.
const BUFFER: usize = 16 * 1024;

/// Takes the events of a run.
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

    /// Takes an event without content.
    pub(crate) fn record(&mut self, at: At, event: Event) {
        self.record_with(at, event, &[]);
    }

    /// Takes an event and its content. The event has the content's length, or there would be no telling where it ends.
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

    /// How many events there were.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The hash of everything so far.
    pub(crate) fn hash(&self) -> AuditHash {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.buffer);
        AuditHash(*hasher.finalize().as_bytes())
    }

    /// The trace, which is then empty; none where it was not asked for.
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

/// Tag, instant, fields. A field of variable length is preceded by its length, so no two event sequences share bytes.
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
