fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap();
    let from: u64 = args.next().unwrap().parse().unwrap();
    let to: u64 = args.next().map(|s| s.parse().unwrap()).unwrap_or(from);
    let text = std::fs::read_to_string(&path).unwrap();
    let scenario: squall::scenario::Scenario = serde_yaml::from_str(&text).unwrap();
    let options = squall::report::RunOptions { trace: std::env::var("TRACE").is_ok(), ..Default::default() };
    for seed in from..=to {
        let t = std::time::Instant::now();
        let r = squall::run::run(&scenario, seed, &options);
        println!("{} {seed} {:?} {:?} {} sim={:?} wall={:?} {:?} {:?} err={:?}", scenario.metadata.name, r.verdict, r.failures, &r.audit_hash[..16], r.simulated, t.elapsed(), r.operations, r.faults_injected, r.harness_error);
        for e in &r.history.events { if !matches!(e, squall_checker::history::Event::Raft(_)) { if std::env::var("EVENTS").is_ok() { println!("   {e:?}"); } else if matches!(e, squall_checker::history::Event::Liveness(_)|squall_checker::history::Event::Panic(_)|squall_checker::history::Event::Break(_)) { println!("   {e:?}"); } } }
        if std::env::var("COUNTERS").is_ok() { println!("   {:?}", r.counters); }
        if let (Some(t), Ok(p)) = (r.trace, std::env::var("TRACE")) { std::fs::write(p, t).unwrap(); }
    }
}
