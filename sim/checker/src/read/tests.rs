//! The readers: what they take, and what they say of what they do not.

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
    let history = foreign.register().unwrap();
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
        (Format::JepsenLog, log("0 :invoke :read").into(), "f:1: 3 values: expected `INFO jepsen.util"),
        (Format::JepsenLog, log("0 :invoked :read nil").into(), "f:1: unknown type `:invoked`"),
        (Format::JepsenLog, log("x :invoke :read nil").into(), "f:1: the process is a symbol"),
        (Format::JepsenLog, log("0 :ok :read nil").into(), "f:1: process 0 completes `:read` and has no operation open"),
        (Format::JepsenLog, b"INFO jepsen.util - 0 :invoke :write 1".into(), "f:1: the file ends in the middle"),
        (Format::JepsenLog, b"hello\n".into(), "f:1: column 1: expected `INFO jepsen.util"),
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
        (
            Format::JepsenLog,
            [log("0 :invoke :write 1"), log("0 :info :write :timed-out"), log("0 :invoke :read nil")].concat().into(),
            "f:3: process 0 comes back after an `:info`: expected a new process",
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
            |h| h.register().err().map(|e| e.to_string()),
            "f:1: unknown function `:inc`: expected :read, :write or :cas",
        ),
        (
            ":f :write :value \"a\"",
            |h| h.register().err().map(|e| e.to_string()),
            "f:1: expected an integer or nil, found a string",
        ),
        (
            ":f :cas :value [1]",
            |h| h.register().err().map(|e| e.to_string()),
            "f:1: expected `[from to]`, found 1 values",
        ),
        (
            ":f :lock",
            |h| h.mutex().err().map(|e| e.to_string()),
            "f:1: unknown function `:lock`: expected :acquire or :release",
        ),
        (
            ":f :txn :value [[:inc :x 1]]",
            |h| h.multi_register().err().map(|e| e.to_string()),
            "f:1: unknown micro-operation `:inc`: expected :read or :write",
        ),
        (":f :get", |h| h.kv_append().err().map(|e| e.to_string()), "f:1: expected a `:key`"),
    ];
    for (text, convert, expected) in table {
        let foreign = read(Format::Edn, format!("{{:process 0 :type :invoke {text}}}").as_bytes()).unwrap();
        assert_eq!(convert(&foreign).as_deref(), Some(expected));
    }
}

#[test]
fn formats_are_recognised_from_their_content() {
    let table = [
        ("{\"meta\":{\"format\":1}}\n", Some(Format::Squall)),
        ("{\"id\":1,\"client\":3}\n", Some(Format::Squall)),
        ("{\"ClientId\":1,\"Input\":{}}\n", Some(Format::EtcdOperations)),
        ("[\n {\"ClientId\":1}]", Some(Format::EtcdOperations)),
        ("INFO  jepsen.util - 3\t:invoke\t:read\tnil\n", Some(Format::JepsenLog)),
        ("INFO  jepsen.core - hello\nINFO  jepsen.util - 3\t:invoke\t:read\tnil\n", Some(Format::JepsenLog)),
        ("{:process 0, :type :invoke, :f :get, :key \"1\", :value nil}\n", Some(Format::PorcupineKv)),
        ("{:process 0, :type :invoke, :f :read, :value nil}\n", Some(Format::Edn)),
        ("\n; a comment\n[{:type :invoke,\n", Some(Format::Edn)),
        ("({:type :invoke\n", Some(Format::Edn)),
        ("[]", Some(Format::Edn)),
        ("", None),
        ("hello", None),
        ("<html>", None),
        ("# A title\n", None),
        ("#_ nothing {:process 0}", Some(Format::Edn)),
        ("{}", None),
    ];
    for (text, expected) in table {
        assert_eq!(recognise(text.as_bytes()), expected, "{text}");
    }
}
