//! The canaries of the build: scenarios with a planted bug that every campaign must find. They are part of the binary,
//! so that a campaign has them wherever it runs.

use std::path::Path;

use crate::scenario::{ScenarioFile, parse};

include!(concat!(env!("OUT_DIR"), "/canaries.rs"));

/// The canaries, ordered by name.
///
/// # Panics
/// If a file of `scenarios/canary` cannot be read. A test runs all of them.
pub fn canaries() -> Vec<ScenarioFile> {
    let read = |(path, text): &(&str, &str)| {
        let path = Path::new(path);
        let scenario = parse(path, text).unwrap_or_else(|refusal| panic!("{refusal}"));
        ScenarioFile { path: path.to_owned(), text: (*text).to_owned(), scenario }
    };
    CANARIES.iter().map(read).collect()
}
