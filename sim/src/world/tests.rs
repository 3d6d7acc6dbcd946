//! Tests over whole worlds.

mod chance;
mod conformance;
mod determinism;
mod disk;
mod impairments;
mod kit;
mod machines;
mod modifiers;
mod net;
mod overlap;
mod power;
mod process;
mod watchdog;
