//! What the types cannot say: ranges, references, blocks that belong to actions, selectors that can match.
//!
//! Each check names the path of the value that it objects to; the place in the text follows from that
//! ([`super::yaml::locate`]). The first objection ends the check: one clear paragraph beats a list of consequences.

use super::types::{COUNTERS, Disk, Network, Outcome, Spec};
use super::workload::{RecordingName, Workload, WorkloadKind};
use super::{Cluster, alerts};
use crate::faults::{Action, Shape, check_faults};
use crate::text::{Refusal, Source, Step, did_you_mean, format_duration as go, one_of};
use squall_store::seam::Point;
use std::collections::BTreeSet;
use std::time::Duration;

use Step::{Index, Key};

/// Checks what a scenario or a plan says under `spec`; `drawn`: it is a plan's.
pub(crate) fn spec(on: &Source, spec: &Spec, drawn: bool) -> Result<(), Refusal> {
    let at = [Key("spec"), Key("seeds")];
    on.refuse_if(
        spec.seeds.is_empty(),
        &at,
        || "the list is empty: name at least one seed, such as [1, 2, 3]",
    )?;
    let mut seen = BTreeSet::new();
    for (index, seed) in spec.seeds.iter().enumerate() {
        on.refuse_if(!seen.insert(seed), &[at[0], at[1], Index(index)], || {
            format!("the seed {seed} stands in the list twice: each seed is one run")
        })?;
    }

    cluster(on, &spec.cluster)?;
    for (block, key, value) in [
        ("network", "latency", spec.network.latency),
        ("network", "jitter", spec.network.jitter),
        ("disk", "fsyncLatency", spec.disk.fsync_latency),
        ("disk", "fsyncJitter", spec.disk.fsync_jitter),
        ("disk", "workLatency", spec.disk.work_latency),
        ("disk", "workJitter", spec.disk.work_jitter),
    ] {
        let longest = Duration::from_secs(60);
        on.refuse_if(value > longest, &[Key("spec"), Key(block), Key(key)], || {
            format!("{} is more than {}: nothing would ever get through", go(value), go(longest))
        })?;
    }

    let at = [Key("spec"), Key("workloads")];
    on.refuse_if(
        spec.workloads.is_empty(),
        &at,
        || "the list is empty: without clients a run shows nothing; add one, such as `{type: kv}`",
    )?;
    let mut names = BTreeSet::new();
    let mut has_users = false;
    for (index, one) in spec.workloads.iter().enumerate() {
        let at = [at[0], at[1], Index(index)];
        on.refuse_if(!names.insert(one.name()), &at, || {
            format!("two workloads are called `{}`: give this one a `name` of its own", one.name())
        })?;
        let is_second = one.kind == WorkloadKind::Auth && std::mem::replace(&mut has_users, true);
        on.refuse_if(
            is_second,
            &at,
            || "users and roles are the whole store's: one workload of type `auth` is enough",
        )?;
        workload(on, at, one)?;
        recording(on, at, spec, one)?;
    }

    let at = [Key("spec"), Key("timeLimit")];
    let hour = Duration::from_secs(3600);
    on.refuse_if(
        spec.time_limit.is_zero(),
        &at,
        || "0s leaves no time for anything: 20s is usual for a drill",
    )?;
    let days = 48 * hour;
    on.refuse_if(spec.time_limit > days, &at, || {
        format!("{} is more than the {} allowed", go(spec.time_limit), go(days))
    })?;
    on.refuse_if(
        spec.final_phase.core && !spec.final_phase.heal,
        &[Key("spec"), Key("final"), Key("core")],
        || "with `heal: false` nothing heals, the core neither: leave one of them out",
    )?;
    let at = [Key("spec"), Key("final"), Key("settle")];
    let settle = spec.final_phase.settle;
    on.refuse_if(settle.is_zero() || settle > hour, &at, || {
        format!(
            "{} is out of range, expected more than 0s and at most {}: 10s is usual",
            go(settle),
            go(hour)
        )
    })?;

    let shape = Shape { members: spec.cluster.member_names(), time_limit: spec.time_limit, drawn };
    check_faults(on, &shape, &spec.faults, &[Key("spec"), Key("faults")])?;
    alerts::check(on, spec)?;
    expect(on, spec)
}

/// The longest name, in characters.
pub(super) const MOST_OF_A_NAME: usize = 64;

/// Lower-case words joined by hyphens: what file systems, shells and URLs all leave alone.
pub(crate) fn name(on: &Source, at: &[Step], name: &str) -> Result<(), Refusal> {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let good = name.len() <= MOST_OF_A_NAME && name.split('-').all(word);
    on.refuse_if(!good, at, || {
        format!("`{name}` is not a name: expected lower-case words joined by hyphens, at most {MOST_OF_A_NAME} characters, such as `majority-loss`")
    })
}

fn cluster(on: &Source, cluster: &Cluster) -> Result<(), Refusal> {
    let key = |key| [Key("spec"), Key("cluster"), Key(key)];
    let within = |name, value: u64, least: u64, most: u64| {
        on.refuse_if(value < least || value > most, &key(name), || {
            format!("{value} is out of range, expected {least} to {most}")
        })
    };
    within("members", cluster.members.into(), 1, 9)?;
    within("snapshotCount", cluster.snapshot_count, 1, 1_000_000_000)?;
    within("snapshotCatchupEntries", cluster.snapshot_catchup_entries, 0, 1_000_000_000)?;
    within("walSegmentBytes", cluster.wal_segment_bytes, 4_096, 1 << 30)?;
    within("engineCommitBatches", cluster.engine_commit_batches, 1, 1_000_000_000)?;
    within("compactionBatchLimit", cluster.compaction_batch_limit, 1, 1_000_000_000)?;
    within("maxTxnOps", cluster.max_txn_ops.into(), 1, 100_000)?;
    within("maxRequestBytes", cluster.max_request_bytes, 1_024, 1 << 30)?;
    for (name, value) in [
        ("heartbeatInterval", cluster.heartbeat_interval),
        ("electionTimeout", cluster.election_timeout),
        ("engineCommitInterval", cluster.engine_commit_interval),
    ] {
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(60));
        on.refuse_if(value < least || value > most, &key(name), || {
            format!("{} is out of range, expected {} to {}", go(value), go(least), go(most))
        })?;
    }
    let retention = cluster.auto_compaction_retention;
    let (least, most) = (Duration::from_millis(100), Duration::from_secs(24 * 60 * 60));
    on.refuse_if(
        !retention.is_zero() && (retention < least || retention > most),
        &key("autoCompactionRetention"),
        || format!("{} is out of range, expected 0s, or {} to {}", go(retention), go(least), go(most)),
    )?;
    let both = !retention.is_zero() && cluster.auto_compaction_revisions > 0;
    on.refuse_if(both, &key("autoCompactionRevisions"), || {
        "stands beside `autoCompactionRetention`: a leader compacts by time or by revision, expected one of the two".to_owned()
    })?;
    let least = cluster.heartbeat_interval * 5;
    on.refuse_if(cluster.election_timeout < least, &key("electionTimeout"), || {
        format!(
            "{} is less than five heartbeats ({}): members would call elections under a healthy leader; write at least {}, or a shorter `heartbeatInterval`",
            go(cluster.election_timeout),
            go(cluster.heartbeat_interval),
            go(least),
        )
    })
}

fn workload(on: &Source, at: [Step; 3], workload: &Workload) -> Result<(), Refusal> {
    let key = |key| [at[0], at[1], at[2], Key(key)];
    for (name, value, least, most) in [
        ("clients", workload.clients, 1, 256),
        ("inFlight", workload.in_flight, 1, 64),
        ("rate", workload.rate, 1, 100_000),
        ("keys", workload.keys, 1, 100_000),
        ("hotKeys", workload.hot_keys, 0, workload.keys),
        ("valueBytes", workload.value_bytes, 0, 1_000_000),
        ("largeValueBytes", workload.large_value_bytes, 0, 1_000_000),
        (
            "leaseTtlSecs",
            workload.lease_ttl_secs,
            0,
            if workload.kind == WorkloadKind::Lease { 3_600 } else { 0 },
        ),
        ("blindRetries", workload.blind_retries, 0, 10),
    ] {
        on.refuse_if(value < least || value > most, &key(name), || {
            format!("{value} is out of range, expected {least} to {most}")
        })?;
    }
    let retries_locks = workload.kind == WorkloadKind::Lock && workload.blind_retries > 0;
    on.refuse_if(
        retries_locks,
        &key("blindRetries"),
        || "a workload of type `lock` has none: a call for a lock that is sent again may make a second place in the queue",
    )?;
    let processes = workload.clients * workload.in_flight;
    on.refuse_if(processes > 1_024, &key("inFlight"), || {
        format!(
            "{} clients with {} requests in flight are {processes} at a time, expected at most 1024",
            workload.clients, workload.in_flight
        )
    })?;
    on.refuse_if(
        workload.request_timeout.is_zero(),
        &key("requestTimeout"),
        || "0s: every request would be given up at once; 1s is usual",
    )?;
    let longest = Duration::from_secs(3600);
    on.refuse_if(workload.request_timeout > longest, &key("requestTimeout"), || {
        format!("{} is more than the {} allowed", go(workload.request_timeout), go(longest))
    })?;
    if let Some(burst) = &workload.burst {
        let key = |key| [at[0], at[1], at[2], Key("burst"), Key(key)];
        on.refuse_if(burst.every.is_zero() || burst.every > longest, &key("every"), || {
            format!("{} is out of range, expected more than 0s and at most {}", go(burst.every), go(longest))
        })?;
        on.refuse_if(burst.length.is_zero() || burst.length >= burst.every, &key("length"), || {
            let (length, every) = (go(burst.length), go(burst.every));
            format!("{length} is out of range, expected more than 0s and less than `every` ({every})")
        })?;
        on.refuse_if(!(2..=1_000).contains(&burst.factor), &key("factor"), || {
            format!("{} is out of range, expected 2 to 1000", burst.factor)
        })?;
    }
    let Some(mix) = &workload.mix else { return Ok(()) };
    let weights = mix.weights();
    on.refuse_if(weights.iter().all(|(_, weight)| *weight == 0), &key("mix"), || {
        format!("no operation has a weight above 0: give one to {}", one_of(weights.map(|(name, _)| name)))
    })?;
    for (name, weight) in weights {
        let fits = workload.kind.operations().contains(&name);
        let at = [at[0], at[1], at[2], Key("mix"), Key(name)];
        on.refuse_if(weight > 0 && !fits, &at, || {
            let (kind, has) = (workload.kind.name(), one_of(workload.kind.operations().iter().copied()));
            format!("a workload of type `{kind}` has no {name}: expected {has}, or another type")
        })?;
        on.refuse_if(weight > 1_000_000, &at, || {
            format!("the weight {weight} is out of range, expected 0 to 1000000")
        })?;
    }
    Ok(())
}

/// Requires of a workload that plays a recording that the run is like the recorded one: other settings have other
/// answers.
fn recording(on: &Source, at: [Step; 3], spec: &Spec, workload: &Workload) -> Result<(), Refusal> {
    let key = |key| [at[0], at[1], at[2], Key(key)];
    let names = || one_of(RecordingName::ALL.map(RecordingName::name));
    if workload.kind != WorkloadKind::EtcdAnswers {
        return on.refuse_if(workload.recording.is_some(), &key("recording"), || {
            format!(
                "a workload of type `{}` plays nothing: expected type `etcdAnswers`",
                workload.kind.name()
            )
        });
    }
    on.refuse_if(workload.recording.is_none(), &at, || {
        format!("there is nothing to play: give it a `recording`, one of {}", names())
    })?;
    on.refuse_if(workload.clients != 1 || workload.in_flight != 1, &key("clients"), || {
        format!(
            "{} clients with {} requests in flight would play over each other: expected `clients: 1`",
            workload.clients, workload.in_flight
        )
    })?;
    on.refuse_if(
        spec.workloads.len() > 1,
        &at,
        || "other workloads stand beside it: what they write would change the answers, so expected it alone",
    )?;
    on.refuse_if(
        !spec.faults.is_empty(),
        &[at[0], Key("faults")],
        || "the answers of `etcdAnswers` were recorded while nothing broke: expected no faults",
    )?;
    let (cluster, usual) = (&spec.cluster, Cluster::default());
    let cluster_key = |key| [at[0], Key("cluster"), Key(key)];
    on.refuse_if(cluster.members != 1, &cluster_key("members"), || {
        format!("the answers of `etcdAnswers` are a single member's, expected 1 and not {}", cluster.members)
    })?;
    let recorded = (Duration::from_millis(500), Duration::from_millis(100));
    on.refuse_if(
        (cluster.election_timeout, cluster.heartbeat_interval) != recorded,
        &cluster_key("electionTimeout"),
        || "the shortest lease follows from it, and `etcdAnswers` was recorded with `electionTimeout: 500ms` and `heartbeatInterval: 100ms`",
    )?;
    let limits = |cluster: &Cluster| {
        (
            cluster.max_txn_ops,
            cluster.max_request_bytes,
            cluster.quota_bytes,
            cluster.auto_compaction_retention,
            cluster.auto_compaction_revisions,
            cluster.compaction_batch_limit,
            cluster.compaction_sleep,
        )
    };
    on.refuse_if(
        limits(cluster) != limits(&usual),
        &[at[0], Key("cluster")],
        || "the answers of `etcdAnswers` were recorded with the usual limits and compactions, and without auto-compaction: leave these settings out",
    )?;
    // What is left of a lease depends on when it is asked for.
    let slow = [("network", spec.network != Network::default()), ("disk", spec.disk != Disk::default())];
    for (part, differs) in slow {
        on.refuse_if(differs, &[at[0], Key(part)], || {
            format!("the answers of `etcdAnswers` tell times, and a slower {part} would change them: leave `{part}` out")
        })?;
    }
    Ok(())
}

fn expect(on: &Source, spec: &Spec) -> Result<(), Refusal> {
    let expect = &spec.expect;
    let key = |key| [Key("spec"), Key("expect"), Key(key)];
    let canary = expect.outcome == Outcome::Invalid;
    on.refuse_if(canary && expect.checker.is_none(), &key("outcome"), || {
        "`outcome: invalid` requires a `checker:`: name the one that must find the bug, such as `linearizability`"
    })?;
    on.refuse_if(!canary && expect.checker.is_some(), &key("checker"), || {
        "a `checker:` belongs to `outcome: invalid`: add that, or remove the checker (a valid run passes all of them)"
    })?;
    on.refuse_if(
        !canary && expect.within.is_some(),
        &key("within"),
        || "`within:` belongs to `outcome: invalid`: add that, or remove it",
    )?;
    on.refuse_if(
        expect.within == Some(0),
        &key("within"),
        || "0 leaves no seed to try: expected 1 or more; 200 is usual",
    )?;
    on.refuse_if(
        expect.min_writes_during_outage > 0 && spec.faults.is_empty(),
        &key("minWritesDuringOutage"),
        || "there is no outage without faults: add a fault, or remove this",
    )?;
    for (index, action) in expect.must_bite.iter().enumerate() {
        let at = [Key("spec"), Key("expect"), Key("mustBite"), Index(index)];
        on.refuse_if(!spec.each_fault().any(|fault| fault.action == *action), &at, || {
            format!("no fault of the scenario has `action: {}`: add one, or remove this", action.name())
        })?;
    }
    let mut seen = BTreeSet::new();
    for (index, counter) in expect.counters.iter().enumerate() {
        let at = [Key("spec"), Key("expect"), Key("counters"), Index(index)];
        let known = COUNTERS.map(|(name, _)| name);
        let bites = counter.strip_prefix("bites.").is_some_and(|action| Action::NAMES.contains(&action));
        let point = |name: &str| Point::ALL.iter().any(|point| point.name() == name);
        let reached = counter.strip_prefix("point.").is_some_and(point);
        on.refuse_if(!bites && !reached && !known.contains(&counter.as_str()), &at, || {
            format!(
                "unknown counter `{counter}`, expected one of {}, or `bites.` and an action, or `point.` and a point{}",
                one_of(known),
                did_you_mean(counter, known)
            )
        })?;
        on.refuse_if(!seen.insert(counter), &at, || {
            format!("the counter `{counter}` stands in the list twice")
        })?;
    }
    Ok(())
}
