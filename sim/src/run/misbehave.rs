//! Makes a run misbehave on demand, to test how that is handled: a run that hangs, aborts, overflows its stack, fills the
//! memory or is killed, and a judge that hangs.
//!
//! The environment variable `SQUALL_MISBEHAVE` holds items `what:scenario:seed`, with commas between them. Builds
//! without debug assertions, which includes release builds, ignore it.

use std::time::Duration;

use crate::{arena::Arena, plan::Plan};

/// When the world misbehaves, in simulated time: in the middle of a short test's load.
const AT: Duration = Duration::from_secs(3);

/// Misbehaves at [`AT`], if this run is to. Never completes.
pub(super) async fn after_a_while(arena: &dyn Arena, plan: &Plan) -> std::convert::Infallible {
    let act: fn() = match wanted(plan).as_deref() {
        Some("hang") => hang,
        Some("abort") => || std::process::abort(),
        Some("overflow") => || {
            std::hint::black_box(overflow(1));
        },
        Some("eat") => eat,
        Some("kill") => kill,
        _ => return std::future::pending().await,
    };
    arena.sleep(AT).await;
    act();
    std::future::pending().await
}

/// Misbehaves in place of the judge, if it is to.
pub(super) fn in_the_judge(plan: &Plan) {
    match wanted(plan).as_deref() {
        Some("judge-hang") => hang(),
        Some("judge-eat") => eat(),
        _ => {}
    }
}

fn wanted(plan: &Plan) -> Option<String> {
    if !cfg!(debug_assertions) {
        return None;
    }
    let items = std::env::var("SQUALL_MISBEHAVE").ok()?;
    let end = format!(":{}:{}", plan.scenario, plan.seed);
    items.split(',').find_map(|item| item.strip_suffix(&end)).map(str::to_owned)
}

fn hang() {
    loop {
        std::hint::spin_loop();
    }
}

/// Allocates two gigabytes at most: on a busy machine the run may not be watched for a while.
fn eat() {
    let eaten: Vec<Vec<u8>> = (0..128).map(|_| vec![1; 16 << 20]).collect();
    std::hint::black_box(eaten);
    hang();
}

fn kill() {
    // SAFETY: a signal to this process, which ends it.
    unsafe { libc::raise(libc::SIGKILL) };
}

#[allow(unconditional_recursion, reason = "it is to overflow the stack")]
fn overflow(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 64]);
    here[0] + overflow(here[1] + 1) + here[2]
}
