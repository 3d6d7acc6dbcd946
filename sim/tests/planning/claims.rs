//! Checks that the numbers support what the page says in words.

use std::collections::BTreeMap;

use super::{
    measure::Measured,
    page::{MEMBERS, ROUND_TRIPS, SYNCS, gaps, leaders, median},
};

pub fn check(runs: &BTreeMap<String, Measured>) {
    let run = |name: String| runs.get(&name).unwrap_or_else(|| panic!("no run {name}"));
    for members in MEMBERS {
        let run = run(format!("members-{members}"));
        let before = run.rate(2.0, 5.0);
        assert!(before > 50.0, "{members} members: {before} writes a second");
        assert!(run.rate(7.0, 10.0) > before / 2.0, "{members} members do not serve without a minority");
        assert_eq!(run.count(10.5, 15.0), 0, "{members} members acknowledge without a majority");
        assert!(run.rate(17.0, 20.0) > before / 2.0, "{members} members do not come back");
    }
    for (ms, name, _) in ROUND_TRIPS {
        let run = run((*name).to_owned());
        let round_trip = f64::from(*ms) / 1000.0;
        if name.ends_with("hasty") {
            assert!(leaders(run) > 1, "{name}: hasty time-outs cost no leader");
            assert_eq!(run.count(2.5, 18.0), 0, "{name}: somebody keeps the leadership");
            continue;
        }
        assert_eq!(leaders(run), 0, "{name}: leaders come and go without a fault");
        assert!(median(run) >= round_trip, "{name}: a write took less than a round trip");
        assert!(gaps(run).iter().all(|gap| gap.is_finite()), "{name}: nobody takes over");
    }
    for ms in SYNCS {
        let run = run(format!("fsync-{ms}ms"));
        assert!(median(run) >= f64::from(ms) / 1000.0, "fsync {ms} ms: a write took less than an fsync");
    }
    assert!(run("quota-growth".into()).full.is_some(), "the quota never fills up");
}
