//! The runner of the scripts in `tests/scripts`, and the list of them.
//!
//! Commands, with optional parts in brackets (a key and its value are one argument, `a=1`):
//!
//! ```text
//! put KEY=VALUE [lease=N] [prev] [ignore_value] [ignore_lease]
//! del KEY [end=KEY|from|prefix] [prev]
//! get KEY [end=KEY|from|prefix] [rev=N] [limit=N] [order=ascend|descend] [by=version|create|mod|value]
//!         [min_mod=N] [max_mod=N] [min_create=N] [max_create=N] [keys_only] [count_only]
//! txn "COMPARE & ... ? OP; OP : OP"       a transaction; OP is put, del, get as above or [nested transaction]
//! read "..."                              the same, evaluated without an entry
//! grant LEASE ttl=N                       revoke LEASE; checkpoint LEASE=N...; leases
//! watch KEY [end=KEY|from|prefix] rev=N   what a watcher is told that begins at a revision
//! alarm get|raise|drop [nospace|corrupt] [MEMBER]
//! defrag                                  give back what the rows don't need
//! compact REVISION                        step LIMIT: a step of the compaction; finish: all of them
//! hash [REVISION]
//! empty [term=N]                          an entry without a command; a new leader's first, if the term is new
//! member add|remove|promote|publish|list ...
//! flush | crash [lose=N]                  make all batches durable; lose the last N pending ones (all), and replay
//! new-cluster PEER_URL...                 begin a new cluster from this data
//! show                                    the state in numbers
//! rows [PREFIX]                           the durable content
//! ```
//!
//! COMPARE is `mod(KEY) = 3`, with version, create, mod, value or lease, one of `= != < >`, and `KEY..END`, `KEY..` for an
//! interval. The tag `[events]` shows a command's events, `[batch]` its engine writes. Every command is followed by the
//! harness's checks.

use std::fmt::Write as _;

use bytes::Bytes;
use squall_core::*;

use crate::{
    golden::{Args, Result, scripts},
    harness::{Entry, Member},
};

scripts! { SCRIPT_DIR, run:
    alarms
    allocated_falls_by_defragmentation_alone
    applied_index_advances_over_refusals
    compact_boundaries
    compact_crash_between_steps
    compact_forgets_tombstones
    compact_in_steps
    compact_keeps_tombstone_at_its_revision
    compact_latest_delete_then_crash_keeps_revision
    compact_twice_before_any_step
    delete_ranges
    get_at_old_revisions
    get_filters
    get_limit_and_count
    get_ranges
    get_sorted
    hash_ignores_compaction_progress
    hash_is_etcds
    lease_grant_and_revoke
    lease_keys
    lease_must_exist
    lease_rows
    membership_changes
    membership_ids_never_return
    membership_learners
    new_cluster_from_old_data
    put_ignore_value
    put_versions_and_lives
    refusals_of_malformed_requests
    rows_layout
    txn_branches_and_revisions
    txn_compare_intervals
    txn_compare_targets
    txn_compare_unknown
    txn_decides_before_it_writes
    txn_duplicate_keys
    txn_keep_after_delete_from
    txn_nested
    txn_never_half_applied
    txn_put_and_delete_from
    txn_read_only
    watch_history
}

const SCRIPT_DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");

fn run(name: &str) {
    goldenscript::run(&mut Runner::default(), format!("{SCRIPT_DIR}/{name}")).expect("the script runs");
}

#[derive(Default)]
struct Runner {
    member: Member,
}

impl goldenscript::Runner for Runner {
    fn run(&mut self, command: &goldenscript::Command) -> Result<String> {
        let mut args = Args::of(command);
        let mut out = String::new();
        match command.name.as_str() {
            "put" => {
                let put = parse_put(&mut args)?;
                self.apply(Entry::Command(Command::Put(put)), command, &mut out)?;
            }
            "del" => {
                let delete = parse_delete(&mut args)?;
                self.apply(Entry::Command(Command::DeleteRange(delete)), command, &mut out)?;
            }
            "txn" => {
                let txn = parse_txn(&args.word()?)?;
                self.apply(Entry::Command(Command::Txn(txn)), command, &mut out)?;
            }
            "compact" => {
                let request =
                    CompactionRequest { revision: Revision(args.word()?.parse()?), physical: false };
                self.apply(Entry::Command(Command::Compact(request)), command, &mut out)?;
            }
            "grant" => {
                let id = LeaseId(args.word()?.parse()?);
                let ttl_secs = args.parse_or("ttl", 60)?;
                self.apply(Entry::Command(Command::LeaseGrant { id, ttl_secs }), command, &mut out)?;
            }
            "revoke" => {
                let id = LeaseId(args.word()?.parse()?);
                self.apply(Entry::Command(Command::LeaseRevoke(id)), command, &mut out)?;
            }
            "checkpoint" => {
                let left = std::mem::take(&mut args.pairs).into_iter().map(|(id, secs)| {
                    Ok(LeaseCheckpoint { id: LeaseId(id.parse()?), remaining_secs: secs.parse()? })
                });
                let left = left.collect::<Result<_>>()?;
                self.apply(Entry::Command(Command::LeaseCheckpoint(left)), command, &mut out)?;
            }
            "leases" => {
                for (id, lease) in self.member.state.leases().iter() {
                    let keys: Vec<_> = lease.keys.iter().map(|key| key.escape_ascii().to_string()).collect();
                    let Lease { ttl_secs, remaining_secs, .. } = lease;
                    writeln!(out, "{id}: {ttl_secs} s, {remaining_secs} s left, keys {keys:?}")?;
                }
            }
            "watch" => {
                let key = args.word()?;
                let end = parse_end(&mut args, &key);
                let from = Revision(args.parse_or("rev", 0)?);
                let interval = Interval::of(key.as_bytes(), &end);
                let wanted = |candidate: &[u8]| interval.contains(key.as_bytes(), candidate);
                show_result(
                    &mut out,
                    self.member.state.history(from, usize::MAX, wanted),
                    |out, history| history.events.iter().try_for_each(|event| show_event(out, event)),
                )?;
            }
            "empty" => {
                self.member.term = Term(args.parse_or("term", self.member.term.0)?);
                self.apply(Entry::Empty, command, &mut out)?;
            }
            "member" => self.member_command(command, &mut args, &mut out)?,
            "get" => {
                let request = parse_get(&mut args)?;
                show_result(&mut out, self.member.state.range(&request), show_range)?;
            }
            "read" => {
                let txn = parse_txn(&args.word()?)?;
                show_result(&mut out, self.member.state.txn_read(&txn), |out, response| {
                    show_txn(out, response)
                })?;
            }
            "hash" => {
                let revision = if args.words.is_empty() { 0 } else { args.word()?.parse()? };
                show_result(&mut out, self.member.state.hash_kv(Revision(revision)), |out, hash| {
                    let HashKv { hash, compact_revision, hash_revision, revision } = hash;
                    writeln!(
                        out,
                        "{hash}, up to {hash_revision}, compacted {compact_revision}, at {revision}"
                    )
                })?;
            }
            "step" => match self.member.step(args.word()?.parse()?) {
                None => out.push_str("nothing to do\n"),
                Some(step) => {
                    show_batch(&mut out, &step.batch)?;
                    writeln!(out, "{}", if step.finished { "finished" } else { "more to do" })?;
                }
            },
            "finish" => while self.member.step(1000).is_some() {},
            "alarm" => {
                let action = args.word()?;
                let kind = match args.words.front().map(String::as_str) {
                    Some("nospace") => Some(AlarmKind::NoSpace),
                    Some("corrupt") => Some(AlarmKind::Corrupt),
                    _ => None,
                };
                let mut rest = args.rest().into_iter().skip(usize::from(kind.is_some()));
                let member = MemberId(rest.next().map_or(Ok(1), |id| id.parse())?);
                let request = match action.as_str() {
                    "get" => AlarmRequest::Get(kind),
                    "raise" => AlarmRequest::Activate(member, kind),
                    "drop" => AlarmRequest::Deactivate(member, kind),
                    other => return Err(format!("no such alarm command: {other}").into()),
                };
                self.apply(Entry::Command(Command::Alarm(request)), command, &mut out)?;
            }
            "defrag" => self.member.defragment(),
            "flush" => self.member.flush(),
            "crash" => {
                let pending = self.member.pending();
                let lose = args.parse_or("lose", pending)?;
                let before = self.member.state.clone();
                self.member.crash(pending - lose);
                let after = &self.member.state;
                assert_eq!(after.applied(), before.applied(), "the log was not replayed to its end");
                assert_eq!(after.digest(), before.digest(), "the replay came out differently");
                assert_eq!(after.content(), before.content(), "the replay came out differently");
            }
            "new-cluster" => {
                let urls = args.rest();
                let members = urls.into_iter().map(|url| squall_core::Member::new(vec![url], "new", None));
                let rows: Vec<_> = self.member.state.rows().collect();
                let state = State::restore(rows)?.into_new_cluster(members);
                self.member = Member::starting_from(state);
            }
            "show" => {
                let state = &self.member.state;
                let (index, term) = state.applied();
                writeln!(out, "revision {}, compacted {}", state.revision(), state.compact_revision())?;
                writeln!(
                    out,
                    "applied index {index}, term {term}; {} bytes of {}",
                    state.in_use_bytes(),
                    state.allocated_bytes()
                )?;
            }
            "rows" => {
                let prefix = args.rest().concat();
                for (key, value) in
                    self.member.state.rows().filter(|row| row.0.starts_with(prefix.as_bytes()))
                {
                    writeln!(out, "{}", row_text(&key, &value))?;
                }
            }
            other => return Err(format!("no such command: {other}").into()),
        }
        args.reject_rest()?;
        self.member.check();
        Ok(out)
    }
}

impl Runner {
    fn apply(&mut self, entry: Entry, command: &goldenscript::Command, out: &mut String) -> Result<()> {
        let applied = self.member.apply(entry);
        show_result(out, applied.reply, |out, reply| match reply {
            Reply::Put(response) => show_put(out, response),
            Reply::DeleteRange(response) => show_delete(out, response),
            Reply::Txn(response) => show_txn(out, response),
            Reply::Compact(response) => writeln!(out, "at {}", response.revision),
            Reply::Members(members) => members.iter().try_for_each(|member| show_member(out, member)),
            Reply::Done => writeln!(out, "done"),
            Reply::LeaseGrant { id, ttl_secs, revision } => {
                writeln!(out, "lease {id} for {ttl_secs} s, at {revision}")
            }
            Reply::LeaseRevoke(revision) => writeln!(out, "revoked, at {revision}"),
            Reply::Alarms(alarms) if alarms.is_empty() => writeln!(out, "no alarms"),
            Reply::Alarms(alarms) => {
                alarms.iter().try_for_each(|alarm| writeln!(out, "{} on {}", alarm.kind.name(), alarm.member))
            }
            Reply::Auth(reply) => writeln!(out, "{reply:?}"),
        })?;
        if command.tags.contains("events") {
            applied.events.iter().try_for_each(|event| show_event(out, event))?;
        }
        if command.tags.contains("batch") {
            show_batch(out, &applied.batch)?;
        }
        Ok(())
    }

    fn member_command(
        &mut self,
        command: &goldenscript::Command,
        args: &mut Args,
        out: &mut String,
    ) -> Result<()> {
        let id = |text: String| u64::from_str_radix(&text, 16).map(MemberId);
        match args.word()?.as_str() {
            // member add [id=HEX] [learner] PEER_URL...
            "add" => {
                let given = args.value("id").map(id).transpose()?;
                let is_learner = args.flag("learner");
                let mut member = squall_core::Member::new(args.rest(), "token", None);
                member.is_learner = is_learner;
                member.id = given.unwrap_or(member.id);
                self.apply(Entry::Membership(MembershipChange::Add(member)), command, out)
            }
            // member remove HEX
            "remove" => {
                let id = id(args.word()?)?;
                self.apply(Entry::Membership(MembershipChange::Remove(id)), command, out)
            }
            // member promote HEX
            "promote" => {
                let id = id(args.word()?)?;
                self.apply(Entry::Membership(MembershipChange::Promote(id)), command, out)
            }
            // member update HEX PEER_URL...
            "update" => {
                let id = id(args.word()?)?;
                let change = MembershipChange::Update { id, peer_urls: args.rest() };
                self.apply(Entry::Membership(change), command, out)
            }
            // member publish HEX NAME CLIENT_URL...
            "publish" => {
                let (id, name) = (id(args.word()?)?, args.word()?);
                let publish = Command::Publish(Attributes { id, name, client_urls: args.rest() });
                self.apply(Entry::Command(publish), command, out)
            }
            "list" => {
                let membership = self.member.state.membership();
                for member in membership.members() {
                    show_member(out, member)?;
                }
                for id in membership.removed() {
                    writeln!(out, "{id} removed")?;
                }
                Ok(())
            }
            // member ready [promote|HEX]: to add a voter, to promote a learner, or to remove that one
            "ready" => {
                let membership = self.member.state.membership();
                let ready = match args.words.is_empty() {
                    true => membership.ready_to_add(),
                    false if args.flag("promote") => membership.ready_to_promote(),
                    false => membership.ready_to_remove(id(args.word()?)?),
                };
                show_result(out, ready, |out, ()| writeln!(out, "ready"))
            }
            other => Err(format!("no such member command: {other}").into()),
        }
    }
}

// --- parsing ------------------------------------------------------------------------------------------------------

impl Args {
    /// Whether a word is there that switches something on.
    fn flag(&mut self, name: &str) -> bool {
        self.words.iter().position(|word| word == name).map(|at| self.words.remove(at)).is_some()
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// The interval's end, from `end=KEY`, `from` or `prefix`.
fn parse_end(args: &mut Args, key: &str) -> Bytes {
    if let Some(end) = args.value("end") {
        return bytes(&end);
    }
    if args.flag("from") {
        return Bytes::from_static(&[0]);
    }
    if args.flag("prefix") {
        let mut end = key.as_bytes().to_vec();
        *end.last_mut().expect("a prefix") += 1;
        return end.into();
    }
    Bytes::new()
}

fn parse_put(args: &mut Args) -> Result<PutRequest> {
    let lease = LeaseId(args.parse_or("lease", 0)?);
    let prev_kv = args.flag("prev");
    let ignore_value = args.flag("ignore_value");
    let ignore_lease = args.flag("ignore_lease");
    let (key, value) = args.pairs.pop().ok_or("no KEY=VALUE")?;
    Ok(PutRequest { key: bytes(&key), value: bytes(&value), lease, prev_kv, ignore_value, ignore_lease })
}

fn parse_delete(args: &mut Args) -> Result<DeleteRangeRequest> {
    let key = args.word()?;
    let range_end = parse_end(args, &key);
    Ok(DeleteRangeRequest { key: bytes(&key), range_end, prev_kv: args.flag("prev") })
}

fn parse_get(args: &mut Args) -> Result<RangeRequest> {
    let key = args.word()?;
    let range_end = parse_end(args, &key);
    Ok(RangeRequest {
        key: bytes(&key),
        range_end,
        limit: args.parse_or("limit", 0)?,
        revision: Revision(args.parse_or("rev", 0)?),
        sort_order: match args.value("order").as_deref() {
            None => SortOrder::None,
            Some("ascend") => SortOrder::Ascend,
            Some("descend") => SortOrder::Descend,
            Some(other) => return Err(format!("no such order: {other}").into()),
        },
        sort_target: match args.value("by").as_deref() {
            None => SortTarget::Key,
            Some("version") => SortTarget::Version,
            Some("create") => SortTarget::Create,
            Some("mod") => SortTarget::Mod,
            Some("value") => SortTarget::Value,
            Some(other) => return Err(format!("no such sort target: {other}").into()),
        },
        serializable: args.flag("serializable"),
        keys_only: args.flag("keys_only"),
        count_only: args.flag("count_only"),
        min_mod_revision: Revision(args.parse_or("min_mod", 0)?),
        max_mod_revision: Revision(args.parse_or("max_mod", 0)?),
        min_create_revision: Revision(args.parse_or("min_create", 0)?),
        max_create_revision: Revision(args.parse_or("max_create", 0)?),
    })
}

/// `COMPARE & COMPARE ? OP; OP : OP; OP`; without `?`, the operations alone.
fn parse_txn(text: &str) -> Result<TxnRequest> {
    let (guard, branches) = match &split(text, '?')[..] {
        [ops] => ("", *ops),
        [guard, branches] => (*guard, *branches),
        _ => return Err("more than one `?`".into()),
    };
    let (success, failure) = match &split(branches, ':')[..] {
        [success] => (*success, ""),
        [success, failure] => (*success, *failure),
        _ => return Err("more than one `:`".into()),
    };
    fn list<T>(text: &str, separator: char, parse: fn(&str) -> Result<T>) -> Result<Vec<T>> {
        if text.is_empty() { Ok(Vec::new()) } else { split(text, separator).into_iter().map(parse).collect() }
    }
    Ok(TxnRequest {
        compare: list(guard, '&', parse_compare)?,
        success: list(success, ';', parse_op)?,
        failure: list(failure, ';', parse_op)?,
    })
}

/// Split at a separator outside all brackets, and trim.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut depth = 0;
    let parts = text.split(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        depth == 0 && c == separator
    });
    parts.map(str::trim).collect()
}

fn parse_op(text: &str) -> Result<RequestOp> {
    if let Some(nested) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return Ok(RequestOp::Txn(parse_txn(nested)?));
    }
    let (name, rest) =
        text.split_once(' ').ok_or_else(|| format!("an operation without arguments: {text:?}"))?;
    let mut args = Args::new(rest.split_whitespace().map(|word| match word.split_once('=') {
        Some((name, value)) => (Some(name.to_string()), value.to_string()),
        None => (None, word.to_string()),
    }));
    let op = match name {
        "put" => RequestOp::Put(parse_put(&mut args)?),
        "del" => RequestOp::DeleteRange(parse_delete(&mut args)?),
        "get" => RequestOp::Range(parse_get(&mut args)?),
        other => return Err(format!("no such operation: {other}").into()),
    };
    args.reject_rest()?;
    Ok(op)
}

fn parse_compare(text: &str) -> Result<Compare> {
    let error = || format!("not a compare: {text:?}");
    let (target, rest) = text.split_once('(').ok_or_else(error)?;
    let (keys, rest) = rest.split_once(')').ok_or_else(error)?;
    let (key, range_end) = match keys.split_once("..") {
        None => (keys, Bytes::new()),
        Some((key, "")) => (key, Bytes::from_static(&[0])),
        Some((key, end)) => (key, bytes(end)),
    };
    let (relation, constant) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
    let result = match relation {
        "=" => CompareResult::Equal,
        "!=" => CompareResult::NotEqual,
        "<" => CompareResult::Less,
        ">" => CompareResult::Greater,
        "~" => CompareResult::Unknown,
        _ => return Err(error().into()),
    };
    let target = match target {
        "version" => CompareTarget::Version(constant.parse()?),
        "create" => CompareTarget::Create(Revision(constant.parse()?)),
        "mod" => CompareTarget::Mod(Revision(constant.parse()?)),
        "lease" => CompareTarget::Lease(LeaseId(constant.parse()?)),
        "value" => CompareTarget::Value(bytes(constant)),
        "unknown" => CompareTarget::Unknown,
        _ => return Err(error().into()),
    };
    Ok(Compare { result, target, key: bytes(key), range_end })
}

// --- printing -----------------------------------------------------------------------------------------------------

fn show_result<T>(
    out: &mut String,
    result: std::result::Result<T, Refusal>,
    show: impl FnOnce(&mut String, &T) -> std::fmt::Result,
) -> Result<()> {
    match result {
        Ok(value) => show(out, &value)?,
        Err(refusal) => writeln!(out, "{:?}: {refusal}", refusal.code())?,
    }
    Ok(())
}

fn show_event(out: &mut String, Event { kind, kv, prev_kv }: &Event) -> std::fmt::Result {
    let kind = if *kind == EventKind::Put { "put" } else { "delete" };
    let prev = prev_kv.as_ref().map_or("nothing".into(), kv_text);
    writeln!(out, "event: {kind} {}, was {prev}", kv_text(kv))
}

fn show_put(out: &mut String, response: &PutResponse) -> std::fmt::Result {
    write!(out, "put at {}", response.revision)?;
    match &response.prev_kv {
        Some(kv) => writeln!(out, ", was {}", kv_text(kv)),
        None => writeln!(out),
    }
}

fn show_delete(out: &mut String, response: &DeleteRangeResponse) -> std::fmt::Result {
    writeln!(out, "deleted {} at {}", response.deleted, response.revision)?;
    response.prev_kvs.iter().try_for_each(|kv| writeln!(out, "  was {}", kv_text(kv)))
}

fn show_range(out: &mut String, response: &RangeResponse) -> std::fmt::Result {
    let more = if response.more { ", and more" } else { "" };
    writeln!(out, "{} of {}{more}, at {}", response.kvs.len(), response.count, response.revision)?;
    response.kvs.iter().try_for_each(|kv| writeln!(out, "  {}", kv_text(kv)))
}

fn show_txn(out: &mut String, response: &TxnResponse) -> std::fmt::Result {
    let branch = if response.succeeded { "success" } else { "failure" };
    writeln!(out, "{branch}, at {}", response.revision)?;
    for response in &response.responses {
        let mut inner = String::new();
        match response {
            ResponseOp::Range(response) => show_range(&mut inner, response)?,
            ResponseOp::Put(response) => show_put(&mut inner, response)?,
            ResponseOp::DeleteRange(response) => show_delete(&mut inner, response)?,
            ResponseOp::Txn(response) => show_txn(&mut inner, response)?,
        }
        inner.lines().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    Ok(())
}

fn show_member(out: &mut String, member: &squall_core::Member) -> std::fmt::Result {
    let name = if member.is_started() { &member.name } else { "(not started)" };
    let learner = if member.is_learner { " learner" } else { "" };
    writeln!(
        out,
        "{} {name}{learner} peers {:?} clients {:?}",
        member.id, member.peer_urls, member.client_urls
    )
}

fn show_batch(out: &mut String, batch: &Batch) -> std::fmt::Result {
    batch.ops().iter().try_for_each(|op| match op {
        BatchOp::Put { key, value } => writeln!(out, "row: {}", row_text(key, value)),
        BatchOp::Delete { key } => writeln!(out, "row: {} removed", key.escape_ascii()),
    })
}

fn row_text(key: &Bytes, value: &Bytes) -> String {
    if key.as_ref() == b"mapplied" {
        // Without the digest, which may change with the toolchain.
        return format!("mapplied -> {} and a digest", value[..17].escape_ascii());
    }
    format!("{} -> {}", key.escape_ascii(), value.escape_ascii())
}

fn kv_text(kv: &KeyValue) -> String {
    let KeyValue { key, value, create_revision, mod_revision, version, lease } = kv;
    let (key, value) = (key.escape_ascii(), value.escape_ascii());
    let lease = if *lease == LeaseId::NONE { String::new() } else { format!(", lease {lease}") };
    format!("{key}={value} (create {create_revision}, mod {mod_revision}, version {version}{lease})")
}
