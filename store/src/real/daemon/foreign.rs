//! etcd's flags for features that squalld does not have. A value that asks for what squalld does anyway is accepted,
//! so that etcd's unit file starts squalld. Any other value is refused with the reason. A value that would change
//! something is never ignored.

use std::ffi::OsString;

use super::Failure;

/// A flag of etcd's that is not one of squalld's.
#[derive(Debug)]
pub(super) struct Foreign {
    pub name: &'static str,
    /// Whether the flag without a value means `true`.
    pub switch: bool,
    /// The accepted values, which ask for what squalld does anyway; `None` if any value is accepted.
    taken: Option<&'static [&'static str]>,
    /// Why other values are refused: a sentence.
    why: &'static str,
}

const ANY: Option<&[&str]> = None;
const ON: Option<&[&str]> = Some(&["true"]);
const OFF: Option<&[&str]> = Some(&["false"]);
const NONE: Option<&[&str]> = Some(&[]);

const fn value(name: &'static str, taken: Option<&'static [&'static str]>, why: &'static str) -> Foreign {
    Foreign { name, switch: false, taken, why }
}

const fn switch(name: &'static str, taken: Option<&'static [&'static str]>, why: &'static str) -> Foreign {
    Foreign { name, switch: true, taken, why }
}

const DISCOVERY: &str = "Discovery is not there: it depends on a service that is down when it is needed most. Name the \
                         members in --initial-cluster.";
const V2: &str = "The v2 API is not there. Use v3.";
const PROXY: &str = "The v2 proxy is not there. Let clients name several endpoints.";
const TRACING: &str = "Traces are not exported. Leave it out.";
const ROTATION: &str = "Logs are not rotated here. Let journald or logrotate do it.";

/// All of them, in the order of `etcd --help`.
static FOREIGN: &[Foreign] = &[
    value(
        "wal-dir",
        NONE,
        "The log lies in the data folder, under the same lock. Put the data folder on the fast disk.",
    ),
    switch("initial-election-tick-advance", ON, "Nothing else is there. Leave it out."),
    // squalld keeps this bound anyway: a member holds one state, and the log after it.
    value("max-snapshots", ANY, ""),
    value("max-wals", ANY, ""),
    value("backend-bbolt-freelist-type", Some(&["map", "array"]), "The engine is not bbolt. Leave it out."),
    value(
        "experimental-backend-bbolt-freelist-type",
        Some(&["map", "array"]),
        "The engine is not bbolt. Leave it out.",
    ),
    value(
        "grpc-keepalive-min-time",
        Some(&["5s"]),
        "A client may ask for a sign of life as often as it likes. Leave it out.",
    ),
    switch(
        "socket-reuse-port",
        OFF,
        "Two processes at one port would share its clients. Give each a port of its own.",
    ),
    switch("socket-reuse-address", ANY, ""),
    value("discovery", NONE, DISCOVERY),
    value("discovery-fallback", Some(&["exit", "proxy"]), DISCOVERY),
    value("discovery-proxy", NONE, DISCOVERY),
    value("discovery-srv", NONE, DISCOVERY),
    value("discovery-srv-name", NONE, DISCOVERY),
    switch("pre-vote", ON, "Members always ask before they stand for election. Leave it out."),
    switch("enable-v2", OFF, V2),
    // squalld has no v2 store, so every stage of its removal is accepted.
    value("v2-deprecation", Some(&["not-yet", "write-only", "write-only-drop-data", "gone"]), V2),
    value("cors", Some(&["*"]), "Origins are not restricted. Put a proxy in front that does."),
    value("host-whitelist", Some(&["*"]), "Host names are not restricted. Put a proxy in front that does."),
    switch("enable-grpc-gateway", ON, "Leave it out."),
    switch("enable-pprof", OFF, "That profiler is Go's. Use perf."),
    value("logger", Some(&["zap"]), "Logs have one format. Leave it out."),
    value(
        "log-outputs",
        Some(&["default", "stderr"]),
        "Logs go to standard error. Redirect it, or let journald take it.",
    ),
    switch("enable-log-rotation", OFF, ROTATION),
    value("log-rotation-config-json", ANY, ""),
    switch("experimental-enable-distributed-tracing", OFF, TRACING),
    value("experimental-distributed-tracing-address", ANY, ""),
    value("experimental-distributed-tracing-service-name", ANY, ""),
    value("experimental-distributed-tracing-instance-id", ANY, ""),
    value("proxy", Some(&["off"]), PROXY),
    value("proxy-failure-wait", ANY, ""),
    value("proxy-refresh-interval", ANY, ""),
    value("proxy-dial-timeout", ANY, ""),
    value("proxy-write-timeout", ANY, ""),
    value("proxy-read-timeout", ANY, ""),
    value("experimental-enable-v2v3", NONE, V2),
    switch("experimental-enable-lease-checkpoint", ON, "Leases are always checkpointed. Leave it out."),
    switch(
        "experimental-enable-lease-checkpoint-persist",
        ON,
        "Leases are always checkpointed. Leave it out.",
    ),
    value(
        "experimental-warning-apply-duration",
        Some(&["100ms"]),
        "Slow requests are not logged. Leave it out.",
    ),
    value(
        "experimental-warning-unary-request-duration",
        Some(&["300ms"]),
        "Slow requests are not logged. Leave it out.",
    ),
    switch("experimental-txn-mode-write-with-shared-buffer", ANY, ""),
    value("experimental-bootstrap-defrag-threshold-megabytes", Some(&["0"]), "Use `etcdctl defrag`."),
    switch("experimental-memory-mlock", OFF, "Memory is not locked. Turn swap off."),
    value("experimental-max-learners", Some(&["1"]), "A cluster has one learner at a time. Leave it out."),
    switch("unsafe-no-fsync", OFF, "What is acknowledged is on disk, always. Leave it out."),
];

/// The flag of this name, without dashes.
pub(super) fn find(name: &str) -> Option<&'static Foreign> {
    FOREIGN.iter().find(|foreign| foreign.name == name)
}

impl Foreign {
    /// Checks a value. An empty value asks for nothing.
    ///
    /// # Errors
    /// Why the value is refused.
    pub fn judge(&self, given: &str) -> Result<(), Failure> {
        let same = |taken: &&str| *taken == given || (self.switch && same_switch(taken, given));
        let Some(taken) = self.taken else { return Ok(()) };
        if given.is_empty() || taken.iter().any(same) {
            return Ok(());
        }
        let only = match taken {
            [] => "it is not there".to_owned(),
            taken => format!("{} is all that there is", taken.join(" or ")),
        };
        Err(Failure::Usage(format!("--{}={given}: {only}. {}", self.name, self.why)))
    }
}

fn same_switch(taken: &str, given: &str) -> bool {
    super::flags::switch(given).is_ok_and(|given| given.to_string() == taken)
}

/// Removes etcd's other flags from a command line, and checks them.
///
/// # Errors
/// The first refused value.
pub(super) fn take(arguments: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let mut rest = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_str().and_then(|text| text.strip_prefix("--"));
        let (name, given) = match text.map(|text| text.split_once('=').ok_or(text)) {
            None => ("", None),
            Some(Ok((name, given))) => (name, Some(given.to_owned())),
            Some(Err(name)) => (name, None),
        };
        let Some(foreign) = find(name) else {
            rest.push(argument);
            continue;
        };
        let given = match given {
            Some(given) => given,
            None if foreign.switch => "true".to_owned(),
            None => {
                let next = arguments.next().and_then(|next| next.into_string().ok());
                next.ok_or_else(|| Failure::Usage(format!("--{name} needs a value.")))?
            }
        };
        foreign.judge(&given)?;
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_and_refused_values() {
        let taken = |given: &[&str]| take(given.iter().map(OsString::from).collect());
        let rest = taken(&[
            "squalld",
            "--logger=zap",
            "--max-wals",
            "5",
            "--name",
            "m1",
            "--enable-v2=false",
            "--pre-vote",
        ]);
        assert_eq!(rest, Ok(["squalld", "--name", "m1"].map(OsString::from).to_vec()));
        assert_eq!(taken(&["--discovery="]), Ok(vec![]));
        for (given, said) in [
            (&["--discovery-srv=example.org"][..], "--discovery-srv=example.org: it is not there. Discovery"),
            (&["--discovery", "https://x"], "Name the members"),
            (&["--enable-v2"], "false is all that there is"),
            (&["--unsafe-no-fsync=1"], "on disk"),
            (&["--wal-dir"], "needs a value"),
        ] {
            let Err(Failure::Usage(what)) = taken(given) else { panic!("{given:?} passed") };
            assert!(what.contains(said), "{what}");
        }
    }

    #[test]
    fn every_flag_that_refuses_values_says_why() {
        for foreign in FOREIGN {
            assert_eq!(foreign.taken.is_none(), foreign.why.is_empty(), "{}", foreign.name);
        }
    }
}
