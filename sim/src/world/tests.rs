//! Tests over whole worlds.

mod conformance;
mod determinism;
mod kit;
mod net;
mod process;
