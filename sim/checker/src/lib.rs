//! The judge: decides whether a history is linearizable, and explains why not.

pub mod checks;
pub mod history;
pub mod judge;
pub mod model;
pub mod picture;
pub mod read;
pub mod revision;
pub mod search;
