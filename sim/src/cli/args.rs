//! The arguments, as clap derives them.

use super::shard::{self, ShardChoice};
use super::worker::bytes;
use crate::explore::CampaignSeed;
use crate::processes::{Disks, KnownDefect, OnServer, Server};
use crate::text::{did_you_mean, one_of};
use clap::{Args, Parser, Subcommand, ValueEnum};
use squall_checker::judge::ModelName;
use squall_checker::read::{Format as InputFormat, NilRead};
use squall_core::planted::Bug;
use std::path::PathBuf;
use std::time::Duration;

/// Deterministic simulation and chaos testing of an etcd-style store.
#[derive(Debug, Parser)]
#[command(name = "squall", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit status: 0 every outcome as expected; 1 a violation, or an expectation that was not met; 2 unknown (a checker ran \
out of its budget); 3 the same seed gave two hashes; 64 bad arguments or a bad file; 70 the harness itself failed, or a \
run hung or died; 128 + n signal n interrupted it.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run scenario files, or folders of them
    Run(RunArgs),
    /// Explore: many runs of drawn settings, workloads and faults
    Fuzz(FuzzArgs),
    /// Merge the folders of a campaign's shards
    Merge(MergeArgs),
    /// Find the smallest scenario with the failure of a run folder
    Shrink(ShrinkArgs),
    /// Run a run folder's stored plan again
    Replay(ReplayArgs),
    /// Render run folders: a page, JUnit, JSON, text, GitHub's annotations, a Perfetto trace
    Report(ReportArgs),
    /// Print the JSON Schema of scenario or plan files
    Schema(SchemaArgs),
    /// List scenarios, and all words that a scenario can use
    List(ListArgs),
    /// Judge stored histories again, ours or those of other tools
    Check(CheckArgs),
    /// Check Prometheus' rule files, and run their tests in virtual time
    Alerts(AlertsArgs),
    /// Plant errors in the store, one at a time, and check whether the scenarios find them
    Mutants(MutantsArgs),
    /// Make the runs of a parent process (`squall run` starts it)
    #[command(hide = true)]
    Worker,
}

/// The real time that a run may take: some hundred times what a drill takes.
pub(super) const DEFAULT_WALL_LIMIT: Duration = Duration::from_secs(5 * 60);

/// The memory that a run may hold, in bytes: some forty times what a drill holds.
pub(super) const DEFAULT_MEMORY_LIMIT: u64 = 4 << 30;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct RunArgs {
    /// Scenario files or folders
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The seed to run [default: the scenario's first; for a canary, one seed after the other until its bug is found]
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    pub seed: Option<u64>,
    /// A range of seeds, both ends included
    #[arg(long, value_name = "A..B", value_parser = seed_range)]
    pub seeds: Option<SeedRange>,
    /// Run real servers instead of simulated members: squalld or etcd. Such runs are not deterministic
    #[arg(long, value_name = "squalld[=PATH]|etcd=PATH", value_parser = Server::parse, conflicts_with = "check_determinism")]
    pub on: Option<Server>,
    /// With --on: put data into plain folders, which need no privileges; power cuts then lose nothing
    #[arg(long, requires = "on")]
    pub plain_disks: bool,
    /// With --on: leave out requests that trigger this known bug of the server, given by its issue number
    #[arg(long, value_name = "ISSUE", requires = "on")]
    pub avoid: Vec<KnownDefect>,
    /// How many runs to make at the same time [default: one per core; with --on, one]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// How to print results
    #[arg(long, default_value = "human")]
    pub format: Format,
    /// Where run folders go, as DIR/<scenario>/<seed>
    #[arg(long, value_name = "DIR", default_value = "reports/runs")]
    pub out: PathBuf,
    /// Which run folders keep all files; the others keep only run.json
    #[arg(long, default_value = "failed")]
    pub keep: Keep,
    /// Print the logs that match, such as `info` or `squall_store=debug`
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Run every seed twice, and fail where the hashes differ
    #[arg(long)]
    pub check_determinism: bool,
    /// Real time that one run may take, not counting its waits for a processor. A run that takes longer is stopped and reported; the other runs continue
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = wall_limit)]
    pub wall_limit: Duration,
    /// Memory that one run may use, such as 512MiB. A run that uses more is stopped and reported; the other runs continue
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size)]
    pub memory_limit: u64,
}

impl RunArgs {
    /// What is run in place of simulated members, if anything.
    pub fn on_server(&self) -> Option<OnServer> {
        let disks = if self.plain_disks { Disks::PlainAndPowerCutsLoseNothing } else { Disks::AsNeeded };
        self.on.clone().map(|server| OnServer { server, disks, avoid: self.avoid.clone() })
    }
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct FuzzArgs {
    /// Scenario files or folders to explore over many seeds [default: none; each run draws a scenario of its own]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How many iterations the campaign has, all shards together [default: 500, unless --time is given]
    #[arg(long, value_name = "N", conflicts_with = "time", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub iterations: Option<u64>,
    /// How long the campaign lasts, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = campaign_time)]
    pub time: Option<Duration>,
    /// The seed that determines all iterations: a number or a commit [default: this build's commit]
    #[arg(long, value_name = "N|COMMIT")]
    pub campaign_seed: Option<CampaignSeed>,
    /// Run only part I of N, counted from 1; `auto` reads I and N from the CI system's environment variables
    #[arg(long, value_name = "I/N|auto", value_parser = shard::parse)]
    pub shard: Option<ShardChoice>,
    /// How many runs at a time [default: one a core]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Continue the campaign in the folder, if there is one
    #[arg(long)]
    pub resume: bool,
    /// Stop after N different findings
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub max_findings: Option<u64>,
    /// The campaign's folder [default: reports/fuzz/<campaign seed>, with the shard]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Share of the iterations that run twice, to compare their hashes; without a value, all of them
    #[arg(long, value_name = "SHARE", default_value = "5%", default_missing_value = "100%", num_args = 0..=1,
        require_equals = true, value_parser = share)]
    pub check_determinism: f64,
    /// Plant an error in the store; the campaign then fails if it does not find the error
    #[arg(long, value_name = "NAME", value_parser = planted)]
    pub planted_bug: Option<String>,
    /// Run only this iteration, and keep its whole run folder
    #[arg(long, value_name = "INDEX", conflicts_with_all = ["iterations", "time", "shard", "resume", "max_findings"])]
    pub only: Option<u64>,
    /// How many runs the shrinking of one finding may take; 0: findings are not shrunk
    #[arg(long, value_name = "RUNS", default_value = "600")]
    pub shrink_budget: u64,
    /// Leave the canaries out, for a short campaign
    #[arg(long)]
    pub without_canaries: bool,
    /// Exit with 0 even if there are findings; `squall merge` then reports them and fails
    #[arg(long)]
    pub no_fail: bool,
    /// How to print
    #[arg(long, default_value = "human")]
    pub format: Format,
    /// Real time that one run may take
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = wall_limit)]
    pub wall_limit: Duration,
    /// Memory that one run may hold
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size)]
    pub memory_limit: u64,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct MergeArgs {
    /// Folders that `squall fuzz` or `squall merge` wrote
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// The merged campaign's folder; without it, the result is only printed
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// An earlier campaign, whose findings are known: only new findings are a failure. Its folder, or its campaign.json
    #[arg(long, value_name = "DIR|FILE")]
    pub baseline: Option<PathBuf>,
    /// Merge campaigns of different builds, seeds or scenarios
    #[arg(long)]
    pub allow_mixed: bool,
    /// How to print
    #[arg(long, default_value = "human")]
    pub format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct ShrinkArgs {
    /// The failing run's folder, such as reports/runs/majority-loss/7
    #[arg(value_name = "RUN_DIR")]
    pub run_dir: PathBuf,
    /// How many runs the shrinking may take
    #[arg(long, value_name = "RUNS", default_value = "600", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub budget: u64,
    /// Folder for the scenario, and for the state that a later shrinking continues from [default: RUN_DIR/shrunk]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How many runs at a time [default: one a core]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// How to print
    #[arg(long, default_value = "human")]
    pub format: Format,
    /// Real time that one run may take; at most 1m, unless the failure is a hang
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = wall_limit)]
    pub wall_limit: Duration,
    /// Memory that one run may hold
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size)]
    pub memory_limit: u64,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct ReplayArgs {
    /// The run folder, such as reports/runs/majority-loss/7
    #[arg(value_name = "RUN_DIR", required_unless_present = "diff")]
    pub run_dir: Option<PathBuf>,
    /// Stop the run at this instant of virtual time, such as 12.3s, and print the members' state
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "diff")]
    pub until: Option<Duration>,
    /// With --until: only these members, such as m2
    #[arg(long, value_name = "MEMBER", value_delimiter = ',', requires = "until")]
    pub show: Vec<String>,
    /// Show the first difference between two traces: A and B are trace files, or run folders (a run without a trace is made again)
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with_all = ["run_dir", "strict"])]
    pub diff: Option<Vec<PathBuf>>,
    /// Refuse a folder that another build wrote; without this option there is only a warning
    #[arg(long)]
    pub strict: bool,
    /// How to print the result
    #[arg(long, default_value = "human")]
    pub format: Format,
    /// Print the logs that match, such as `info` or `squall_store=debug`
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Real time that the run may take before the watchdog ends the process with status 70
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, hide = true)]
    pub wall_limit: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct ReportArgs {
    /// Run folders, such as reports/runs/majority-loss/7, folders of them, or the folder of a campaign (`squall fuzz --out`)
    #[arg(required = true, value_name = "RUN_DIR")]
    pub paths: Vec<PathBuf>,
    /// What to make
    #[arg(long, default_value = "html")]
    pub format: ReportFormat,
    /// Where to write it, `-` for standard output [default: for html report.html in the folder, else standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What `squall report` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportFormat {
    /// A page that opens from disk
    Html,
    /// JUnit's XML, for CI systems
    Junit,
    /// One object a line: the record, the faults, the members' lanes, the findings
    Json,
    /// The run as a story
    Text,
    /// Annotations for GitHub Actions; the summary goes to $GITHUB_STEP_SUMMARY
    Github,
    /// A trace for ui.perfetto.dev
    Perfetto,
    /// The series that were scraped, for `promtool tsdb create-blocks-from openmetrics`
    Openmetrics,
    /// The alerts as a test for promtool: a folder with test.yaml and rules.yaml [default: promtool in the run folder]
    Promtool,
}

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Which files the schema is for
    #[arg(default_value = "scenario")]
    pub kind: SchemaKind,
}

/// The kinds of file that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaKind {
    /// Scenario files, which people write
    Scenario,
    /// plan.yaml, which a seed makes from a scenario
    Plan,
    /// No schema, but the reference page that is made from it: docs/scenarios.md
    Reference,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Scenario files or folders [default: the folder scenarios, if it exists]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How to print
    #[arg(long, default_value = "human")]
    pub format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct CheckArgs {
    /// Run folders, history files, reports of etcd's robustness tests, folders of Jepsen's store, or folders of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The model to judge by [default: chosen from the format and the operations]
    #[arg(long, value_name = "MODEL", value_parser = model)]
    pub model: Option<ModelName>,
    /// The initial value, as the model writes it: an integer, `nil`, another scalar, `held` or `free`, `x=0,y=1`
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub initial: Option<String>,
    /// What nil means where a read gave it: `value` (the read saw nil) or `unknown` (what it saw was not kept)
    #[arg(long, value_name = "MEANING", value_parser = nil)]
    pub nil: Option<NilRead>,
    /// The files' format [default: recognised from the content]
    #[arg(long, value_name = "FORMAT", value_parser = input_format)]
    pub input_format: Option<InputFormat>,
    /// Draw the history as HTML into this file, or into this folder if there are several histories
    #[arg(long, value_name = "OUT")]
    pub html: Option<PathBuf>,
    /// How to print
    #[arg(long, default_value = "human")]
    pub format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct AlertsArgs {
    /// Rule files, and files of `promtool test rules`
    #[arg(required = true, value_name = "FILE")]
    pub paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct MutantsArgs {
    /// Scenario files or folders [default: scenarios]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How many seeds of each scenario to try at most
    #[arg(long, value_name = "N", default_value = "40", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Try only this planted error; may be given several times
    #[arg(long, value_name = "NAME", value_parser = planted)]
    pub only: Vec<String>,
    /// Try only the planted errors that a canary among the scenarios has
    #[arg(long)]
    pub with_canary: bool,
    /// Explore instead: look for each error in N campaigns, and shrink the first run that shows it
    #[arg(long, value_name = "N", conflicts_with = "seeds", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub campaigns: Option<u64>,
    /// CPU time after which a campaign stops without a finding
    #[arg(long, value_name = "DURATION", default_value = "20m", value_parser = duration, requires = "campaigns")]
    pub cpu_limit: Duration,
    /// How many planted errors to try at the same time
    #[arg(long, value_name = "N", default_value = "2", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: u16,
    /// How to print the table
    #[arg(long, default_value = "markdown")]
    pub format: MutantFormat,
    /// Put the table between the marker lines of this file
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Folder for the scenarios and run folders while this command runs
    #[arg(long, value_name = "DIR", default_value = "reports/mutants")]
    pub out: PathBuf,
}

/// How the table of planted errors is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum MutantFormat {
    /// A table
    Markdown,
    /// One compact object a line
    #[value(alias = "jsonl")]
    Json,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Human,
    /// One compact object a line
    #[value(alias = "jsonl")]
    Json,
}

/// Which runs keep everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Keep {
    /// Those whose verdict is not valid
    Failed,
    /// All
    All,
}

/// Seeds from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SeedRange {
    pub first: u64,
    pub last: u64,
}

/// More runs than a command makes in a month.
const MAX_SEEDS: u64 = 100_000_000;

fn seed_range(text: &str) -> Result<SeedRange, String> {
    let shape = "expected two seeds, such as 1..200 (both ends are included)";
    let (first, last) = text.split_once("..").ok_or(shape)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is no seed: {shape}"));
    let range = SeedRange { first: number(first)?, last: number(last)? };
    if range.first > range.last {
        return Err(format!("the range ends before it begins: did you mean {last}..{first}?"));
    }
    if range.last - range.first >= MAX_SEEDS {
        return Err(format!("the range has more than {MAX_SEEDS} seeds: take a part of it"));
    }
    Ok(range)
}

fn model(text: &str) -> Result<ModelName, String> {
    let known = ModelName::ALL.map(ModelName::name);
    ModelName::from_name(text).ok_or_else(|| unknown(text, &known))
}

fn nil(text: &str) -> Result<NilRead, String> {
    match text {
        "value" => Ok(NilRead::Value),
        "unknown" => Ok(NilRead::Unknown),
        other => Err(unknown(other, &["value", "unknown"])),
    }
}

fn input_format(text: &str) -> Result<InputFormat, String> {
    let known = InputFormat::ALL.map(InputFormat::name);
    InputFormat::from_name(text).ok_or_else(|| unknown(text, &known))
}

fn planted(text: &str) -> Result<String, String> {
    match Bug::named(text) {
        Some(bug) => Ok(bug.name().to_owned()),
        None => Err(format!(
            "there is no planted error `{text}`; `squall list` names them{}",
            did_you_mean(text, Bug::NAMES.iter().copied())
        )),
    }
}

fn unknown(text: &str, known: &[&str]) -> String {
    let hint = did_you_mean(text, known.iter().copied());
    format!("expected {}{hint}", one_of(known.iter().copied()))
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::text::parse_duration(text)
}

fn wall_limit(text: &str) -> Result<Duration, String> {
    let limit = duration(text)?;
    if limit.is_zero() { Err("expected more than 0s: no run ends in no time".to_owned()) } else { Ok(limit) }
}

fn campaign_time(text: &str) -> Result<Duration, String> {
    let time = crate::text::parse_duration(text)?;
    if time.is_zero() || time > super::fuzz::LONGEST {
        return Err("expected more than 0s and at most 30 days (720h)".to_owned());
    }
    Ok(time)
}

/// `5%`, or a fraction such as 0.05.
fn share(text: &str) -> Result<f64, String> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.parse::<f64>().ok().map(|number| number / scale);
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "expected a share from 0 to 1, such as 0.05 or 5%".to_owned())
}

/// Less is no limit that a process could keep.
const LEAST_SIZE: u64 = 64 << 20;

fn size(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "" | "B" => Some(0),
        "KiB" => Some(10),
        "MiB" => Some(20),
        "GiB" => Some(30),
        _ => None,
    };
    let count =
        number.parse::<u64>().ok().zip(shift).and_then(|(number, shift)| number.checked_mul(1 << shift));
    match count {
        None => Err("expected a size in bytes, KiB, MiB or GiB, such as 512MiB".into()),
        Some(count) if count < LEAST_SIZE => Err(format!("a process needs {} at least", bytes(LEAST_SIZE))),
        Some(count) => Ok(count),
    }
}
