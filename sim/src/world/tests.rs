//! Tests over whole worlds.

mod conformance;
mod determinism;
mod disk;
mod kit;
mod net;
mod process;
mod watchdog;
