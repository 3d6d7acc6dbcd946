//! `squall replay`: runs a run folder's stored plan again.
//!
//! On the build that made the folder, the audit hash must agree. On another build the hash may differ and the verdict
//! counts, because plans outlive changes of the code. An edited plan or scenario is another run. The run is made in
//! this process, without a worker, so that a debugger can follow it. With `--until` it ends at an instant ([`look`]);
//! with `--diff` two runs are compared ([`diff`]).

mod diff;
mod look;

use super::args::ReplayArgs;
use super::output::Printer;
use super::{Runner, Status, Streams, logs, make};
use crate::report::{self, Build, Expected, RunOptions, RunRecord};
use crate::scenario::Outcome;
use crate::text::Refusal;
use std::path::Path;

/// Refuses a run that was made on processes: such a run is not deterministic.
pub(super) fn only_simulated(run_dir: &Path, record: &RunRecord) -> Result<(), Refusal> {
    let Some(on) = &record.on else { return Ok(()) };
    let message = format!(
        "this run was made on {on}, so it is not deterministic and cannot be repeated. `squall check` judges its \
         history again; `{}` makes another run of its scenario",
        record.reproduce
    );
    Err(Refusal::of(run_dir, message))
}

/// Replays a run folder.
pub(super) fn replay(args: &ReplayArgs, runner: Runner, streams: &mut Streams) -> Result<Status, Refusal> {
    if let Some([one, other]) = args.diff.as_deref() {
        return diff::diff([one, other], args, runner, streams);
    }
    let run_dir = args.run_dir.as_deref().expect("clap demands it where there is no --diff");
    let stored = report::open(run_dir)?;
    if let Some(filter) = &args.log {
        logs::dispatch(filter, String::new(), std::io::sink)?;
    }
    let record = &stored.record;
    only_simulated(run_dir, record)?;
    let here = Build::this();
    let same_build = record.build.same_as(&here);
    if args.strict && !same_build {
        return Err(Refusal::of(
            run_dir,
            format!(
                "another build made this run, and --strict refuses it: it was {}, this is {here}; check out that \
                 commit, or leave --strict out",
                record.build
            ),
        ));
    }
    if let Some(until) = args.until {
        return look::look(&stored, until, args, runner, streams);
    }
    let mut printer = Printer::new(streams, args.format, 1);
    if record.audit_hash.is_empty() {
        printer.note(
            "the run in this folder did not reach its end: there is no hash to compare, the verdict decides",
        );
    }
    if !same_build {
        printer.note(&format!(
            "warning: another build made this run ({}; this is {here}): the hash is not compared, the verdict decides",
            record.build
        ));
    }
    for name in &stored.edited {
        printer.note(&format!(
            "warning: {name} was edited since the run: the hash is not compared, the verdict decides"
        ));
    }

    let again = format!("cargo run --release -- replay {}", report::shell_word(run_dir));
    let options = RunOptions {
        plan: Some(stored.plan.clone()),
        wall_limit: args.wall_limit,
        reproduce: format!("{again}   # {here}"),
        ..RunOptions::default()
    };
    let scenario = &stored.file.scenario;
    let (result, wall) = make::call(runner, scenario, record.seed, &options, args.log.as_deref());
    let about = Expected { file: &stored.file, seed: record.seed, run_dir, wall };
    let mut replayed = RunRecord::new(about, &result);
    replayed.scenario_file = record.scenario_file.clone();
    replayed.reproduce = again;

    // A run whose process died, or whose world failed, has no hash.
    let has_hash = !record.audit_hash.is_empty() && result.harness_error.is_none();
    let comparable = same_build && stored.edited.is_empty() && has_hash;
    if comparable && result.audit_hash != record.audit_hash {
        let message = format!(
            "the run folder has the hash {}, the replay on the same build gave {}: something draws chance or time \
             from outside the run",
            record.audit_hash, result.audit_hash
        );
        replayed.add_defect("determinism", "one seed, one hash", message);
    }
    let expected = scenario.spec.expect.outcome;
    printer.result(&replayed, expected);
    if comparable && !replayed.failed("determinism") {
        printer.remark("the same hash as in the run folder");
    }
    if replayed.verdict != record.verdict {
        printer.remark(&format!(
            "the verdict in the run folder was {}, now it is {}",
            record.verdict.name(),
            replayed.verdict.name()
        ));
    }
    printer.finish();
    // A canary's replay must find the bug again. `Status::of` does not check that for a single run.
    let missed = expected == Outcome::Invalid && !replayed.expected;
    Ok(Status::of(&replayed, expected).max(if missed { Status::Violation } else { Status::Ok }))
}
