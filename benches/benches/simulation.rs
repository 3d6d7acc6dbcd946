//! The cost of simulated time: whole runs through the same steps as `squall run` (scenario, schedule, world, judge),
//! and the world alone.
//!
//! Criterion measures processor time here, not wall time: a run is one thread, so on an idle core the two agree, and on
//! a shared machine only processor time is meaningful. An element is a simulated second, a run or a tick, so
//! criterion's throughput is the figure itself. Every measured run must be judged valid. A benchmark prints the counts
//! of its runs when it ends.
#![allow(missing_docs, reason = "criterion's macros make public functions without any")]

use std::{cell::RefCell, path::Path, time::Duration};

use criterion::{
    BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use squall::{
    explore::draw_scenario,
    report::{RunOptions, RunResult, Verdict},
    run::run,
    scenario::{Scenario, parse},
    world::{Process, World, WorldConfig},
};

/// The loaded scenario, which `squall run` can run too: that is how it is profiled (docs/performance.md).
const LOADED: &str = include_str!("../scenarios/loaded.yaml");

/// Processor time of this process.
struct ProcessorTime;

impl ProcessorTime {
    fn now() -> Duration {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the pointer is to a whole rusage, and all zeros are one.
        let usage = unsafe {
            assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0, "getrusage");
            usage.assume_init()
        };
        let time = |time: libc::timeval| {
            Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
        };
        time(usage.ru_utime) + time(usage.ru_stime)
    }
}

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        // At least 1, since criterion divides by it.
        (Self::now() - start).max(Duration::from_micros(1))
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Sums over runs.
#[derive(Default)]
struct Sums {
    runs: u64,
    processor: Duration,
    simulated: Duration,
    answered: u64,
    operations: u64,
    faults: u64,
    segments: u64,
    bytes: u64,
    syncs: u64,
    polls: u64,
}

impl Sums {
    fn take(&mut self, scenario: &Scenario, seed: u64) {
        let from = ProcessorTime::now();
        let result = run(scenario, seed, &RunOptions::default());
        self.processor += ProcessorTime::now() - from;
        assert_valid(&result, seed);
        let figure = |name: &str| result.counters[name];
        self.runs += 1;
        self.simulated += result.simulated;
        self.answered += result.operations.ok;
        self.operations += result.operations.ok + result.operations.fail + result.operations.info;
        self.faults += result.faults_injected.values().sum::<u64>();
        self.segments += figure("net.segments");
        self.bytes += figure("net.bytes");
        self.syncs += figure("disk.syncs");
        self.polls += figure("world.polls");
    }

    /// Prints the sums; prints nothing if a filter left the benchmark out.
    fn print(&self, title: &str) {
        if self.runs == 0 {
            return;
        }
        let processor = self.processor.as_secs_f64();
        let simulated = self.simulated.as_secs_f64();
        println!(
            "\n{title}: {} runs, {simulated:.0} s simulated in {processor:.2} s of processor time",
            self.runs
        );
        let line = |name: &str, figure: f64| println!("  {name:<50} {figure:>10.1}");
        line("simulated seconds per processor second", simulated / processor);
        for (name, count) in [
            ("segments", self.segments),
            ("kilobytes", self.bytes / 1000),
            ("fsyncs", self.syncs),
            ("polls", self.polls),
        ] {
            line(&format!("{name} per simulated second"), count as f64 / simulated);
        }
        line("runs per processor second", self.runs as f64 / processor);
        line("faults per run", self.faults as f64 / self.runs as f64);
        // The last phase makes a few segments of its own, which do not belong to any operation.
        if self.operations > 100 * self.runs {
            line("operations per simulated second", self.operations as f64 / simulated);
            line("of them answered, per cent", 100.0 * self.answered as f64 / self.operations as f64);
            line("checked operations per processor second", self.operations as f64 / processor);
            line("segments per operation", self.segments as f64 / self.operations as f64);
            line("segments per answered operation", self.segments as f64 / self.answered as f64);
        }
        println!();
    }
}

fn assert_valid(result: &RunResult, seed: u64) {
    assert_eq!(
        (result.verdict, &result.harness_error),
        (Verdict::Valid, &None),
        "seed {seed}: {:?}",
        result.failures
    );
}

/// One iteration is one run of each of the scenario's seeds; an element is a simulated second.
fn measure(group: &mut BenchmarkGroup<'_, ProcessorTime>, name: &str, scenario: &Scenario) {
    let sums = RefCell::new(Sums::default());
    let seeds = &scenario.spec.seeds;
    // The elements leave out the time beyond a run's planned time, for its start and its last reads.
    let planned = scenario.spec.longest() * u32::try_from(seeds.len()).expect("a few seeds");
    group.throughput(Throughput::Elements(planned.as_secs()));
    group.bench_function(name, |bencher| {
        bencher.iter(|| seeds.iter().for_each(|seed| sums.borrow_mut().take(scenario, *seed)));
    });
    sums.borrow().print(name);
}

fn loaded() -> Scenario {
    parse(Path::new("benches/scenarios/loaded.yaml"), LOADED).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// The same cluster with no clients and no faults, for ten minutes.
fn idle() -> Scenario {
    let mut scenario = loaded();
    let spec = &mut scenario.spec;
    spec.seeds = vec![1];
    spec.workloads.clear();
    spec.faults.clear();
    spec.time_limit = Duration::from_secs(600);
    spec.expect.min_operations_before = 0;
    spec.expect.min_operations_after = 0;
    scenario
}

fn runs(criterion: &mut Criterion<ProcessorTime>) {
    let mut group = criterion.benchmark_group("simulated seconds");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_secs(5));
    measure(&mut group, "5 members, idle", &idle());
    group.measurement_time(Duration::from_secs(60));
    measure(&mut group, "5 members, 16 clients at 200 requests/s, faults, checked", &loaded());
    group.finish();
}

/// Runs as `squall fuzz` draws them, of 20 simulated seconds before the heal each: an element is a seed.
fn explored(criterion: &mut Criterion<ProcessorTime>) {
    const TIME_LIMIT: Duration = Duration::from_secs(20);
    let drawn = (1..).map(draw_scenario).filter(|scenario| scenario.spec.time_limit == TIME_LIMIT);
    let scenarios: Vec<Scenario> = drawn.take(6).collect();
    let mut group = criterion.benchmark_group("exploratory seeds");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_secs(30));
    group.throughput(Throughput::Elements(scenarios.len() as u64));
    let (name, sums) = ("plans of 20 s", RefCell::new(Sums::default()));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            scenarios.iter().for_each(|scenario| sums.borrow_mut().take(scenario, scenario.spec.seeds[0]));
        });
    });
    sums.borrow().print(name);
    group.finish();
}

/// The fixed cost of a run, and the cost of a timer.
fn world(criterion: &mut Criterion<ProcessorTime>) {
    let mut group = criterion.benchmark_group("world");
    group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_secs(4));
    group.throughput(Throughput::Elements(1));
    group.bench_function("a run of nothing", |bencher| {
        bencher.iter(|| in_world(|world| async move { world.sleep(Duration::from_millis(1)).await }));
    });
    const TICKS: u32 = 100_000;
    group.throughput(Throughput::Elements(u64::from(TICKS)));
    group.bench_function("ticks of a clock", |bencher| {
        bencher.iter(|| {
            in_world(|world| async move {
                let node = world.add_node("m1");
                world.start(node, |_: Process| Box::pin(std::future::pending()));
                let env = world.env(node).expect("the process has just started");
                let clock = env.clock.clone();
                let ticking = async move {
                    let mut ticker = clock.ticker(Duration::from_millis(100));
                    loop {
                        ticker.tick().await;
                    }
                };
                env.tasks.spawn("ticking", Box::pin(ticking)).detach();
                world.sleep(Duration::from_millis(100) * TICKS).await;
            });
        });
    });
    group.finish();
}

fn in_world<F, Fut>(body: F)
where
    F: FnOnce(World) -> Fut + Send + 'static,
    Fut: Future<Output = ()>,
{
    let finished = World::run(WorldConfig::new(1), body).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(finished.violations.is_empty() && finished.output.is_some(), "{:?}", finished.violations);
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = runs, explored, world
}
criterion_main!(benches);
