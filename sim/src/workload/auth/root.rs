//! Root: the user of the operator, of the harness, and of the clients of other workloads.
//!
//! While auth is on, the store refuses a request without a token. Then every client that belongs to no user acts as root,
//! as operators and their tools do. The client gets the token when a member asks for one. While auth is off, requests need
//! none.

use http::HeaderValue;
use squall_store::{
    proto::etcdserverpb::{AuthenticateRequest, auth_client::AuthClient},
    seam::{Channel, GrpcRequest},
};
use tower::ServiceExt;

use super::{
    book::{Book, ROOT},
    user::log_in,
};
use crate::workload::Client;

/// Whether a refusal with this message asks for a token, or for a newer one: auth was turned on, a member forgot its tokens
/// at a restart, or users and roles have changed.
pub(crate) fn wants_token(message: &str) -> bool {
    const REFUSALS: [&str; 3] = [
        "etcdserver: invalid auth token",
        "etcdserver: user name is empty",
        "etcdserver: revision of auth store is old",
    ];
    REFUSALS.contains(&message)
}

/// Gets root's token for a client, and records that. If it is refused, the client continues without a token.
pub(in crate::workload) async fn log_in_as_root(client: &mut Client, book: &Book) {
    client.use_session(None);
    if let Some(password) = book.password(ROOT, false) {
        log_in(client, ROOT, password).await;
    }
}

/// Asks for root's token, without a line in the history.
pub(crate) async fn root_token(channel: Channel, book: &Book) -> Option<RootToken> {
    let password = book.password(ROOT, false)?;
    let request = AuthenticateRequest { name: ROOT.to_owned(), password };
    let given = AuthClient::new(channel).authenticate(request).await.ok()?;
    given.into_inner().token.parse().ok().map(RootToken)
}

/// A token of root.
#[derive(Clone, Debug)]
pub(crate) struct RootToken(HeaderValue);

impl RootToken {
    /// The channel, with the token in every request.
    pub(crate) fn on(&self, channel: Channel) -> Channel {
        let value = self.0.clone();
        Channel::new(channel.map_request(move |mut request: GrpcRequest| {
            request.headers_mut().insert("token", value.clone());
            request
        }))
    }
}
