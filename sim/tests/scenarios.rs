//! The scenarios as tests. The real build has no simulation, so it has none of them.

#[cfg(madsim)]
#[path = "../alerts/tests/support/promtool.rs"]
mod promtool;

#[cfg(madsim)]
#[path = "scenarios/trials.rs"]
mod trials;

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    trials::main()
}

#[cfg(not(madsim))]
fn main() {}
