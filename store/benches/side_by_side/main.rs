//! `squalld` beside etcd 3.5.1: the same load on the same machine in the same run, one member and three.
//!
//! A machine that others use too is faster and slower by the minute, so a figure of one server says little beside a figure
//! of the other that was taken later. Both clusters run all the time here, and the load goes to them in turn, in slices of a
//! second or so, several rounds for each row; what a row compares was measured within seconds. The cluster that is
//! not loaded sends heartbeats alone.
//!
//! ```console
//! $ SQUALL_ETCD=$(.ci/tool.sh etcd) cargo real bench -p squall-store --bench side_by_side
//! $ ... --bench side_by_side -- put --members 1      # rows whose name begins so
//! ```
//!
//! `--members 1` or `3` leaves the other out, `--seconds` and `--rounds` say how long and how often. Each row tells both rates,
//! their ratio (above 1 where squalld is ahead), the medians and 99th percentiles of what an operation took, what a second of
//! the servers' processor time does, and what the servers hold in memory afterwards. The load's own processor time comes out
//! of the same machine, as much for either.
//!
//! Left out: TLS, auth, values beyond 256 bytes, and what a network adds.
#![cfg_attr(
    real_server,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "processes, sockets and real time are what is measured"
    )
)]

#[cfg(real_server)]
#[path = "../../tests/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests of the real server use the rest")]
mod harness;
#[cfg(real_server)]
mod load;
#[cfg(real_server)]
mod servers;
#[cfg(real_server)]
mod table;

#[cfg(not(real_server))]
fn main() {
    eprintln!("This compares processes: cargo real bench -p squall-store --bench side_by_side");
}

#[cfg(real_server)]
fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(measure(arguments));
}

#[cfg(real_server)]
struct Arguments {
    names: Vec<String>,
    members: Vec<usize>,
    seconds: f64,
    rounds: usize,
}

#[cfg(real_server)]
impl Arguments {
    fn parse() -> Arguments {
        let mut parsed = Arguments { names: Vec::new(), members: vec![1, 3], seconds: 1.0, rounds: 4 };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number = || -> f64 {
                let value = words.next().unwrap_or_default();
                value.parse().unwrap_or_else(|_| usage(&format!("{word} {value}: a number is expected")))
            };
            match &*word {
                "--members" => parsed.members = vec![number() as usize],
                "--seconds" => parsed.seconds = number(),
                "--rounds" => parsed.rounds = number() as usize,
                // Cargo says that this is no test.
                "--bench" => {}
                name if !name.starts_with('-') => parsed.names.push(name.to_owned()),
                other => usage(&format!("{other} is no option")),
            }
        }
        parsed
    }
}

#[cfg(real_server)]
fn usage(what: &str) -> ! {
    eprintln!("{what}; the options are --members, --seconds and --rounds");
    std::process::exit(64);
}

#[cfg(real_server)]
async fn measure(arguments: Arguments) {
    let lasts = std::time::Duration::from_secs_f64(arguments.seconds);
    for members in &arguments.members {
        let Some(pair) = servers::Pair::start(*members) else { std::process::exit(1) };
        table::head(*members);
        for row in load::ROWS {
            let wanted = |name: &String| row.name().starts_with(name.as_str());
            if !arguments.names.is_empty() && !arguments.names.iter().any(wanted) {
                continue;
            }
            let mut measured = [table::Measured::default(), table::Measured::default()];
            for round in 0..arguments.rounds {
                // Neither always comes after the other.
                for at in [round % 2, 1 - round % 2] {
                    let server = &pair.servers[at];
                    let before = server.processor_time();
                    let slice = row.run(server, lasts).await;
                    measured[at].add(slice, server.processor_time() - before);
                }
            }
            for (measured, server) in measured.iter_mut().zip(&pair.servers) {
                measured.resident_bytes = server.resident_bytes();
            }
            table::row(row, &mut measured);
        }
    }
}
