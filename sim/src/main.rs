//! The command `squall`. The simulation is the only build that has it.

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    squall::cli::main(squall::run::run).into()
}

#[cfg(not(madsim))]
fn main() {
    eprintln!(
        "squall: this is the real build (`cargo real …`), which holds no simulation. Run `cargo run --release -- …` \
         without `real` for the harness, or `cargo real run -p squall-store --bin squalld` for the server."
    );
    std::process::exit(64);
}
