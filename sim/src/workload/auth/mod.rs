//! Users that try what they may and what they may not, and an administrator that changes what that is.
//!
//! The first client is the administrator. It makes root, the roles and the users, turns auth on, and then goes on changing:
//! it grants and revokes, replaces passwords, deletes users and makes them anew, turns auth off and on again. When the
//! clients are to stop it turns auth off, so that the run's own reads at the end need no token.
//!
//! Every other client takes a user's part: it gets a token, mostly with the right password, and reads, writes and deletes
//! with it, also after the password has been replaced. Now and then it asks without a token. Users hang keys on leases that they
//! share: a user that may not write all keys of a lease may hang no other key on it, and may neither revoke nor renew it. They
//! also try to compact.
//!
//! What the administrator has told to the store is written in a book that the clients share ([`book`]); what clients do with
//! it moves no draw of theirs. The judge does not see the book.
//!
//! All others of such a run, the operator among them, act as [`root`].

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
