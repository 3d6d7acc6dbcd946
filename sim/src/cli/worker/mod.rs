//! Worker processes: a run that dies does not end other runs.
//!
//! `squall run` starts one child of itself for each job (`squall worker`, a hidden command), and gives each child one
//! run at a time. A run that hangs, aborts, overflows its stack, is killed, or holds too much memory ends only its own
//! process. It becomes a finding with its reproduction line, a new worker replaces the old one, and the batch goes on.
//!
//! ```text
//! parent (process.rs)                            worker (serve.rs)
//!   settings, then one order a run ── stdin ──▶  makes the run and stages its folder (make.rs)
//!   commits the folder             ◀── stdin ──  the act that begins; then the record of the run
//!   reads it if the worker died    ◀── stdout ─  the journal: what the run has recorded so far
//!   copies it, keeps its end       ◀── stderr ─  logs, panics
//! ```
//!
//! Standard input is a socket, and is used in both directions; standard output is an unnamed file
//! ([`crate::workload::Journal`]). Only the run folder that is being made has a name in the file system, so a crash
//! leaves no other files. The kernel kills a worker when the thread that started it ends (`PR_SET_PDEATHSIG`), so also
//! when its parent ends.
//!
//! **Time and memory are watched from outside.** A run that loops may never look at a clock, and a run that fills the
//! memory cannot allocate what a report needs. The parent looks twenty times a second. It measures the memory that the
//! process really holds, in RAM and swap, not its address space (`RLIMIT_AS`): each thread reserves 64 MiB for its
//! stack and malloc reserves as much for its arena, so a limit on reserved space would be either useless or wrong. So
//! a run can exceed the limit for a twentieth of a second. Without `/proc`, memory is not watched.
//!
//! **Waiting for a processor does not count** against the time limit ([`starved`]), since a crowded machine must not
//! turn a sound run into a finding.
//!
//! **A finding states only observations**: the signal, the seconds, the bytes, the last instant that was recorded, the
//! last lines of standard error. It does not say why the run hung.
//!
//! If a worker dies while it judges, the run itself was over. The run is made again without its judge, so that its
//! folder has the whole history and the trace. If a worker dies during the run, the folder holds the journal's
//! content.

mod death;
mod message;
mod process;
mod serve;
mod starved;

pub(super) use death::{Death, bytes, plan_of};
pub(super) use message::{Act, AnyPath, Leaves, Order, ScenarioText, Settings};
pub(super) use process::{Limits, Stopped, Worker};
pub(super) use serve::serve;
