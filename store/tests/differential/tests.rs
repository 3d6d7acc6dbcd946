//! The tests.

use std::time::Instant;

use crate::{
    planted::PLANTED,
    record::Notes,
    run::{Run, Settings},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn squalld_answers_as_etcd_does() {
    let Some(mut run) = Run::start(Settings::from_environment()).await else { return };
    run.notes = Notes::from_environment(run.settings().seed, &run.settings().services);
    let began = Instant::now();
    run.make().await;
    println!("{}", run.summary(began.elapsed()));
    run.assert_no_differences();
    run.assert_no_stale_table();
    run.notes.iter().for_each(Notes::write);
}

/// The control: an error in an answer, or a change that is not sent, is found where it occurs and nowhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_errors_are_found() {
    let settings = Settings { operations: 20_000, ..Settings::from_environment() };
    let Some(mut run) = Run::start(settings).await else { return };
    for (name, planted) in PLANTED {
        let (before, found) = run.make_with(*planted).await;
        assert_eq!(before, 0, "differences before {name}: {:#?}", found.first());
        assert_eq!(found.len(), 1, "{name}, planted once, was found {} times: {found:#?}", found.len());
    }
}
