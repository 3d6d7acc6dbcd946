//! A panic in a member's task ends the process at once, with a message that names the task: after an invariant is
//! broken, nothing may be acknowledged.

use std::{
    os::unix::process::ExitStatusExt,
    process::Command,
    time::{Duration, Instant},
};

use squall_store::{real::TokioTasks, seam::Tasks};

/// The variable that is set in the process that must die.
const VICTIM: &str = "SQUALL_TEST_PANIC_VICTIM";
const SIGABRT: i32 = 6;

#[test]
fn a_panic_in_a_task_aborts_the_process() {
    if std::env::var_os(VICTIM).is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let _task = TokioTasks.spawn("victim", Box::pin(async { panic!("what it saw") }));
            tokio::time::sleep(Duration::from_secs(60)).await;
        });
        unreachable!("the process outlived the panic by a minute");
    }
    let from = Instant::now();
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "panics::a_panic_in_a_task_aborts_the_process", "--nocapture"])
        .env(VICTIM, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.signal(), Some(SIGABRT), "{}: {said}", out.status);
    assert!(said.contains("what it saw") && said.contains("a task named 'victim' panicked"), "{said}");
    assert!(from.elapsed() < Duration::from_secs(50), "the process lived on for {:?}", from.elapsed());
}
