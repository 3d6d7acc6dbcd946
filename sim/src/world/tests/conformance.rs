//! Runs the seams' conformance suites on the simulated implementations.

use std::{
    path::Path,
    sync::atomic::{AtomicU16, Ordering},
};

use squall_store::seam::conformance;

use super::kit::{idle_node, run, sound};

#[test]
fn clock() {
    sound(run(1, |world| async move {
        let (_, env) = idle_node(&world, "m1");
        conformance::clock::run(&*env.clock).await;
    }));
}

#[test]
fn net() {
    for seed in 0..5 {
        sound(run(seed, |world| async move {
            let (_, server) = idle_node(&world, "m1");
            let (_, client) = idle_node(&world, "c1");
            let port = AtomicU16::new(2379);
            conformance::net::run(&conformance::net::Fixture {
                clock: client.clock.clone(),
                server: server.net.clone(),
                client: client.net.clone(),
                address: Box::new(move || format!("m1:{}", port.fetch_add(1, Ordering::Relaxed))),
            })
            .await;
            // And a node that dials itself.
            let port = AtomicU16::new(4000);
            conformance::net::run(&conformance::net::Fixture {
                clock: server.clock.clone(),
                server: server.net.clone(),
                client: server.net.clone(),
                address: Box::new(move || format!("m1:{}", port.fetch_add(1, Ordering::Relaxed))),
            })
            .await;
        }));
    }
}

#[test]
fn files() {
    sound(run(1, |world| async move {
        let (_, env) = idle_node(&world, "m1");
        env.files.create_dir_all(Path::new("/suite")).await.unwrap();
        conformance::files::files_suite(env.files.clone(), Path::new("/suite")).await;
    }));
}

#[test]
fn engine() {
    sound(run(1, |world| async move {
        let (_, env) = idle_node(&world, "m1");
        env.files.create_dir_all(Path::new("/suite")).await.unwrap();
        conformance::engine::engine_suite(env.engines.clone(), Path::new("/suite")).await;
    }));
}
