//! What the world costs, measured by hand: `cargo test --release -p squall --lib world::tests::cost -- --ignored
//! --nocapture`. The project's own figures are those of `cargo bench`.

use std::{process::Command, time::Duration};

use bytes::Bytes;

use super::kit::{call, channel, idle_node, ms, run, serve_kit, sound};
use crate::world::{NodeId, World};

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

/// Five members of the real store, and nobody else.
fn cluster(world: &World) -> Vec<NodeId> {
    let names: Vec<String> = (1..=5).map(|number| format!("m{number}")).collect();
    let initial: Vec<_> = names.iter().map(|name| (name.clone(), format!("http://{name}:2380"))).collect();
    let members: Vec<_> = names.iter().map(|name| world.add_node(name)).collect();
    for member in &members {
        let initial = initial.clone();
        world.start(*member, move |process| {
            let name = process.node.name();
            let config = squall_store::Config {
                name: name.to_owned(),
                data_dir: "data".into(),
                listen_client: vec![format!("{name}:2379")],
                advertise_client_urls: vec![format!("http://{name}:2379")],
                listen_peer: vec![format!("{name}:2380")],
                advertise_peer_urls: vec![format!("http://{name}:2380")],
                initial_cluster: initial.clone(),
                ..squall_store::Config::default()
            };
            Box::pin(async move {
                let server = squall_store::server::start(config, process.env.clone()).await;
                let server = server.map_err(|error| error.to_string())?;
                server.stopped().await;
                Ok(())
            })
        });
    }
    members
}

fn counted(what: &str, seconds: f64, counters: &crate::world::Counters) {
    let mut line = format!("{what}, a simulated second:");
    for (name, count) in counters {
        line += &format!(" {name} {:.0}", *count as f64 / seconds);
    }
    println!("{line}");
}

#[test]
#[ignore = "a measurement"]
fn idle_cluster() {
    const SECONDS: u64 = 3000;
    measured("simulated second of an idle 5-member cluster", || {
        let finished = run(1, |world| async move {
            cluster(&world);
            world.sleep(Duration::from_secs(SECONDS)).await;
        });
        counted("idle", SECONDS as f64, &finished.counters);
        sound(finished);
        SECONDS as f64
    });
}

#[test]
#[ignore = "a measurement"]
fn loaded_cluster() {
    use squall_store::proto::etcdserverpb::{PutRequest, kv_client::KvClient};
    const SECONDS: u64 = 100;
    measured("put, 16 clients at 200 a second together, 5 members", || {
        let finished = run(1, |world| async move {
            cluster(&world);
            world.sleep(Duration::from_secs(5)).await;
            let done = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
            for number in 0..16 {
                let (_, env) = idle_node(&world, &format!("c{number}"));
                let kv = env.net.dial(&format!("m{}:2379", number % 5 + 1), Default::default());
                let done = done.clone();
                let clock = env.clock.clone();
                let client = async move {
                    let mut kv = KvClient::new(kv);
                    let mut ticker = clock.ticker(ms(80));
                    loop {
                        ticker.tick().await;
                        let request = PutRequest {
                            key: vec![number].into(),
                            value: vec![1; 64].into(),
                            ..Default::default()
                        };
                        if kv.put(request).await.is_ok() {
                            done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                };
                env.tasks.spawn("client", Box::pin(client)).detach();
            }
            world.sleep(Duration::from_secs(SECONDS)).await;
            done.load(std::sync::atomic::Ordering::Relaxed) as f64
        });
        counted("loaded", SECONDS as f64, &finished.counters);
        sound(finished)
    });
}
