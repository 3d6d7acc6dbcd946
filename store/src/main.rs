//! `squalld`, the real server. Everything is in the library. The simulated build has no server to run, and only says
//! so.

#[cfg(real_server)]
fn main() -> std::process::ExitCode {
    squall_store::real::daemon::main(std::env::args_os())
}

#[cfg(not(real_server))]
fn main() -> std::process::ExitCode {
    eprintln!(
        "squalld: this is the simulated build, which has no sockets, files or clocks to serve with. Build the real \
         server with `cargo real build --release` and run target-real/release/squalld, or use \
         `cargo real run -p squall-store -- --help`."
    );
    std::process::ExitCode::from(64)
}
