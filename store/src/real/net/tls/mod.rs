//! TLS by rustls, with ring's cryptography, for clients and for members.
//!
//! Certificates, keys, authorities and revocation lists are files that are read again for each new connection, so
//! that they can be replaced while the member runs; an open connection keeps the files' content from its start. etcd
//! reads its own certificate again and its authorities once (`client/pkg/transport/listener.go`). A file that cannot
//! be read, or a key that does not belong to its certificate, fails the connection and is logged; the content that
//! was read before is not used any more.
//!
//! Sessions are not resumed: a session's ticket could outlive the certificate that it was given for.
//!
//! Left out: protocols older than TLS 1.2, cipher suites without forward secrecy, X.509 certificates of version 1, names
//! in a certificate's subject in place of its alternative names. Go refuses the last as well.

mod certificate;
mod client;
mod explain;
mod files;
mod options;
mod self_signed;
mod server;
mod suites;

use options::TlsError;
pub use options::TlsOptions;
pub use self_signed::make_self_signed;
pub use suites::suites;

pub(super) use client::connect;
pub(super) use server::accept;
