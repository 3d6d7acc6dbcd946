//! The tests.

use std::time::Instant;

use crate::run::{Run, Settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn squalld_answers_as_etcd_does() {
    let settings = Settings::from_environment();
    let Some(mut run) = Run::start(settings).await else { return };
    let began = Instant::now();
    run.make().await;
    println!("{}", run.summary(began.elapsed()));
    run.assert_no_differences();
}
