//! Makes the page and its drawings.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    measure::Measured,
    plot::{Bar, bars, line, panels},
};

pub const MEMBERS: [u32; 5] = [1, 3, 5, 7, 9];
/// The round trip in milliseconds, the drill, its heartbeat interval and election time-out.
pub const ROUND_TRIPS: &[(u32, &str, &str)] = &[
    (1, "round-trip-1ms", "100 ms, 1 s"),
    (1, "round-trip-1ms-tuned", "10 ms, 100 ms"),
    (10, "round-trip-10ms", "100 ms, 1 s"),
    (10, "round-trip-10ms-tuned", "10 ms, 100 ms"),
    (50, "round-trip-50ms", "100 ms, 1 s"),
    (50, "round-trip-50ms-tuned", "50 ms, 500 ms"),
    (150, "round-trip-150ms", "100 ms, 1 s"),
    (150, "round-trip-150ms-tuned", "150 ms, 1.5 s"),
    (150, "round-trip-150ms-hasty", "10 ms, 100 ms"),
];
pub const SYNCS: [u32; 4] = [1, 10, 50, 200];
/// The quota of the drill on the quota, in bytes, and the size that one of its puts counts for: key, value and 256
/// bytes.
const QUOTA: f64 = 1_048_576.0;
const PUT: f64 = 6.0 + 1024.0 + 256.0;

type Runs = BTreeMap<String, Measured>;

/// The median time of a write before any member is lost, in seconds.
pub fn median(run: &Measured) -> f64 {
    run.percentile(50, 2.5, 6.0).unwrap_or(f64::INFINITY)
}

fn slow(run: &Measured) -> f64 {
    run.percentile(99, 2.5, 6.0).unwrap_or(f64::INFINITY)
}

/// How often a member became leader before any member was lost.
pub fn leaders(run: &Measured) -> usize {
    run.leaders(2.5, 6.0)
}

/// For how long no write was acknowledged after each of three losses, in seconds, the shortest first. Infinite if none
/// was acknowledged before the next loss.
pub fn gaps(run: &Measured) -> [f64; 3] {
    let mut gaps = [6.0, 10.0, 14.0].map(|lost| match run.gap(lost, lost + 4.0) {
        gap if gap < 3.99 => gap,
        _ => f64::INFINITY,
    });
    gaps.sort_by(f64::total_cmp);
    gaps
}

fn middle(run: &Measured) -> f64 {
    gaps(run)[1]
}

fn ms(seconds: f64) -> String {
    let ms = seconds * 1000.0;
    match ms {
        ms if !ms.is_finite() => "never".to_owned(),
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.2} s", ms / 1000.0),
    }
}

/// The drawings as files below `docs`, by name.
pub fn drawings(runs: &Runs) -> BTreeMap<String, String> {
    let tolerance = MEMBERS.map(|members| {
        let run = &runs[&format!("members-{members}")];
        let rates: Vec<f64> =
            (2..40).map(|half| f64::from(half) / 2.0).map(|at| run.rate(at, at + 0.5)).collect();
        (format!("{members}"), rates)
    });
    let marks = [(5.0, "a minority is lost"), (10.0, "one more"), (15.0, "all are back")];
    let bar =
        |run: &Measured, name: String, value: fn(&Measured) -> f64| Bar { name, value: value(run) * 1000.0 };
    let far = |value: fn(&Measured) -> f64| -> Vec<Bar> {
        let name = |ms: u32, times: &str| format!("{ms} ms ({times})");
        ROUND_TRIPS.iter().map(|(ms, drill, times)| bar(&runs[*drill], name(*ms, times), value)).collect()
    };
    let syncs = SYNCS.map(|ms| bar(&runs[&format!("fsync-{ms}ms")], format!("{ms} ms"), median));
    let quota = &runs["quota-growth"];
    let size: Vec<(f64, f64)> = (0..32)
        .map(|half| f64::from(half) / 2.0)
        .map(|at| (at, quota.count(0.0, at) as f64 * PUT / 1024.0))
        .collect();
    [
        ("members", panels("Writes acknowledged a second, by members", 1.0, 0.5, &tolerance, &marks)),
        (
            "round-trip-latency",
            bars("A write, by round trip (heartbeat, election time-out): median", &far(median)),
        ),
        (
            "round-trip-gap",
            bars("Nothing acknowledged after a leader was lost: the middle one of three", &far(middle)),
        ),
        ("fsync-latency", bars("A write, by how long an fsync takes: median", &syncs)),
        ("quota", line("KiB counted, by seconds; the quota is 1024", &size, QUOTA / 1024.0)),
    ]
    .into_iter()
    .map(|(name, text)| (format!("planning/{name}.svg"), text))
    .collect()
}

/// The page.
pub fn text(runs: &Runs) -> String {
    let mut text = String::from(INTRODUCTION);
    for members in MEMBERS {
        let run = &runs[&format!("members-{members}")];
        let rate = |from, to| format!("{:.0}", run.rate(from, to));
        let (quorum, tolerates) = (members / 2 + 1, (members - 1) / 2);
        let minority = if tolerates == 0 { "(nobody)".to_owned() } else { rate(7.0, 10.0) };
        let _ = writeln!(
            text,
            "| [{members}](../scenarios/planning/members-{members}.yaml) | {quorum} | {tolerates} | {} | {minority} | {} | {} |",
            rate(2.0, 5.0),
            rate(10.5, 15.0),
            rate(17.0, 20.0)
        );
    }
    text.push_str(ROUND_TRIP);
    for (round_trip, drill, times) in ROUND_TRIPS {
        let run = &runs[*drill];
        let _ = writeln!(
            text,
            "| [{round_trip} ms](../scenarios/planning/{drill}.yaml) | {times} | {} | {} | {} | {} |",
            ms(median(run)),
            ms(slow(run)),
            leaders(run),
            gaps(run).map(ms).join(", ")
        );
    }
    text.push_str(DISK);
    for sync in SYNCS {
        let run = &runs[&format!("fsync-{sync}ms")];
        let _ = writeln!(
            text,
            "| [{sync} ms](../scenarios/planning/fsync-{sync}ms.yaml) | {} | {} | {} |",
            ms(median(run)),
            ms(slow(run)),
            leaders(run)
        );
    }
    let quota = &runs["quota-growth"];
    let full = quota.full.unwrap_or(f64::INFINITY);
    let _ = write!(
        text,
        "{SPACE}\n| Quota | Puts by the arithmetic | Puts acknowledged before the first refusal | After |\n|---|---|---|---|\n\
         | 1 MiB | {:.0} | {} | {full:.1} s |\n{END}",
        QUOTA / PUT,
        quota.count(0.0, full)
    );
    text
}

const INTRODUCTION: &str = "\
# Planning: how many members, how far apart, on what disks

Every number here is of a run in virtual time, of a drill in [scenarios/planning](../scenarios/README.md): no machine was slow or
busy, and the same commit gives the same numbers anywhere. They show how things grow, not what your machines do: the
simulated store computes in no time, a disk's fsync takes 1 ms, a message 0.5 ms and a bit. This page is made by one command, and a test holds
it against the runs:

```console
$ UPDATE_GOLDENFILES=1 cargo test -p squall --test planning
```

## How many members

A cluster of n goes on while more than half run. Six clients write and read all the time; a minority loses power at 5 s, one
more at 10 s, and all come back at 15 s. The columns are writes acknowledged a second.

| Members | Quorum | May be lost | All run | A minority is lost | One more | All are back |
|---|---|---|---|---|---|---|
";

const ROUND_TRIP: &str = "
![Writes acknowledged a second](planning/members.svg)

- Without a majority nothing is acknowledged, and nothing that was acknowledged is lost: it recovers by itself.
- An even number tolerates no more than the odd one below it, and has one more member to lose.
- More members make a write no slower here, since the leader waits for the quickest majority. What they cost is the leader's
  network and processor, which a simulation of no processor time leaves out. etcd advises 7 at most.

## How far apart

A write is acknowledged once a majority has it: the leader asks, and the quicker half answers. That is a round trip to the
nearest majority, and an fsync. Clients ask any member, and a follower passes the write on: one more round trip, for two of three
clients here. The leader loses power three times, for two seconds each.

etcd's advice: a heartbeat of about a round trip, an election time-out of ten. The defaults, 100 ms and 1 s, are for round
trips of up to 100 ms.

| Round trip | Heartbeat, election time-out | Write, median | 99 of 100 | Elections in 3.5 s without a fault | Nothing acknowledged after each loss |
|---|---|---|---|---|---|
";

const DISK: &str = "
![The median of a write](planning/round-trip-latency.svg)
![The gap after the leader was lost](planning/round-trip-gap.svg)

- Shorter time-outs find a lost leader sooner, and no write is quicker for them.
- Time-outs that are shorter than the round trips allow are worse than any loss: members are elected one after the other, none
  keeps the leadership, and nothing is acknowledged though nothing is broken.
- A time-out that is too long costs a second after a loss, which is rare. One that is too short costs everything, all the time.
- Members on three continents serve; each write waits for the ocean. Put the majority close together if the write's time counts, and
  know that the loss of that place is then the loss of the majority.

## On what disks

| An fsync takes | Write, median | 99 of 100 | Elections in 3.5 s without a fault |
|---|---|---|---|
";

const SPACE: &str = "
![The median of a write](planning/fsync-latency.svg)

- A write waits for the fsync that is under way and then for its own, on the leader and on a follower, which begins later. So it
  takes two fsyncs on a quick disk, and up to five on one that never rests. Writes that come meanwhile share the next one.
- A disk that is slow for all is slow for all writes. A stall of one leader's disk costs the leadership as well
  ([leader-on-a-slow-disk](../scenarios/leader-on-a-slow-disk.yaml)).
- Watch the 99th percentile of `etcd_disk_wal_fsync_duration_seconds`; etcd's guide asks for less than 10 ms.

## Growth, and the quota

Every put leaves a revision until a compaction takes it: key, value and 256 bytes are counted. So the quota is used up after
`quota / (key + value + 256)` puts without a compaction, however few keys there are.
";

const END: &str = "
![The store's size](planning/quota.svg)

- The size is looked at before a request is taken, so a little more fits, and what was on its way is applied.
- With a compaction every hour the store holds an hour of revisions: 100 puts a second of 1 KiB are 460 MB. Plan for twice
  that: `dbSize` falls only where a member is defragmented.
- NOSPACE stays until somebody compacts, defragments every member and disarms it ([capacity](squalld.md#space-alarms-corruption)).
";
