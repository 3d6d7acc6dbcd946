//! TLS: certificates of all kinds, shown to clients and members, replaced while the member runs; malicious callers.

mod attacks;
mod certificate_users;
mod clients;
mod members;
mod pki;
mod rotation;

pub(crate) use pki::{Authority, Wanted, client};
