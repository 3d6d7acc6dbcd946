//! The benchmarks are in `benches`; this crate has no library code.
