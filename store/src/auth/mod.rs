//! Who calls, on the running member: passwords, tokens, and the way from a client's request to an entry.
//!
//! The state machine knows users, roles and what they allow (`squall_core::Auth`), and decides at each entry. Here is what
//! needs time or chance. A password is hashed, or compared with its hash, by the member that takes the call and before
//! anything is proposed: a password in the clear never reaches the log. A token is made by an entry and so known to every
//! member; each holds it in memory for as long as it is used, and loses it when it restarts or installs a snapshot. The
//! client then authenticates again, as etcd's clients do by themselves.
//!
//! Where this is stricter than etcd: after an installed snapshot a member holds no token. etcd keeps those that it had, so
//! that there a token can outlive the password that it was given for.
//!
//! With signed tokens (`seam::SignedTokens`; JWT in the real build) nothing is held: a token says whose it is and as of which
//! revision of users and roles, and the state machine refuses what is of an older one.
//!
//! Left out: users named by a client's certificate, since there is no TLS.
//!
//! Source: etcd 3.5, `server/auth/simple_token.go`, `server/etcdserver/v3_server.go`.

pub(crate) mod convert;
pub(crate) mod password;
mod tokens;

pub(crate) use tokens::{Tokens, index_of, prefix};
