//! `squall replay RUN --until 12.3s --show m2`: the members at an instant of virtual time.

use super::super::args::{Format, ReplayArgs};
use super::super::{Runner, Status, Streams, make};
use crate::report::{RunOptions, StoredRun};
use crate::text::{Refusal, did_you_mean, one_of};
use std::time::Duration;

/// Repeats the run up to the instant, and prints the members' states there.
pub(super) fn look(
    stored: &StoredRun,
    until: Duration,
    args: &ReplayArgs,
    runner: Runner,
    streams: &mut Streams,
) -> Result<Status, Refusal> {
    let names = stored.plan.spec.cluster.member_names();
    for name in &args.show {
        if !names.contains(name) {
            let known = names.iter().map(String::as_str);
            let message = format!(
                "there is no member `{name}`: expected {}{}",
                one_of(known.clone()),
                did_you_mean(name, known)
            );
            return Err(Refusal::of(&stored.file.path, message));
        }
    }
    let options = RunOptions {
        plan: Some(stored.plan.clone()),
        judge: false,
        until: Some(until),
        wall_limit: args.wall_limit,
        ..RunOptions::default()
    };
    let record = &stored.record;
    let (result, _) = make::call(runner, &stored.file.scenario, record.seed, &options, args.log.as_deref());
    let Some(mut inspection) = result.inspection else {
        let why = result.harness_error.unwrap_or_else(|| "the world ended the run before".to_owned());
        let _ = writeln!(streams.err, "squall: the run did not reach {until:?}: {why}");
        return Ok(Status::Harness);
    };
    if !args.show.is_empty() {
        inspection.members.retain(|member| args.show.contains(&member.name));
    }
    let text = match args.format {
        Format::Human => {
            format!("{}, seed {}, {inspection}", record.scenario, record.seed)
        }
        Format::Json => serde_json::to_string(&inspection).expect("numbers and strings") + "\n",
    };
    let _ = streams.out.write_all(text.as_bytes());
    Ok(Status::Ok)
}
