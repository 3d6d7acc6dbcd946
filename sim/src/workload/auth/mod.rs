//! Users that try what they are allowed and what they are not allowed, and an administrator that changes their permissions.
//!
//! The first client is the administrator. It creates root, the roles and the users, and turns auth on. Then it grants and
//! revokes, replaces passwords, deletes users and creates them again, and turns auth off and on. When the clients have to
//! stop, it turns auth off, so that the run's own reads at the end need no token.
//!
//! Every other client acts as a user. It gets a token, mostly with the right password, and reads, writes and deletes with
//! it, also after the password was replaced. Sometimes it asks without a token. Users attach keys to leases that they share.
//! A user that is not allowed to write all keys of a lease must not attach another key to it, and must neither revoke nor
//! renew it. Users also try to compact.
//!
//! The clients share a book of the passwords that the administrator has set ([`book`]). Reading it changes no draw. The
//! judge does not see the book.
//!
//! All other clients of such a run, including the operator, act as [`root`].

mod admin;
mod book;
mod root;
mod user;
mod wire;

pub(super) use admin::Admin;
pub(crate) use book::Book;
pub(super) use root::log_in_as_root;
pub(crate) use root::{RootToken, root_token, wants_token};
pub(super) use user::User;
pub(super) use wire::send;
