//! The pure state machine of Squall's store.

mod batch;
mod command;
mod kv;
mod membership;
mod refusal;
mod types;

pub use batch::*;
pub use command::*;
pub use kv::*;
pub use membership::*;
pub use refusal::*;
pub use types::*;
