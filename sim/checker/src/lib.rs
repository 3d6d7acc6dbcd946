//! The judge: decides whether a history is linearizable, and explains why not.

pub mod history;
pub mod model;
pub mod read;
pub mod revision;
pub mod search;
