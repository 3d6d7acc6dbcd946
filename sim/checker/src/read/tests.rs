//! The readers: what they accept, and their errors for everything else.

use super::*;
use crate::model::Outcome;
use crate::model::cas_register::RegisterOutput;

fn read(format: Format, text: &[u8]) -> Result<ForeignHistory, String> {
    let limits = ReadLimits { line_bytes: 200, operations: 10 };
    ForeignHistory::read(format, text, "f", &limits).map_err(|error| error.to_string())
}

#[test]
fn a_log_is_read_with_tabs_or_spaces_and_other_lines_are_passed_over() {
    let log = b"INFO  jepsen.util - 0\t:invoke\t:write\t3\n\
        WARN  jepsen.core - Process 7 crashed\n\
        2014-11-02 INFO  jepsen.util - 1   :invoke :cas    [3 4]\n\
        INFO  jepsen.util - :nemesis :info :start nil\n\
        INFO  jepsen.util - 0\t:ok\t:write\t3\n\
        INFO  jepsen.util - 1\t:fail\t:cas\t[3 4]\n\
        INFO  jepsen.util - 2\t:invoke\t:read\tnil\n\
        INFO  jepsen.util - 2\t:fail\t:read\t:timed-out\n\
        INFO  jepsen.util - 3\t:invoke\t:write\t1\n\
        INFO  jepsen.util - 3\t:info\t:write\t:timed-out\n";
    let foreign = read(Format::JepsenLog, log).unwrap();
    let history = foreign.register(NilRead::Value).unwrap();
    let outcomes: Vec<_> = history.operations().iter().map(|op| op.outcome.clone()).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Ok(RegisterOutput::Written),
            Outcome::Ok(RegisterOutput::Cas(false)),
            Outcome::Fail,
            Outcome::Info
        ]
    );
    let instants: Vec<_> = history.operations().iter().map(|op| (op.call, op.ret)).collect();
    assert_eq!(instants, [(0, Some(3)), (1, Some(4)), (5, Some(6)), (7, Some(8))]);
    assert_eq!((foreign.call_line(1), foreign.return_line(1)), (3, Some(6)));
}

#[test]
fn bad_files_are_refused_with_file_line_and_what_was_expected() {
    let log = |text: &str| format!("INFO jepsen.util - {text}\n");
    let long = log(&"9".repeat(300));
    let table: Vec<(Format, Vec<u8>, &str)> = vec![
        (Format::JepsenLog, log("0 :invoke :read").into(), "f:1: 3 values: expected `PROCESS :invoke"),
        (Format::JepsenLog, log("0 :invoked :read nil").into(), "f:1: unknown type `:invoked`"),
        (Format::JepsenLog, log("x :invoke :read nil").into(), "f:1: the process is `x`: expected `PROCESS"),
        (Format::JepsenLog, log("0 :ok :read nil").into(), "f:1: process 0 completes `:read` and has no operation open"),
        (Format::JepsenLog, b"INFO jepsen.util - 0 :invoke :write 1".into(), "f:1: the file ends in the middle"),
        (Format::JepsenLog, b"hello\n".into(), "f:1: no operation in this log: expected lines with `PROCESS"),
        (Format::JepsenLog, long.into(), "f:1: the line is longer than 200 bytes"),
        (Format::JepsenLog, b"\nINFO \xff\n".into(), "f:2: the line is not UTF-8 from its byte 5 on"),
        (
            Format::JepsenLog,
            [log("0 :invoke :read nil"), log("0 :invoke :read nil")].concat().into(),
            "f:2: process 0 has two operations open: the other since line 1",
        ),
        (
            Format::JepsenLog,
            [log("0 :invoke :read nil"), log("0 :ok :write 1")].concat().into(),
            "f:2: process 0 completes `:write`, but the operation it has open is `:read` of line 1",
        ),
        (Format::Edn, b"[{:process 0, :type :invoke, :f :read}".into(), "f:1: column 1: the file ends before the list"),
        (Format::Edn, b"[{:process 0, :type :inv".into(), "f:1: the file ends in the middle of a value"),
        (Format::Edn, b"{:process 0 :f :read}".into(), "f:1: column 1: expected a map with `:process :type :f :value`, found none with `:type`"),
        (Format::Edn, b"\n 7".into(), "f:2: column 2: expected a map with `:process :type :f :value`, found an integer"),
        (Format::Edn, b"{:process 0 :type :done :f :read}".into(), "f:1: column 1: unknown type `:done`"),
        (Format::Edn, b"]".into(), "f:1: column 1: a closing bracket that nothing opened"),
        (Format::Edn, b"{:process 0 :type :invoke :f \"\xff\"}".into(), "f:1: the line is not UTF-8"),
        (
            Format::PorcupineKv,
            b"{:process 0, :type :invoke, :f :get, :key \"a\", :value nil}\n{:process 0, :type :ok, :f :get, :key \"b\"}".into(),
            "f:2: process 0 completes `:get` of key \"b\", but the operation it has open is `:get` of key \"a\" of line 1",
        ),
    ];
    for (format, text, expected) in table {
        let error = read(format, &text).err().unwrap_or_else(|| panic!("{expected}: was read"));
        assert!(error.starts_with(expected), "{error}\nis not: {expected}");
    }
}

#[test]
fn too_many_operations_and_a_value_without_end_are_refused() {
    let many: String =
        (0..11).map(|p| format!("{{:process {p} :type :invoke :f :read :value nil}}\n")).collect();
    assert_eq!(read(Format::Edn, many.as_bytes()).err().as_deref(), Some("f:11: more than 10 operations"));
    // A line of a gigabyte, made up as it is read: nothing of it is kept.
    let endless = std::io::Read::take(std::io::repeat(b'x'), 1 << 30);
    let endless = std::io::BufReader::new(std::io::Read::chain(&b"{:process \""[..], endless));
    let limits = ReadLimits { line_bytes: 1 << 20, operations: 10 };
    let error = ForeignHistory::read(Format::Edn, endless, "f", &limits).err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("f:1: a value is longer than 1048576 bytes"));
}

#[test]
fn an_operation_that_the_model_does_not_have_is_refused_with_its_line() {
    type Convert = fn(&ForeignHistory) -> Option<String>;
    let table: [(&str, Convert, &str); 6] = [
        (
            ":f :inc :value 1",
            |h| h.register(NilRead::Value).err().map(|e| e.to_string()),
            "f:1: unknown function `:inc`: expected :read, :write or :cas",
        ),
        (
            ":f :write :value [1 2 3]",
            |h| h.register(NilRead::Value).err().map(|e| e.to_string()),
            "f:1: expected a scalar value, found a list or vector: a register's values are scalars, `[key scalar]` with \
             independent keys in every operation, or `[version scalar]` with versions in every operation",
        ),
        (
            ":f :cas :value [1]",
            |h| h.register(NilRead::Value).err().map(|e| e.to_string()),
            "f:1: expected `[from to]`, found 1 values",
        ),
        (
            ":f :lock",
            |h| h.mutex().err().map(|e| e.to_string()),
            "f:1: unknown function `:lock`: expected :acquire or :release",
        ),
        (
            ":f :txn :value [[:inc :x 1]]",
            |h| h.multi_register(NilRead::Value).err().map(|e| e.to_string()),
            "f:1: unknown micro-operation `:inc`: expected :read or :write",
        ),
        (":f :get", |h| h.kv_append("").err().map(|e| e.to_string()), "f:1: expected a `:key`"),
    ];
    for (text, convert, expected) in table {
        let foreign = read(Format::Edn, format!("{{:process 0 :type :invoke {text}}}").as_bytes()).unwrap();
        assert_eq!(convert(&foreign).as_deref(), Some(expected));
    }
}

#[test]
fn a_log_of_any_year_is_one_of_the_same_events() {
    let events = ["0 :invoke :write 3", "1 :invoke :cas [3 4]", "0 :ok :write 3", "1 :fail :cas [3 4]"];
    type Form = (fn(&str) -> String, bool);
    let forms: [Form; 7] = [
        (|event| format!("INFO  jepsen.util - {event}"), true),
        (
            |event| {
                format!(
                    "2014-11-02 INFO  jepsen.util - {}",
                    event.replace(' ', "\t").replace("[3\t4]", "[3 4]")
                )
            },
            true,
        ),
        (|event| format!("INFO [2020-06-02 15:33:01,001] jepsen worker 0 - jepsen.util {event}"), false),
        (
            |event| format!("2021-02-26 23:39:01,300{{GMT}}\tINFO\t[jepsen worker 1] jepsen.util: {event}"),
            false,
        ),
        (
            |event| {
                format!(
                    "15:33:01.001 [jepsen worker 0] INFO  jepsen.util -   {event}   :timed-out (unbalanced \""
                )
            },
            false,
        ),
        (|event| event.replace(' ', "\t").replace("[3\t4]", "[3 4]"), false),
        (
            |event| {
                let words: Vec<&str> = event.splitn(4, ' ').collect();
                format!(
                    "2026-01-02 03:04:05,678{{UTC}}\tINFO\t[jepsen worker 3] jepsen.util: {{:process {}, :type {}, :f {}, :value {}, :time 7}}",
                    words[0], words[1], words[2], words[3]
                )
            },
            false,
        ),
    ];
    for (form, first_form) in forms {
        let mut text = String::from(
            "INFO [2020-06-02 15:32:44,077] main - jepsen.cli CLI options:\n {:a 1, :process 0, :type :invoke}\n\
             2021-02-26 23:39:01,300{GMT}\tWARN\t[main] jepsen.core: Oh jepsen.util dear\n\
             2021-02-26 23:39:01,300{GMT}\tINFO\t[main] jepsen.util: Relative time begins now\n\
             java.lang.Exception: no\n\tat jepsen.util$foo.invoke(util.clj:3)\n",
        );
        for event in events {
            text += &form(event);
            text.push('\n');
        }
        text += "INFO  jepsen.util - :nemesis\t:info\t:start\tnil\n:nemesis\t:info\t:stop\tnil\n";
        let limits = ReadLimits { line_bytes: 400, operations: 10 };
        let log = ForeignHistory::read(Format::JepsenLog, text.as_bytes(), "f", &limits).unwrap();
        let history = log.register(NilRead::Value).unwrap();
        let cas = if first_form { Outcome::Ok(RegisterOutput::Cas(false)) } else { Outcome::Fail };
        let outcomes: Vec<_> = history.operations().iter().map(|op| op.outcome.clone()).collect();
        assert_eq!(outcomes, [Outcome::Ok(RegisterOutput::Written), cas], "{text}");
        assert_eq!(recognise(text.as_bytes()), Some(Format::JepsenLog), "{text}");
        assert_eq!(recognise(form(events[0]).as_bytes()), Some(Format::JepsenLog));
    }
}

#[test]
fn a_process_may_go_on_after_an_info_and_may_have_a_name() {
    let text = b"{:process a :type :invoke :f :write :value 1} {:process b :type :invoke :f :write :value 2}
        {:process a :type :info :f :write :value 1} {:process a :type :invoke :f :read}
        {:process a :type :ok :f :read :value 1} {:process :nemesis-2 :type :info :f :kill}
        {:process \"7\" :type :invoke :f :read :value nil}";
    let history = read(Format::Edn, text).unwrap().register(NilRead::Value).unwrap();
    let clients: Vec<u64> = history.operations().iter().map(|op| op.client.0).collect();
    assert_eq!(clients, [1_000_000_000, 1_000_000_001, 1_000_000_000, 7]);
    assert_eq!(history.operations()[0].outcome, Outcome::Info);
    assert_eq!(history.operations()[2].outcome, Outcome::Ok(RegisterOutput::Read(Some(1))));
}

#[test]
fn scalars_that_differ_differ_and_those_that_are_equal_are_equal() {
    let scalars = [
        "1",
        "-1",
        "1.5",
        "nil",
        "true",
        "false",
        "\"1\"",
        "\"nil\"",
        ":a",
        "a",
        "\"a\"",
        "\\a",
        "1/2",
        ":b/a",
        "##NaN",
        "99999999999999999999",
        "-9223372036854775808",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "1M",
        "\"\"",
    ];
    let mut text = String::new();
    for (process, scalar) in scalars.iter().enumerate() {
        text += &format!("{{:process {process} :type :invoke :f :write :value {scalar}}}\n");
    }
    let limits = ReadLimits::default();
    let history = ForeignHistory::read(Format::Edn, text.as_bytes(), "f", &limits).unwrap();
    let values: std::collections::BTreeSet<String> = history
        .register(NilRead::Value)
        .unwrap()
        .operations()
        .iter()
        .map(|op| format!("{:?}", op.input))
        .collect();
    assert_eq!(values.len(), scalars.len(), "{values:?}");
    for (left, right) in [
        ("1.50", "1.5"),
        ("1e3", "1000.0"),
        ("+7", "7"),
        ("7N", "7"),
        ("100000000000000000000N", "+0100000000000000000000"),
        ("\"\\u00e9\"", "\"\u{e9}\""),
        ("\"\\ud83d\\ude00\"", "\"\u{1f600}\""),
    ] {
        let text = format!(
            "{{:process 0 :type :invoke :f :cas :value [{left} {right}]}} {{:process 1 :type :invoke :f :write :value :x}}"
        );
        let history = ForeignHistory::read(Format::Edn, text.as_bytes(), "f", &limits).unwrap();
        let history = history.register(NilRead::Value).unwrap();
        let crate::model::cas_register::RegisterInput::Cas { from, to } = &history.operations()[0].input
        else {
            panic!()
        };
        assert_eq!(from, to, "{left} {right}");
    }
}

#[test]
fn formats_are_recognised_by_their_keys() {
    let squall = Some(Format::Squall);
    let etcd = Some(Format::EtcdOperations);
    let elle = Some(Format::ElleJson);
    let edn = Some(Format::Edn);
    let table = [
        ("{\"meta\":{\"format\":1}}\n", squall),
        ("{\"id\":1,\"client\":3}\n", squall),
        (
            "{\"hint\":{\"at\":1}}\n",
            if crate::history::Event::KINDS.contains(&"hint") { squall } else { None },
        ),
        ("{\"ClientId\":1,\"Input\":{}}\n", etcd),
        ("{\n  \"Call\": 7,\n  \"Input\": {\n \"Type\": \"range\"", etcd),
        ("[\n {\"ClientId\":1}]", etcd),
        ("\u{feff}[{\"Metadata\":{\"type\":1},\"ClientId\":1}]", etcd),
        ("[{\"type\":\"invoke\",\"f\":\"write\"", elle),
        ("{\"index\":0,\"value\":[[\"r\",1,null]],\"type\":\"ok\"}", elle),
        ("[\n  {\n    \"process\": 0,\n    \"type\": \"invoke\"", elle),
        ("{\"name\":\"x\",\"inner\":{\"type\":\"ok\",\"f\":1,\"ClientId\":1}}", None),
        ("{\"Request\":{\"Key\":\"\"},\"Responses\":[]}", None),
        ("INFO  jepsen.util - 3\t:invoke\t:read\tnil\n", Some(Format::JepsenLog)),
        ("INFO  jepsen.core - hello\nINFO  jepsen.util - 3\t:invoke\t:read\tnil\n", Some(Format::JepsenLog)),
        (
            "2021-02-26 23:39:01,300{GMT}\tINFO\t[main] jepsen.cli: Test options\n{:a 1\n :b 2}\n",
            Some(Format::JepsenLog),
        ),
        ("3\t:invoke\t:read\tnil\n", Some(Format::JepsenLog)),
        ("{:process 0, :type :invoke, :f :get, :key \"1\", :value nil}\n", Some(Format::PorcupineKv)),
        ("[{:process 0,\n :key \"1\"\n, :type :invoke, :f :get, :value nil}\n", Some(Format::PorcupineKv)),
        ("{:process 0, :type :invoke, :f :read, :value nil}\n", edn),
        ("#jepsen.history.Op{:index 0, :time 1, :type :invoke, :process 0}", edn),
        ("[#knossos.op.Op{:index 0, :type :invoke}]", edn),
        ("#:op{:index 0, :type :invoke}", edn),
        ("{:error \"INFO jepsen.util\", :type :invoke}", edn),
        ("\n; a comment\n[{:type :invoke,\n", edn),
        ("({:type :invoke\n", edn),
        ("[]", edn),
        ("{:valid? true, :count 3}", None),
        ("{:name \"a test\", :nodes [n1 n2]}", None),
        ("", None),
        ("hello", None),
        ("<html>", None),
        ("# A title\n", None),
        ("#!/bin/sh\n", None),
        ("[section]\nkey = 1\n", None),
        ("[1, 2]", None),
        ("#_ nothing {:process 0}", edn),
        ("{}", None),
        ("JEPSEN\0\0", None),
    ];
    for (text, expected) in table {
        assert_eq!(recognise(text.as_bytes()), expected, "{text}");
    }
    for (text, told) in [
        ("JEPSEN\0\0", "binary form"),
        ("{\"Request\":{\"Key\":\"\"},\"Responses\":[]}", "watches"),
        ("{:valid? true, :count 3}", "results"),
    ] {
        assert!(recognise_other(text.as_bytes()).unwrap().contains(told), "{text}");
    }
}
