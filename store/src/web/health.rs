//! The member's health: `/health` in etcd 3.5's JSON; `/livez` and `/readyz` for Kubernetes, with their single
//! checks (`/readyz/linearizable_read`), `?verbose` and `?exclude=CHECK`.
//!
//! A member is unhealthy if an alarm is active, if it knows no leader, or if it cannot read within a request's time.
//! It is alive if it can read its own state: to restart a member that only waits for its leader would not help.
//!
//! Source: etcd's `etcdhttp/health.go` (3.5.21).

use squall_core::Refusal;

use super::reply;
use crate::{
    node::Handle,
    seam::{GrpcResponse, timeout},
};

/// A single check of `/livez` and `/readyz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    DataCorruption,
    SerializableRead,
    LinearizableRead,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Check::DataCorruption => "data_corruption",
            Check::SerializableRead => "serializable_read",
            Check::LinearizableRead => "linearizable_read",
        }
    }

    async fn run(self, node: &Handle) -> Result<(), String> {
        match self {
            Check::DataCorruption => match alarms(node).contains(&"CORRUPT") {
                true => Err("alarm activated: CORRUPT".into()),
                false => Ok(()),
            },
            Check::SerializableRead => read(node, true).await.map_err(|refusal| refusal.message().to_owned()),
            Check::LinearizableRead => {
                read(node, false).await.map_err(|refusal| refusal.message().to_owned())
            }
        }
    }
}

/// The checks that a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe(&'static [Check]);

impl Probe {
    pub(super) fn of(path: &str) -> Option<Probe> {
        use Check::{DataCorruption, LinearizableRead, SerializableRead};
        const LIVE: &[Check] = &[SerializableRead];
        const READY: &[Check] = &[DataCorruption, LinearizableRead, SerializableRead];
        let (all, check) = match path.strip_prefix("/livez") {
            Some(rest) => (LIVE, rest),
            None => (READY, path.strip_prefix("/readyz")?),
        };
        if check.is_empty() {
            return Some(Probe(all));
        }
        let name = check.strip_prefix('/')?;
        let at = all.iter().position(|check| check.name() == name)?;
        Some(Probe(&all[at..=at]))
    }
}

/// Answers `/livez`, `/readyz`, or one check of theirs.
pub(super) async fn probe(node: &Handle, query: &str, Probe(checks): Probe) -> GrpcResponse {
    let (mut said, mut well) = (String::new(), true);
    for check in checks {
        let name = check.name();
        if values(query, "exclude").any(|excluded| excluded == name) {
            continue;
        }
        match check.run(node).await {
            Ok(()) => said.push_str(&format!("[+]{name} ok\n")),
            Err(why) => {
                well = false;
                said.push_str(&format!("[-]{name} failed: {why}\n"));
            }
        }
    }
    note(node, well);
    if !well {
        return reply::text(503, said);
    }
    let verbose = values(query, "verbose").next().is_some();
    reply::text(200, if verbose { said + "ok\n" } else { "ok\n".into() })
}

/// Answers `/health`.
pub(super) async fn health(node: &Handle, query: &str) -> GrpcResponse {
    let serializable = values(query, "serializable").next() == Some("true");
    let reason = why_unhealthy(node, query, serializable).await;
    note(node, reason.is_none());
    let well = reason.is_none();
    let body =
        serde_json::json!({ "health": well.to_string(), "reason": reason.unwrap_or_default() }).to_string();
    match well {
        // As in etcd, which sets no content type here.
        true => reply::with_type(200, "text/plain; charset=utf-8", reply::full(body)),
        // Go's http.Error, which ends the line.
        false => reply::text(503, body + "\n"),
    }
}

/// Why the member is unhealthy; `None` if it is healthy.
async fn why_unhealthy(node: &Handle, query: &str, serializable: bool) -> Option<String> {
    let excluded = |alarm: &str| values(query, "exclude").any(|excluded| excluded == alarm);
    if let Some(alarm) = alarms(node).iter().find(|alarm| !excluded(alarm)) {
        return Some(format!("ALARM {alarm}"));
    }
    if !serializable && node.status().leader.is_none() {
        return Some("RAFT NO LEADER".into());
    }
    let refusal = read(node, serializable).await.err()?;
    Some(format!("RANGE ERROR:{}", refusal.message()))
}

/// Makes a read like a client's, without a user.
async fn read(node: &Handle, serializable: bool) -> Result<(), Refusal> {
    let patience = node.config().request_timeout();
    let asked = async {
        // A member that is not ready yet serves no reads.
        node.ready().await?;
        if serializable { Ok(()) } else { node.read_index().await }
    };
    timeout(&*node.env().clock, patience, asked).await.unwrap_or(Err(Refusal::Timeout))?;
    let range =
        squall_core::RangeRequest { key: vec![0].into(), limit: 1, keys_only: true, ..Default::default() };
    node.shared().state().range(&range).map(|_| ())
}

fn alarms(node: &Handle) -> Vec<&'static str> {
    node.shared().state().alarms().iter().map(|alarm| alarm.kind.name()).collect()
}

fn note(node: &Handle, well: bool) {
    let metrics = &node.shared().metrics;
    let answers = if well { &metrics.healthy_answers } else { &metrics.unhealthy_answers };
    answers.inc();
}

/// The values that a query gives a key. No key or value here needs escapes, so none are undone.
fn values<'a>(query: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(move |(name, _)| *name == key).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_their_checks() {
        let names =
            |path| Probe::of(path).map(|probe| probe.0.iter().map(|check| check.name()).collect::<Vec<_>>());
        assert_eq!(names("/livez"), Some(vec!["serializable_read"]));
        assert_eq!(names("/readyz"), Some(vec!["data_corruption", "linearizable_read", "serializable_read"]));
        assert_eq!(names("/readyz/data_corruption"), Some(vec!["data_corruption"]));
        for path in ["/livez/data_corruption", "/livezz", "/livez/", "/health", "/readyz/serializable_read/x"]
        {
            assert_eq!(names(path), None, "{path}");
        }
    }

    #[test]
    fn queries() {
        let all = |query, key| values(query, key).collect::<Vec<_>>();
        assert_eq!(all("exclude=A&verbose&exclude=B", "exclude"), ["A", "B"]);
        assert_eq!(all("exclude=A&verbose&exclude=B", "verbose"), [""]);
        assert_eq!(all("", "verbose"), [""; 0]);
    }
}
