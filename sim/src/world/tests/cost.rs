//! What the world costs, measured by hand: `cargo test --release -p squall --lib world::tests::cost -- --ignored
//! --nocapture`. The project's own figures are those of `cargo bench`.

use std::{process::Command, time::Duration};

use bytes::Bytes;

use super::kit::{call, channel, idle_node, ms, run, serve_kit, sound};

/// Processor time of this process, in seconds: the machine may be shared. The simulation interposes clocks only on its
/// own threads, and this is read outside of it.
fn cpu() -> f64 {
    let id = std::process::id().to_string();
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let hertz = Command::new("getconf").arg("CLK_TCK").output().unwrap();
    ticks / String::from_utf8(hertz.stdout).unwrap().trim().parse::<f64>().unwrap()
}

fn measured(what: &str, work: impl FnOnce() -> f64) {
    let from = cpu();
    let count = work();
    let spent = cpu() - from;
    println!("{what}: {:.2} us each, {count} of them in {spent:.2} s of processor time", spent * 1e6 / count);
}

#[test]
#[ignore = "a measurement"]
fn unary_calls() {
    measured("unary call", || {
        sound(run(1, |world| async move {
            let m1 = world.add_node("m1");
            world.start(m1, serve_kit);
            let (_, env) = idle_node(&world, "c1");
            let kit = channel(&env, "m1");
            let body = Bytes::from(vec![1; 100]);
            for _ in 0..200_000 {
                call(&kit, "echo", body.clone()).await.unwrap();
            }
            200_000.0
        }))
    });
}

#[test]
#[ignore = "a measurement"]
fn idle_ticks() {
    measured("tick", || {
        sound(run(1, |world| async move {
            let nodes: Vec<_> = (1..=5).map(|number| idle_node(&world, &format!("m{number}"))).collect();
            for (_, env) in &nodes {
                let clock = env.clock.clone();
                let ticking = async move {
                    let mut ticker = clock.ticker(ms(100));
                    loop {
                        ticker.tick().await;
                    }
                };
                env.tasks.spawn("ticking", Box::pin(ticking)).detach();
            }
            world.sleep(Duration::from_secs(20_000)).await;
            1_000_000.0
        }))
    });
}

#[test]
#[ignore = "a measurement"]
fn empty_runs() {
    measured("run of nothing", || {
        for seed in 0..2000 {
            sound(run(seed, |world| async move { world.sleep(ms(1)).await }));
        }
        2000.0
    });
}
