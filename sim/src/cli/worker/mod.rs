//! Worker processes: a run cannot take others with it.
//!
//! `squall run` starts as many children of itself as there are jobs (`squall worker`, a hidden command), and gives each
//! one run at a time. A run that hangs, aborts, overflows its stack, is killed, or holds too much memory costs its own
//! process and nothing else: it becomes a finding with its reproduction line, a new worker takes the old one's place, and
//! the batch goes on.
//!
//! ```text
//! parent (process.rs)                            worker (serve.rs)
//!   settings, then one order a run ── stdin ──▶  makes the run and stages its folder (make.rs)
//!   puts the folder in its place   ◀── stdin ──  what it does now; then the record of the run
//!   reads it where the worker died ◀── stdout ─  the journal: what the run has recorded so far
//!   passes it on, keeps its end    ◀── stderr ─  logs, panics
//! ```
//!
//! Standard input is a socket, and goes both ways; standard output is an unnamed file ([`crate::workload::Journal`]).
//! Nothing has a name in the file system but the run folder that is being made, so a crash leaves nothing behind. A
//! worker dies with the thread that started it (`PR_SET_PDEATHSIG`), so with its parent too.
//!
//! **Time and memory are watched from outside.** A run that loops cannot be trusted to look at a clock, nor one that eats
//! memory to allocate what it needs to say so. The parent looks twenty times a second. Memory is what the process really
//! holds, in RAM and swap, not its address space (`RLIMIT_AS`): each thread reserves 64 MiB for its stack and malloc
//! reserves as much for its arena, so a bound on the reserved space would be either useless or wrong. The price is that
//! a run can exceed the limit for a twentieth of a second. Where there is no `/proc`, memory is not watched.
//!
//! **Time is the run's, not the machine's**: what the worker waits for a processor is taken off ([`starved`]), since a
//! crowded machine must not make a sound run a finding.
//!
//! **What is told is what was seen**: the signal, the seconds, the bytes, the last instant that was recorded, the last
//! lines of standard error. Why the run hung is for the reader to find out.
//!
//! Where a run dies while it is judged, the run itself was over: it is made again without its judge, so that its folder
//! has the whole history and the trace. Where it dies in its world, the folder has what the journal has.

mod death;
mod message;
mod process;
mod serve;
mod starved;

pub(super) use death::{Death, bytes, plan_of};
pub(super) use message::{Act, AnyPath, Leaves, Order, ScenarioText, Settings};
pub(super) use process::{Limits, Stopped, Worker};
pub(super) use serve::serve;
