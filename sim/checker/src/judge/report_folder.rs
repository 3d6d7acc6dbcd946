//! Reading a report of etcd's robustness tests, be it a folder or a file, and judging it whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use super::etcd;
use super::options::CheckOptions;
use super::report::{Explanation, FileReport, Judged};
use crate::history::{
    Bytes, Event, Hint, Op, OpId, Operation, Outcome, RequestOp, RunHistory, WatchEventKind, WatchLine,
};
use crate::read::etcd_operations::{Report, Unknown};
use crate::read::etcd_watch;

/// How many unknown options are named one by one.
const TOLD: usize = 3;

/// Judges the report that `parts` make up, each a name and a reader. What `watches` received serves as hints: it shows
/// which write made a revision if no answer does. A verdict of `valid` is verified in any case, and any other verdict is
/// reached without the hints. So wrong or missing hints change no verdict.
///
/// # Errors
/// The first record that is not as it should be.
pub(super) fn judge<R: BufRead>(
    parts: impl IntoIterator<Item = Result<(String, R), String>>,
    watches: impl IntoIterator<Item = Result<(String, R), String>>,
    name: &str,
    options: &CheckOptions,
    report: &mut FileReport,
) -> Result<(), String> {
    let mut whole = Report::default();
    for part in parts {
        let (name, reader) = part?;
        whole.read(reader, &name, &options.limits).map_err(|error| error.to_string())?;
    }
    if whole.history.operations.is_empty() {
        return Err(format!("{name}: no operation in this report: expected some"));
    }
    report.assumptions.push("the store began empty, at revision 1".to_owned());
    match whole.place_compactions() {
        0 => {}
        1 => report.assumptions.push("the compaction took effect at the first revision that fits".to_owned()),
        count => {
            report
                .assumptions
                .push(format!("the {count} compactions took effect at the first revisions that fit"));
        }
    }
    report.assumptions.extend(lines_of(&whole.unknown));
    let mut hints = std::mem::take(&mut whole.hints);
    for watch in watches {
        let read = watch.and_then(|(name, reader)| {
            etcd_watch::read(reader, &name, &options.limits).map_err(|error| error.to_string())
        });
        match read {
            Ok(lines) => hints.extend(lines),
            Err(error) => report.assumptions.push(format!("a file of watches is passed over: {error}")),
        }
    }
    // A hint beyond the last revision of all answers does not help. A wrong one would only cost time.
    let most = whole.history.operations.iter().filter_map(Operation::revision).max().unwrap_or_default().0;
    for line in &mut hints {
        line.events.retain(|event| (2..=most).contains(&event.kv.mod_revision.0));
        line.revision = line.events.iter().map(|event| event.kv.mod_revision).max().unwrap_or_default();
    }
    hints.retain(|line| !line.events.is_empty());
    if !hints.is_empty() {
        let mut hinted = whole.history.clone();
        hinted.events.extend(makers(&whole.history, &hints).into_iter().map(Event::Hint));
        hinted.events.extend(hints.into_iter().map(Event::Watch));
        let begun = report.clone();
        etcd::robustness(&hinted, options, report);
        if report.verdict == Judged::Valid {
            return Ok(());
        }
        *report = begun;
    }
    etcd::robustness(&whole.history, options, report);
    if report.verdict == Judged::Invalid
        && let Some(unknown) = whole.unknown.iter().find(|unknown| unknown.write)
    {
        withdraw(report, unknown);
    }
    Ok(())
}

/// Which operation made each revision, as far as answers and watches show: the place of a revision is its number. Of
/// ambiguous operations that wrote the same value to the same key the one that was called first is taken first.
fn makers(history: &RunHistory, watches: &[WatchLine]) -> Vec<Hint> {
    let mut makers: BTreeMap<i64, OpId> = BTreeMap::new();
    /// A key, and the value that was written; none for a delete.
    type Write<'a> = (&'a Bytes, Option<&'a Bytes>);
    let mut ambiguous: BTreeMap<Write<'_>, Vec<(u64, OpId)>> = BTreeMap::new();
    for operation in &history.operations {
        if let Some(revision) = operation.revision().filter(|_| operation.made_revision()) {
            makers.entry(revision.0).or_insert(operation.id);
        }
        let Op::Txn(txn) = &operation.op else { continue };
        for part in txn.success.iter().chain(&txn.failure).filter(|_| operation.outcome == Outcome::Info) {
            let written = match part {
                RequestOp::Put(put) => (&put.key, Some(&put.value)),
                RequestOp::DeleteRange(delete) => (&delete.key, None),
                RequestOp::Range(_) | RequestOp::Txn(_) => continue,
            };
            ambiguous.entry(written).or_default().push((operation.call, operation.id));
        }
    }
    // Taken from the end.
    ambiguous.values_mut().for_each(|all| all.sort_unstable_by(|left, right| right.cmp(left)));
    let mut used: BTreeSet<OpId> = BTreeSet::new();
    let mut events: Vec<_> = watches.iter().flat_map(|line| &line.events).collect();
    events.sort_by_key(|event| event.kv.mod_revision);
    for event in events {
        if makers.contains_key(&event.kv.mod_revision.0) {
            continue;
        }
        let value = (event.kind == WatchEventKind::Put).then_some(&event.kv.value);
        let Some(candidates) = ambiguous.get_mut(&(&event.kv.key, value)) else { continue };
        while let Some((_, candidate)) = candidates.pop() {
            if used.insert(candidate) {
                makers.insert(event.kv.mod_revision.0, candidate);
                break;
            }
        }
    }
    let hint =
        |(revision, op)| Hint { index: u64::try_from(revision).unwrap_or_default(), op, ..Hint::default() };
    makers.into_iter().map(hint).collect()
}

/// Withdraws an accusation if an unknown option may have changed what it rests on.
fn withdraw(report: &mut FileReport, unknown: &Unknown) {
    let found = report.failures.drain(..).next().map(|failure| failure.message).unwrap_or_default();
    let rule = format!(
        "{}:{}: the option {} of a write is not known, so nobody can say what it changed",
        unknown.file, unknown.line, unknown.field
    );
    let text = format!("Unknown: {rule}. Without the option the history would be invalid: {found}\n");
    report.verdict = Judged::Unknown;
    report.explanation = Some(Explanation { rule, text, ..report.explanation.take().unwrap_or_default() });
}

fn lines_of(unknown: &[Unknown]) -> Vec<String> {
    let mut told: Vec<String> = unknown
        .iter()
        .take(TOLD)
        .map(|unknown| {
            format!(
                "operation {} may have happened or not: its option {} is not known ({}:{})",
                unknown.operation, unknown.field, unknown.file, unknown.line
            )
        })
        .collect();
    if unknown.len() > TOLD {
        told.push(format!("so may those with {} more unknown options", unknown.len() - TOLD));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::ReadLimits;

    #[test]
    fn watches_and_answers_tell_who_made_which_revision() {
        let put = |client: u64, value: &str, call: u64, output: &str| {
            format!(
                r#"{{"ClientId":{client},"Input":{{"Type":"txn","Txn":{{"OperationsOnSuccess":[{{"Type":"put-operation","Put":{{"Key":"a","Value":{{"Value":"{value}"}}}}}}]}}}},"Call":{call},"Output":{output},"Return":90}}"#
            )
        };
        let text = [
            put(1, "1", 5, r#"{"Error":"EOF"}"#),
            put(2, "1", 4, r#"{"Error":"EOF"}"#),
            put(3, "2", 6, r#"{"Txn":{"Results":[{}]},"Revision":4}"#),
            put(4, "9", 7, r#"{"Persisted":true,"PersistedRevision":5}"#),
        ]
        .concat();
        let mut report = Report::default();
        report.read(text.as_bytes(), "f", &ReadLimits::default()).unwrap();
        assert_eq!(report.hints.len(), 1);
        let watch = r#"{"Events":[{"Type":"put","Key":"a","Value":{"Value":"1"},"Revision":3},{"Type":"put","Key":"a","Value":{"Value":"1"},"Revision":2},{"Type":"put","Key":"a","Value":{"Value":"7"},"Revision":4},{"Type":"put","Key":"z","Value":{"Value":"7"},"Revision":6}]}"#;
        let mut hints = std::mem::take(&mut report.hints);
        hints.extend(etcd_watch::read(watch.as_bytes(), "w", &ReadLimits::default()).unwrap());
        let made: Vec<(u64, u64)> =
            makers(&report.history, &hints).into_iter().map(|hint| (hint.index, hint.op.0)).collect();
        assert_eq!(made, [(2, 1), (3, 0), (4, 2), (5, 3)]);
    }

    /// A compaction that was answered took effect between its call and its return, though its answer tells no revision.
    #[test]
    fn an_answered_compaction_is_a_fact() {
        let line = |client: u64, input: &str, (call, ret): (u64, u64), output: &str| {
            format!(
                r#"{{"ClientId":{client},"Input":{input},"Call":{call},"Output":{output},"Return":{ret}}}"#
            ) + "\n"
        };
        let put = |client, value: &str, times, revision: i64| {
            let put =
                format!(r#"{{"Type":"put-operation","Put":{{"Key":"a","Value":{{"Value":"{value}"}}}}}}"#);
            let input = format!(r#"{{"Type":"txn","Txn":{{"OperationsOnSuccess":[{put}]}}}}"#);
            line(client, &input, times, &format!(r#"{{"Txn":{{"Results":[{{}}]}},"Revision":{revision}}}"#))
        };
        let compact = |client, revision: i64, times, output: &str| {
            line(
                client,
                &format!(r#"{{"Type":"compact","Compact":{{"Revision":{revision}}}}}"#),
                times,
                output,
            )
        };
        let ok = r#"{"Compact":{},"Revision":-1}"#;
        let compacted = r#"{"ClientError":"etcdserver: mvcc: required revision has been compacted"}"#;
        // What `a` was at revision 2, while the store was at 3.
        let past = |client, times, output: &str| {
            line(client, r#"{"Type":"range","Range":{"Start":"a","Revision":2}}"#, times, output)
        };
        let found = r#"{"Range":{"KVs":[{"Key":"a","Value":{"Value":"1"},"ModRevision":2,"Version":1}],"Count":1},"Revision":3}"#;
        let puts = [put(1, "1", (10, 20), 2), put(1, "2", (30, 40), 3)].concat();
        let (valid, invalid) = (Judged::Valid, Judged::Invalid);
        let rows = [
            ("of what is there", compact(2, 3, (50, 55), ok), valid),
            ("of a revision to come", compact(2, 3, (21, 29), ok), invalid),
            ("of a revision that may have come", compact(2, 3, (21, 31), ok), valid),
            ("of a revision that never comes", compact(2, 9, (50, 55), ok), invalid),
            ("twice", compact(2, 2, (50, 55), ok) + &compact(2, 2, (60, 65), ok), invalid),
            ("twice at once", compact(2, 2, (50, 55), ok) + &compact(3, 2, (50, 55), ok), invalid),
            ("twice, once refused", compact(2, 2, (50, 55), ok) + &compact(2, 2, (60, 65), compacted), valid),
            ("once, refused", compact(2, 2, (60, 65), compacted), invalid),
            ("back", compact(2, 3, (50, 55), ok) + &compact(2, 2, (60, 65), ok), invalid),
            ("back and forth at once", compact(2, 3, (50, 65), ok) + &compact(3, 2, (60, 75), ok), valid),
            ("read afterwards", compact(2, 3, (50, 55), ok) + &past(2, (60, 70), found), invalid),
            ("read meanwhile", compact(2, 3, (50, 65), ok) + &past(3, (60, 70), found), valid),
            ("refused afterwards", compact(2, 3, (50, 55), ok) + &past(2, (60, 70), compacted), valid),
            ("refused before", past(2, (45, 47), compacted) + &compact(2, 3, (50, 55), ok), invalid),
            ("given up", compact(2, 9, (50, 55), r#"{"Error":"EOF"}"#) + &past(2, (60, 70), found), valid),
            ("without a return", compact(2, 3, (50, 0), ok) + &past(3, (60, 70), found), valid),
        ];
        for (what, text, verdict) in rows {
            let parts = [puts.clone(), text];
            let parts = parts.iter().map(|text| Ok(("f".to_owned(), text.as_bytes())));
            let mut report = FileReport::begun("f".into(), crate::read::Format::EtcdOperations);
            judge(parts, [], "f", &CheckOptions::default(), &mut report).unwrap();
            assert_eq!(report.verdict, verdict, "{what}: {:?}", report.explanation);
        }
    }
}
