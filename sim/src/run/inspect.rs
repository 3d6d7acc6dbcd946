//! A member's state at an instant of virtual time: `squall replay RUN --until 12.3s --show m2`.
//!
//! The run is repeated and ends at that instant. Everything shown comes from outside the member: its reported events
//! (role, term, applied index), its disk (the log's bounds, the engine's rows, files with what a crash could lose),
//! and the clients' open requests. So the store does not notice the inspection, and no draw of the run changes.

use std::fmt;

use serde::Serialize;
use squall_core::{RangeRequest, State};
use squall_store::{
    seam::ProbeEvent,
    wal::record::{Kind, Step, chain_at_start, decode},
};

use crate::{
    cluster::DATA_DIR,
    text::format_duration,
    workload::{OpenRequest, Recorder},
    world::{At, Listed, NodeId, Probed, Status, World},
};

/// How many keys are shown with their values.
const KEYS: usize = 40;

/// The most characters of a value that are shown.
const VALUE: usize = 60;

/// The members at one instant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The instant, in nanoseconds of virtual time.
    pub at: u64,
    /// Whether the run had ended before the requested instant.
    pub ended: bool,
    /// The members.
    pub members: Vec<MemberState>,
}

/// A member at one instant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberState {
    /// Its name.
    pub name: String,
    /// The state of its process, in words.
    pub process: String,
    /// The number of its life; 0 before the first.
    pub life: u32,
    /// The raft state that it reported in this life.
    pub raft: ReportedRaft,
    /// The content of its log on disk; `None` if there is no log.
    pub log: Option<Log>,
    /// Its engine's content, including un-committed batches; `None` if there is no engine or it cannot be read.
    pub state: Option<Held>,
    /// The requests that clients wait for.
    pub open_requests: Vec<OpenRequest>,
    /// The files on its disk.
    pub files: Vec<Listed>,
}

/// The raft state that a member reported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReportedRaft {
    /// Its role; empty if it has not reported one.
    pub role: String,
    /// Its term.
    pub term: u64,
    /// The id of the leader that it follows.
    pub leader: Option<u64>,
    /// The last entry that it applied: index and term.
    pub applied: Option<(u64, u64)>,
    /// The store's revision after it.
    pub revision: i64,
    /// Whether it reported that it serves clients.
    pub ready: bool,
}

/// A log on disk, as far as its records can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Log {
    /// The number of segments.
    pub segments: u64,
    /// The last snapshot record: index and term.
    pub snapshot: Option<(u64, u64)>,
    /// The first entry.
    pub first: Option<u64>,
    /// The last entry: index and term.
    pub last: Option<(u64, u64)>,
    /// Raft's hard state: the term.
    pub term: u64,
    /// Raft's hard state: the id of the member that it voted for.
    pub vote: u64,
    /// Raft's hard state: the last saved commit index.
    pub commit: u64,
}

/// The content of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The last applied entry: index and term.
    pub applied: (u64, u64),
    /// The store's revision.
    pub revision: i64,
    /// The revision that it is compacted to.
    pub compacted: i64,
    /// The configuration: ids and names.
    pub members: Vec<(u64, String)>,
    /// How many keys there are.
    pub key_count: u64,
    /// The first of them.
    pub keys: Vec<KeyShown>,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyShown {
    /// The key, with unprintable bytes escaped.
    pub key: String,
    /// The value, shortened.
    pub value: String,
    /// Its revision.
    pub mod_revision: i64,
    /// Its version.
    pub version: i64,
}

/// Inspects the members with these names.
pub(super) fn inspect(
    world: &World,
    recorder: &Recorder,
    probes: &[Probed],
    names: &[String],
    ended: bool,
) -> Inspection {
    let open = recorder.open_requests();
    let members = names.iter().filter_map(|name| world.node(name).map(|node| (name, node)));
    let members = members.map(|(name, node)| MemberState {
        name: name.clone(),
        process: process(world.status(node)),
        life: world.incarnation(node),
        raft: reported_raft(probes, node, world.incarnation(node), world.status(node) == Status::Up),
        log: log(world, node),
        state: held(world, node),
        open_requests: open.iter().filter(|request| request.endpoint == *name).cloned().collect(),
        files: world.list_disk(node),
    });
    Inspection { at: world.now().0, ended, members: members.collect() }
}

fn process(status: Status) -> String {
    match status {
        Status::Off => "the machine has no power".to_owned(),
        Status::Down => "down".to_owned(),
        Status::Up => "up".to_owned(),
        Status::Paused => "paused".to_owned(),
        Status::Exited(None) => "exited".to_owned(),
        Status::Exited(Some(error)) => format!("exited: {error}"),
        Status::Panicked(message) => format!("panicked: {message}"),
    }
}

fn reported_raft(probes: &[Probed], node: NodeId, life: u32, is_up: bool) -> ReportedRaft {
    let mut raft = ReportedRaft::default();
    for probed in probes.iter().filter(|probed| probed.node == node && probed.incarnation == life) {
        match &probed.event {
            ProbeEvent::Role { term, role, leader } => {
                raft.role = role.name().to_owned();
                raft.term = term.0;
                raft.leader = leader.map(|leader| leader.0);
            }
            ProbeEvent::Applied { index, term, revision, .. } => {
                raft.applied = Some((index.0, term.0));
                raft.revision = revision.0;
            }
            ProbeEvent::Ready => raft.ready = is_up,
            _ => {}
        }
    }
    raft
}

fn log(world: &World, node: NodeId) -> Option<Log> {
    let dir = format!("{DATA_DIR}/member/wal/");
    let mut segments: Vec<String> = world
        .list_disk(node)
        .into_iter()
        .map(|file| file.path)
        .filter(|path| path.starts_with(&dir))
        .collect();
    // Their names sort in the log's order. Unfinished files are not part of the log.
    segments.retain(|path| path.ends_with(".wal"));
    segments.sort();
    let mut log = Log { segments: segments.len() as u64, ..Log::default() };
    let mut chain = None;
    for path in &segments {
        let content = world.look_at_file(node, std::path::Path::new(path))?;
        let mut value = chain.or_else(|| chain_at_start(&content))?;
        let mut offset = 0;
        while let Step::Record { record, next, chain: after } = decode(&content, offset, value) {
            log.record(record.kind, &record.payload);
            (offset, value) = (next, after);
        }
        chain = Some(value);
    }
    (log.segments > 0).then_some(log)
}

impl Log {
    fn record(&mut self, kind: Kind, payload: &[u8]) {
        let field = |number: u64| varint_field(payload, number).unwrap_or(0);
        match kind {
            Kind::Chain | Kind::Metadata => {}
            // The numbers of the fields in raft's eraftpb.proto.
            Kind::HardState => (self.term, self.vote, self.commit) = (field(1), field(2), field(3)),
            Kind::Entry => {
                let (term, index) = (field(2), field(3));
                if self.first.is_none_or(|first| index < first) {
                    self.first = Some(index);
                }
                self.last = Some((index, term));
            }
            Kind::Snapshot => {
                let (index, term) = (field(2), field(3));
                self.snapshot = Some((index, term));
                if self.last.is_none_or(|(last, _)| last <= index) {
                    (self.first, self.last) = (None, None);
                }
            }
        }
    }
}

/// The last value of a number field of a protobuf message.
fn varint_field(message: &[u8], wanted: u64) -> Option<u64> {
    let mut found = None;
    let mut at = 0;
    while at < message.len() {
        let key = varint(message, &mut at)?;
        match key & 7 {
            0 => {
                let value = varint(message, &mut at)?;
                if key >> 3 == wanted {
                    found = Some(value);
                }
            }
            1 => at += 8,
            2 => {
                let length = varint(message, &mut at)?;
                at = at.checked_add(usize::try_from(length).ok()?)?;
            }
            5 => at += 4,
            _ => return None,
        }
    }
    found
}

fn varint(message: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *message.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn held(world: &World, node: NodeId) -> Option<Held> {
    let rows = world.engine_rows(node)?;
    let state = State::restore(rows).ok()?;
    let everything =
        RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..RangeRequest::default() };
    let answer = state.range(&everything).ok()?;
    let show = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let keys = answer.kvs.iter().take(KEYS).map(|kv| KeyShown {
        key: show(&kv.key),
        value: cut(&show(&kv.value)),
        mod_revision: kv.mod_revision.0,
        version: kv.version,
    });
    let (index, term) = state.applied();
    Some(Held {
        applied: (index.0, term.0),
        revision: state.revision().0,
        compacted: state.compact_revision().0,
        members: state.membership().members().map(|member| (member.id.0, member.name.clone())).collect(),
        key_count: answer.kvs.len() as u64,
        keys: keys.collect(),
    })
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let at = seconds(self.at);
        let ended = if self.ended { "; the run had ended by then" } else { "" };
        writeln!(out, "at {at} of virtual time{ended}")?;
        for member in &self.members {
            write!(out, "\n{member}")?;
        }
        Ok(())
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        writeln!(out, "{}: {}, life {}", self.name, self.process, self.life)?;
        let raft = &self.raft;
        let role = if raft.role.is_empty() { "no role reported yet" } else { &raft.role };
        write!(out, "  raft        {role}, term {}", raft.term)?;
        if let Some(leader) = raft.leader {
            write!(out, ", follows {}", self.member_name(leader))?;
        }
        if let Some((index, term)) = raft.applied {
            write!(out, "; applied entry {index} of term {term}, revision {}", raft.revision)?;
        }
        writeln!(out, "{}", if raft.ready { "; serves clients" } else { "; does not serve clients yet" })?;
        match &self.log {
            Some(log) => writeln!(out, "  log         {log}")?,
            None => writeln!(out, "  log         none on disk")?,
        }
        match &self.state {
            Some(held) => {
                writeln!(
                    out,
                    "  engine      entry {} of term {}, revision {}, compacted to {}",
                    held.applied.0, held.applied.1, held.revision, held.compacted
                )?;
                let names: Vec<String> =
                    held.members.iter().map(|(id, name)| format!("{} ({id:x})", named(name))).collect();
                writeln!(out, "  members     {}", names.join(", "))?;
                writeln!(out, "  keys        {}", held.key_count)?;
                for key in &held.keys {
                    writeln!(
                        out,
                        "    {} = {} (mod {}, version {})",
                        key.key, key.value, key.mod_revision, key.version
                    )?;
                }
                if held.key_count > held.keys.len() as u64 {
                    writeln!(out, "    and {} more", held.key_count - held.keys.len() as u64)?;
                }
            }
            None => writeln!(out, "  engine      none on disk")?,
        }
        writeln!(out, "  requests    {} open", self.open_requests.len())?;
        for request in &self.open_requests {
            let OpenRequest { operation, client, called, what, .. } = request;
            writeln!(out, "    operation {operation} of client {client} since {}: {what}", seconds(*called))?;
        }
        writeln!(out, "  files")?;
        for file in &self.files {
            let unit = if file.engine { "rows" } else { "bytes" };
            let pending = match file.pending {
                0 => "durable".to_owned(),
                bytes => format!("{bytes} bytes not durable yet"),
            };
            let name = if file.name_is_durable { "" } else { ", its name not durable yet" };
            writeln!(out, "    {:<48} {:>9} {unit}, {pending}{name}", file.path, file.size)?;
        }
        Ok(())
    }
}

impl MemberState {
    fn member_name(&self, id: u64) -> String {
        let known = self.state.iter().flat_map(|held| &held.members).find(|(member, _)| *member == id);
        known.map_or_else(|| format!("{id:x}"), |(_, name)| named(name).to_owned())
    }
}

fn named(name: &str) -> &str {
    if name.is_empty() { "not started" } else { name }
}

impl fmt::Display for Log {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match (self.first, self.last) {
            (Some(first), Some((last, term))) => write!(out, "entries {first} to {last} (of term {term})")?,
            _ => write!(out, "no entries")?,
        }
        match self.snapshot {
            Some((index, term)) => write!(out, ", after a snapshot at {index} of term {term}")?,
            None => write!(out, ", no snapshot")?,
        }
        let plural = if self.segments == 1 { "" } else { "s" };
        write!(
            out,
            "; {} segment{plural}; hard state: term {}, commit {}",
            self.segments, self.term, self.commit
        )?;
        if self.vote != 0 {
            write!(out, ", voted for {:x}", self.vote)?;
        }
        Ok(())
    }
}

fn seconds(nanoseconds: u64) -> String {
    format_duration(At(nanoseconds).since_start())
}

#[cfg(test)]
mod tests {
    use super::varint_field;

    #[test]
    fn number_fields_are_found_between_others() {
        // Field 1: 150; field 2: "ab"; field 3: 5; field 1 again: 1.
        let message = [0x08, 0x96, 0x01, 0x12, 2, b'a', b'b', 0x18, 5, 0x08, 1];
        assert_eq!(varint_field(&message, 1), Some(1));
        assert_eq!(varint_field(&message, 3), Some(5));
        assert_eq!(varint_field(&message, 2), None);
        assert_eq!(varint_field(&message[..4], 3), None, "cut short");
        assert_eq!(varint_field(&[], 1), None);
    }
}
