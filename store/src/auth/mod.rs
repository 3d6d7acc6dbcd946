//! Authentication on the running member: passwords, tokens, and how a client's auth request becomes an entry.
//!
//! The state machine knows users, roles and what they allow (`squall_core::Auth`), and decides at each entry. This
//! module does what needs time or chance. The member that takes the call hashes a password, or compares it with its
//! hash, before it proposes anything. So a password in the clear never reaches the log. A token is made by an entry,
//! and so every member knows it. Each member holds it in memory for as long as it is used, and loses it when the
//! member restarts or installs a snapshot. The client then authenticates again, as etcd's clients do by themselves.
//!
//! This is stricter than etcd: after an installed snapshot a member holds no token. etcd's member keeps its tokens,
//! so a token can outlive the password that it was given for.
//!
//! With signed tokens (`seam::SignedTokens`; JWT in the real build) members hold no tokens: a token names its user
//! and the revision of users and roles for which it was signed. The state machine refuses a token of an older
//! revision.
//!
//! With TLS, a client's certificate may name its user instead (`api::credentials`). Only the real build has TLS.
//!
//! Source: etcd 3.5, `server/auth/simple_token.go`, `server/etcdserver/v3_server.go`.

pub(crate) mod convert;
pub(crate) mod password;
mod tokens;

pub(crate) use tokens::{Tokens, index_of, prefix};
