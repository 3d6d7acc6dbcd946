//! `timeline.txt`: a run for a person to read. It lists faults, roles, breaks and hashes with their instants. Between
//! them it counts the outcomes of the clients' operations, so that an outage shows as many failures in one line.

use super::record::RunRecord;
use squall_checker::history::{AlertState, BreakKind, Event, Operation, Outcome, RaftLine, RunHistory};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The timeline of a run.
pub fn timeline(record: &RunRecord, history: &RunHistory) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}, seed {}: {}", record.scenario, record.seed, record.verdict.name());
    let _ = match &record.on {
        None => writeln!(text, "audit hash {}", record.audit_hash),
        Some(on) => writeln!(text, "on {on}: not deterministic, so without an audit hash"),
    };
    for what in &record.unchecked {
        let _ = writeln!(text, "not checked: {what}");
    }
    let _ = writeln!(text, "{}\n", record.build);
    let _ = writeln!(text, "{:>10}  {:<9} what", "time", "who");

    let mut lines: Vec<(u64, String, String)> = Vec::new();
    let mut roles: BTreeMap<String, String> = BTreeMap::new();
    for event in &history.events {
        if let Some(line) = describe(event, &mut roles) {
            lines.push(line);
        }
    }
    // Events of one instant stay in the order in which they were recorded.
    lines.sort_by_key(|(at, _, _)| *at);

    let mut operations: Vec<&Operation> = history.operations.iter().collect();
    operations.sort_by_key(|operation| operation.ret.unwrap_or(u64::MAX));
    let mut operations = operations.into_iter().peekable();
    for (at, who, what) in lines {
        let mut outcomes = Outcomes::default();
        while let Some(operation) = operations.next_if(|operation| operation.ret.is_some_and(|ret| ret <= at))
        {
            outcomes.add(operation);
        }
        outcomes.write(&mut text, at);
        entry(&mut text, at, &who, &what);
    }
    let mut rest = Outcomes::default();
    let open = operations.filter(|operation| {
        let ended = operation.ret.is_some();
        if ended {
            rest.add(operation);
        }
        !ended
    });
    let open = open.count();
    rest.write(&mut text, rest.last);
    if open > 0 {
        let _ = writeln!(text, "{:>10}  {:<9} {open} operations were open to the end", "", "clients");
    }

    text.push('\n');
    for failure in &record.failures {
        let _ = writeln!(text, "{}: {}", failure.checker, failure.guarantee);
        for line in failure.message.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    let _ = writeln!(
        text,
        "verdict: {}, {}",
        record.verdict.name(),
        if record.expected { "as expected" } else { "not as expected" }
    );
    let _ = writeln!(text, "reproduce: {}", record.reproduce);
    text
}

fn entry(text: &mut String, at: u64, who: &str, what: &str) {
    let mut parts = what.lines();
    let _ = writeln!(text, "{:>9.4}s  {who:<9} {}", at as f64 / 1e9, parts.next().unwrap_or_default());
    for part in parts {
        let _ = writeln!(text, "{:>10}  {:<9} {part}", "", "");
    }
}

/// An event's instant, subject and text; `None` for events that do not help a reader.
fn describe(event: &Event, roles: &mut BTreeMap<String, String>) -> Option<(u64, String, String)> {
    let world = |at: u64, what: String| Some((at, "world".to_string(), what));
    match event {
        Event::Meta(meta) => world(0, format!("begins with the members {}", meta.members.join(", "))),
        Event::Fault(fault) => {
            let target =
                if fault.target.is_empty() { "nobody in particular".into() } else { fault.target.clone() };
            let detail = if fault.detail.is_null() { String::new() } else { format!(" {}", fault.detail) };
            Some((fault.at, "FAULT".into(), format!("{} {target}{detail}", fault.action)))
        }
        Event::Heal(heal) if heal.action.is_empty() => {
            Some((heal.at, "HEAL".into(), "every fault ends".into()))
        }
        Event::Heal(heal) => Some((heal.at, "heal".into(), format!("{} {}", heal.action, heal.target))),
        Event::Outage(outage) => {
            let lasted = outage.to.saturating_sub(outage.from) as f64 / 1e9;
            world(outage.from, format!("no majority is up, for {lasted:.4}s"))
        }
        Event::Break(line) => {
            let why = match line.kind {
                BreakKind::Restore => "a snapshot is restored",
                BreakKind::ForceNewCluster => "a survivor becomes a new cluster",
            };
            Some((
                line.at,
                "BREAK".into(),
                format!("{why}: everything above revision {} is lost, as expected", line.revision.0),
            ))
        }
        Event::Hash(line) => Some((
            line.at,
            line.member.clone(),
            format!(
                "HashKV at revision {} (compacted {}): {:016x}",
                line.revision.0, line.compact_revision.0, line.hash
            ),
        )),
        Event::Raft(RaftLine::Role(change)) => {
            let before = roles.insert(change.member.clone(), change.role.clone());
            let what = match (before.as_deref(), change.role.as_str()) {
                (_, "leader") => format!("leads term {}", change.term),
                (_, "candidate") => format!("stands for term {}", change.term),
                (Some("leader"), _) => format!("leads no more (term {})", change.term),
                _ => return None,
            };
            Some((change.at, change.member.clone(), what))
        }
        Event::Life(line) => {
            Some((line.at, line.member.clone(), format!("starts its life {}", line.incarnation)))
        }
        Event::MemberView(line) => Some((
            line.at,
            line.member.clone(),
            format!(
                "says: cluster {:x}, members {:x?}, compacted to {}, at revision {}",
                line.cluster_id, line.members, line.compact_revision, line.revision
            ),
        )),
        Event::Failed(line) => {
            Some((line.at, line.member.clone(), format!("does not go on: {}", line.reason)))
        }
        Event::DiskReplaced(line) => {
            Some((line.at, line.member.clone(), "has an older image of its disk".to_owned()))
        }
        Event::Excused(line) => world(line.at, format!("nothing is judged from here on: {}", line.why)),
        Event::Alarm(line) => Some((
            line.ret,
            line.member.clone(),
            format!(
                "alarms, {}: {}",
                line.action,
                if line.answered { line.alarms.join(", ") } else { "no answer".into() }
            ),
        )),
        Event::Alert(line) => {
            let what = match line.state {
                AlertState::Pending => "is pending",
                AlertState::Firing => "FIRES",
                AlertState::Inactive => "is pending no more",
                AlertState::Resolved => "is resolved",
            };
            let value = if line.value.is_empty() { String::new() } else { format!(" ({})", line.value) };
            Some((line.at, "alert".into(), format!("{line} {what}{value}")))
        }
        Event::AlertBlind(line) => {
            Some((line.at, "alert".into(), format!("{} could not have fired: {}", line.alert, line.why)))
        }
        Event::Compared(line) if line.agrees() => None,
        Event::Compared(line) => world(line.at, format!("answers otherwise than etcd: {}", line.asked)),
        Event::Promotion(line) => world(line.at, format!("asks for the promotion of {:x}", line.id)),
        Event::Raft(RaftLine::Applied(_))
        | Event::Found(_)
        | Event::LogTerms(_)
        | Event::Configuration(_)
        | Event::Promised(_)
        | Event::MemberList(_)
        | Event::Reconfiguration(_)
        | Event::Hint(_)
        | Event::Compaction(_)
        | Event::WatchStart(_)
        | Event::Watch(_) => None,
        Event::Panic(panic) => Some((panic.at, panic.member.clone(), format!("PANIC {}", panic.message))),
        Event::Liveness(stuck) => world(stuck.at, format!("STUCK {}", stuck.stuck)),
        Event::End(end) => world(end.at, "ends".into()),
    }
}

/// The outcomes of the clients' operations in the time before an entry.
#[derive(Default)]
struct Outcomes {
    ok: u64,
    fail: u64,
    info: u64,
    last: u64,
    /// The error of the first operation that did not succeed.
    first: Option<String>,
}

impl Outcomes {
    fn add(&mut self, operation: &Operation) {
        self.last = self.last.max(operation.ret.unwrap_or(operation.call));
        match operation.outcome {
            Outcome::Ok => {
                self.ok += 1;
                return;
            }
            Outcome::Fail => self.fail += 1,
            Outcome::Info => self.info += 1,
        }
        if self.first.is_none() {
            let error = operation.error.as_ref();
            let what = error.map(|error| format!("{} {}", error.code, error.message)).unwrap_or_default();
            let what = if what.trim().is_empty() { "no answer".into() } else { what.trim().to_string() };
            self.first = Some(format!(
                "client {} {} at {}, called at {:.4}s: {what}",
                operation.client,
                operation.op.name(),
                operation.endpoint,
                operation.call as f64 / 1e9,
            ));
        }
    }

    fn write(&self, text: &mut String, at: u64) {
        if self.ok + self.fail + self.info == 0 {
            return;
        }
        let mut what = format!("{} ok", self.ok);
        if self.fail > 0 {
            let _ = write!(what, ", {} failed", self.fail);
        }
        if self.info > 0 {
            let _ = write!(what, ", {} ambiguous", self.info);
        }
        if let Some(first) = &self.first {
            let _ = write!(what, "\nfirst: {first}");
        }
        entry(text, at.min(self.last), "clients", &what);
    }
}
