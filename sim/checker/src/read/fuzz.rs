//! Every reader on damaged files: none may panic, whatever the bytes.
//!
//! Inputs are made from small good files by flipping, cutting, doubling and splicing, and with words of the formats
//! thrown in. What is still readable goes on into the models, the search with a small budget, and the core; a history of
//! etcd's into every checker, the core and the picture.
//! `SQUALL_FUZZ_INPUTS` says how many inputs for each reader; the default suits `cargo test`. Progress is printed, so that
//! one can stop a long run and still know how many inputs there were.

use super::{ForeignHistory, Format, NilRead, RECOGNISE_BYTES, etcd_operations, recognise};
use crate::checks;
use crate::history::{ReadLimits, RunHistory, jsonl};
use crate::model::{
    CasRegister, ConcurrentHistory, KvAppend, ListAppend, Model, MultiRegister, Mutex, PerKey, Register,
    VersionedRegister,
};
use crate::picture;
use crate::revision::{self, Budgets, Dialect};
use crate::search::sample::Chance;
use crate::search::{Budget, Options, Verdict, check, minimize};
use crate::transactions;

const LOG: &[u8] =
    b"INFO  jepsen.util - 0\t:invoke\t:write\t3\nINFO  jepsen.util - 1\t:invoke\t:cas\t[3 4]\n\
    INFO  jepsen.util - 0\t:ok\t:write\t3\nINFO  jepsen.util - 1\t:fail\t:cas\t[3 4]\n\
    INFO  jepsen.util - 2\t:invoke\t:read\tnil\nINFO  jepsen.util - 2\t:ok\t:read\t3\n\
    INFO  jepsen.util - 3\t:invoke\t:write\t1\nINFO  jepsen.util - 3\t:info\t:write\t:timed-out\n";
const EDN: &[u8] = b"; note\n[{:process 0, :type :invoke, :f :write, :value 3}\n {:process 1 :type :invoke :f :cas :value [3 4]}\n\
    {:process 0, :type :ok, :f :write, :value 3, :error \"a\\n\\u00e9\"} #_ gone {:type :info :process :nemesis}\n\
    {:process 1 :type :fail :f :cas :value [3 4]} {:process 2 :type :invoke :f :txn :value [[:read :x nil] [:write :y 2]]}\n\
    {:process 2 :type :ok :f :txn :value [[:read :x 1] [:write :y 2]]} {:process 3 :type :invoke :f :acquire}]";
const LATER_LOG: &[u8] = b"2021-02-26 23:39:01,300{GMT}\tINFO\t[main] jepsen.cli: Test {\n :a 1}\n\
    2021-02-26 23:39:01,300{GMT}\tINFO\t[jepsen worker 1] jepsen.util: 1\t:invoke\t:write\t[0 [nil 2]]\n\
    2021-02-26 23:39:01,303{GMT}\tINFO\t[jepsen worker 1] jepsen.util: 1\t:ok\t:write\t[0 [1 2]]\n\
    INFO [2020-06-02 15:33:01,001] jepsen worker 0 - jepsen.util 0\t:invoke\t:read\t[0 [nil nil]]\n\
    0\t:ok\t:read\t[0 [1 2]]\t[:timeout \"x\"]\n\
    INFO  jepsen.util - {:process 4, :type :invoke, :f :cas, :value [0 [nil [2 3]]], :time 9}\n";
const TXNS: &[u8] = b"#jepsen.history.Op{:index 0 :process 1 :type :invoke :value [[:append 253 1] [:r 255 nil]]}\n\
    {:index 1 :process 1 :type :ok :value [[:append 253 1] [:r 255 []]]}\n\
    {:process 2 :type :invoke :f :txn :value [[:r 253] [:r x]]} {:process 2 :type :ok :f :txn :value [[:r 253 [1]] [:r x nil]]}\n\
    {:process 3 :type :invoke :f :txn :value [[:append \"a\" :k] [:append \"a\" 1.5]]}\n";
const ELLE: &[u8] = b"[{\"type\":\"invoke\",\"f\":\"txn\",\"value\":[[\"w\",\"x\",2],[\"r\",\"y\",null]],\"process\":0,\"index\":1},\n\
    {\"type\":\"ok\",\"f\":\"txn\",\"value\":[[\"w\",\"x\",2],[\"r\",\"y\",null]],\"process\":0},\n\
    {\"type\":\"info\",\"f\":\"start\",\"process\":\"nemesis\"}]\n\
    {\n \"process\": 1,\n \"type\": \"invoke\",\n \"f\": \"txn\",\n \"value\": [[\"r\", \"x\", null]]}\n\
    {\"process\":1,\"type\":\"ok\",\"f\":\"txn\",\"value\":[[\"r\",\"x\",true]]}\n";
const KV: &[u8] = b"{:process 0, :type :invoke, :f :append, :key \"0\", :value \"x 0 0 y\"}\n\
    {:process 1, :type :invoke, :f :get, :key \"0\", :value nil}\n{:process 0, :type :ok, :f :append, :key \"0\", :value \"x 0 0 y\"}\n\
    {:process 1, :type :ok, :f :get, :key \"0\", :value \"x 0 0 y\"}\n";
const OURS: &[u8] = b"{\"meta\":{\"format\":1,\"scenario\":\"s\",\"seed\":7}}\n\
    {\"id\":1,\"client\":3,\"endpoint\":\"n1\",\"call\":1000,\"return\":2500,\"op\":{\"put\":{\"key\":\"a\",\"value\":\"1\"}},\"outcome\":\"ok\",\"header\":{\"cluster_id\":9,\"member_id\":1,\"revision\":2,\"raft_term\":2},\"result\":{\"put\":{}}}\n\
    {\"id\":2,\"client\":4,\"call\":2600,\"return\":null,\"op\":{\"delete_range\":{\"key\":\"a\",\"range_end\":\"b\"}},\"outcome\":\"info\"}\n\
    {\"id\":3,\"client\":3,\"call\":2600,\"return\":2700,\"op\":{\"lease_grant\":{\"id\":7,\"ttl\":1}},\"outcome\":\"ok\",\"header\":{\"cluster_id\":9,\"member_id\":1,\"revision\":2,\"raft_term\":2},\"result\":{\"lease_grant\":{\"id\":7,\"ttl\":1}}}\n\
    {\"fault\":{\"at\":3000,\"action\":\"crash\",\"target\":\"n1\"}}\n{\"break\":{\"kind\":\"restore\",\"revision\":2,\"at\":3100}}\n\
    {\"watch\":{\"at\":3500,\"client\":9,\"watch_id\":0,\"revision\":3,\"events\":[{\"type\":\"delete\",\"kv\":{\"key\":\"a\",\"value\":\"\",\"mod_revision\":3}}]}}\n\
    {\"id\":5,\"client\":3,\"call\":4000,\"return\":4500,\"op\":{\"range\":{\"key\":\"a\",\"revision\":2}},\"outcome\":\"ok\",\"header\":{\"cluster_id\":9,\"member_id\":1,\"revision\":3,\"raft_term\":2},\"result\":{\"range\":{\"kvs\":[{\"key\":\"a\",\"value\":\"1\",\"create_revision\":2,\"mod_revision\":2,\"version\":1}],\"count\":1}},\"final\":true}\n\
    {\"end\":{\"at\":9000}}\n";
const ETCD: &[u8] = b"{\"ClientId\":1,\"Input\":{\"Type\":\"range\",\"Range\":{\"Start\":\"key\",\"End\":\"kez\"}},\"Call\":1,\"Output\":{\"Range\":{\"KVs\":[],\"Count\":0},\"Revision\":1},\"Return\":2}\n\
    {\"ClientId\":3,\"Input\":{\"Type\":\"txn\",\"Txn\":{\"Conditions\":[],\"OperationsOnSuccess\":[{\"Type\":\"put-operation\",\"Put\":{\"Key\":\"key01\",\"Value\":{\"Value\":\"1\"}}}],\"OperationsOnFailure\":[]}},\"Call\":7497,\"Output\":{\"Txn\":{\"Failure\":false,\"Results\":[{\"KVs\":null,\"Count\":0,\"Deleted\":0}]},\"Revision\":2},\"Return\":68940}\n";
const WORDS: [&[u8]; 39] = [
    b":ok",
    b":info",
    b":fail",
    b":invoke",
    b":read",
    b":cas",
    b"nil",
    b"[",
    b"]",
    b"{",
    b"}",
    b"#{",
    b"#_",
    b"\"",
    b"\\",
    b"\n",
    b"-1",
    b"99999999999999999999",
    b"0",
    b":process",
    b"1.5e9",
    b"\xff",
    b"\xc3",
    b"null",
    b",",
    b";",
    b":key \"k\"",
    b"INFO  jepsen.util - ",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551615",
    b"[nil nil]",
    b"[[:r :x nil]]",
    b"[:append :x 1]",
    b"\"value\":",
    b"\"KeysOnly\":true,",
    b"\"Novel\":1,",
    b"jepsen.util: 0 ",
    b"##NaN ^{:a 1} \\u0041",
];

fn damaged(chance: &mut Chance, good: &[u8]) -> Vec<u8> {
    let mut text = good.to_vec();
    for _ in 0..chance.below(8) {
        let at = chance.below(text.len() as u64 + 1) as usize;
        let end = (at + chance.below(40) as usize).min(text.len());
        match chance.below(7) {
            0 if at < text.len() => text[at] ^= 1 << chance.below(8),
            1 => drop(text.drain(at..end)),
            2 => {
                let copy = text[at..end].to_vec();
                let to = chance.below(text.len() as u64 + 1) as usize;
                text.splice(to..to, copy);
            }
            3 => text.truncate(at),
            4 => {
                let other = [LOG, EDN, KV, OURS, ETCD][chance.below(5) as usize];
                let from = chance.below(other.len() as u64) as usize;
                let piece = &other[from..(from + 60).min(other.len())];
                text.splice(at..at, piece.iter().copied());
            }
            _ => {
                let word = WORDS[chance.below(WORDS.len() as u64) as usize];
                text.splice(at..at, word.iter().copied());
            }
        }
    }
    text
}

fn judge<M: Model>(model: &M, history: &ConcurrentHistory<M::Input, M::Output>) {
    let budget = Budget { steps: 500, ..Budget::default() };
    if let Verdict::Illegal(violation) = check(model, history, &Options { budget, threads: 1 }) {
        minimize(model, history, &violation, &budget);
    }
}

/// Everything that a history of etcd's goes through. True, for what was judged could be read.
fn judge_run(history: &RunHistory, dialect: Dialect) -> bool {
    let budgets = Budgets { steps: 2_000, explain_checks: 10, ..Budgets::default() };
    if dialect == Dialect::Etcd {
        checks::judge_run(history, &budgets);
    }
    let picture = match revision::check(history, dialect, &budgets) {
        revision::Verdict::Valid(valid) => picture::of_etcd_witness(history, dialect, &valid.witness),
        revision::Verdict::Invalid(violation) => {
            violation.text(&history.operations);
            picture::of_etcd_violation(history, "invalid", &violation)
        }
        revision::Verdict::Unknown(unknown) => {
            picture::of_etcd_violation(history, "unknown", &unknown.frontier)
        }
    };
    picture.html("f", &mut std::io::sink()).expect("a sink takes anything");
    true
}

/// Whether the text could be read.
fn try_read(format: Format, text: &[u8]) -> bool {
    let limits = ReadLimits { line_bytes: 2000, operations: 50 };
    recognise(&text[..text.len().min(RECOGNISE_BYTES)]);
    let foreign = match format {
        Format::Squall => {
            let history = jsonl::read(text, "f", &limits);
            return history.is_ok_and(|history| judge_run(&history, Dialect::Etcd));
        }
        Format::EtcdOperations => {
            let history = etcd_operations::read(text, "f", &limits);
            return history.is_ok_and(|history| judge_run(&history, Dialect::Robustness));
        }
        format => match ForeignHistory::read(format, text, "f", &limits) {
            Ok(foreign) => foreign,
            Err(error) => {
                assert!(error.line > 0, "an error has a place: {error}");
                return false;
            }
        },
    };
    let _ = (foreign.nils(), foreign.transactions(), foreign.functions());
    for nil in [NilRead::Value, NilRead::Unknown] {
        if let Ok(history) = foreign.register(nil) {
            judge(&CasRegister::default(), &history);
            judge(&Register::default(), &history);
        }
        if let Ok(history) = foreign.keyed_register(nil) {
            judge(&PerKey(CasRegister::default()), &history);
        }
        if let Ok(history) = foreign.versioned_register(nil) {
            judge(&PerKey(VersionedRegister::default()), &history);
        }
        if let Ok(history) = foreign.multi_register(nil) {
            judge(&MultiRegister::default(), &history);
            let _ = transactions::registers(&MultiRegister::default(), &history);
        }
        if let Ok(history) = foreign.list_append(nil) {
            judge(&ListAppend::default(), &history);
            let _ = transactions::lists(&history);
        }
    }
    if let Ok(history) = foreign.kv_append("") {
        judge(&KvAppend::default(), &history);
    }
    if let Ok(history) = foreign.mutex() {
        judge(&Mutex::default(), &history);
    }
    true
}

fn fuzz(format: Format, good: &[u8]) {
    let inputs: u64 = match std::env::var("SQUALL_FUZZ_INPUTS") {
        Ok(count) => count.parse().expect("SQUALL_FUZZ_INPUTS is a number"),
        Err(_) => 20_000,
    };
    assert!(try_read(format, good), "the file to start from is good");
    let mut readable = 0u64;
    for number in 0..inputs {
        let mut chance = Chance((format as u64) << 56 | (good.len() as u64) << 40 | number);
        let text = damaged(&mut chance, good);
        readable += u64::from(try_read(format, &text));
        if (number + 1).is_multiple_of(1_000_000) {
            eprintln!("{format}: {} inputs, {readable} of them readable", number + 1);
        }
    }
    assert!(
        readable > inputs / 100 && readable < inputs,
        "{readable} of {inputs} readable: the damage is of no use"
    );
}

#[test]
fn jepsen_log_survives_any_bytes() {
    fuzz(Format::JepsenLog, LOG);
}

#[test]
fn later_jepsen_logs_survive_any_bytes() {
    fuzz(Format::JepsenLog, LATER_LOG);
}

#[test]
fn transactions_survive_any_bytes() {
    fuzz(Format::Edn, TXNS);
}

#[test]
fn elle_json_survives_any_bytes() {
    fuzz(Format::ElleJson, ELLE);
}

#[test]
fn indented_etcd_operations_survive_any_bytes() {
    let values: Vec<serde_json::Value> =
        ETCD.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    fuzz(Format::EtcdOperations, serde_json::to_string_pretty(&values).unwrap().as_bytes());
}

#[test]
fn edn_survives_any_bytes() {
    fuzz(Format::Edn, EDN);
}

#[test]
fn porcupine_kv_survives_any_bytes() {
    fuzz(Format::PorcupineKv, KV);
}

#[test]
fn squall_jsonl_survives_any_bytes() {
    fuzz(Format::Squall, OURS);
}

#[test]
fn etcd_operations_survive_any_bytes() {
    fuzz(Format::EtcdOperations, ETCD);
}
