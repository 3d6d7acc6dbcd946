//! The credentials in a request, and the user that they identify.

use http::{Extensions, HeaderMap};
use squall_core::{Caller, Refusal, State};
use tonic::{Request, Status};

use super::{Service, convert};
use crate::{
    auth,
    seam::{CertificateName, timeout},
};

/// The header that etcd's JSON gateway adds to each request that it passes on.
const GATEWAY: &str = "grpcgateway-accept";

/// What a request says about its client: metadata `token`, or `authorization`, in which `Bearer ` may precede the
/// token. Without either, the client's certificate names the user. A gateway's certificate belongs to the gateway,
/// and names no user (etcd's `AuthInfoFromTLS`).
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials {
    token: Option<String>,
    certificate: Option<CertificateName>,
}

impl Credentials {
    pub(super) fn of<T>(request: &Request<T>) -> Credentials {
        Credentials::in_parts(request.metadata().as_ref(), request.extensions())
    }

    pub(super) fn in_parts(headers: &HeaderMap, extensions: &Extensions) -> Credentials {
        let token = headers.get("token").or_else(|| headers.get("authorization"));
        // A value that is not text is not a token.
        let text = token.map(|token| token.to_str().unwrap_or_default());
        let certificate = extensions.get().filter(|_| !headers.contains_key(GATEWAY)).cloned();
        Credentials {
            token: text.map(|text| text.strip_prefix("Bearer ").unwrap_or(text).to_owned()),
            certificate,
        }
    }

    /// A request with these credentials, for a service that calls another service on the client's behalf.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.parse().expect("it came in a header"));
        }
        if let Some(certificate) = &self.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        request
    }
}

impl Service {
    /// Waits until this member has applied the entry that made the caller's token, for as long as an election takes.
    /// etcd waits for as long as the client does; but a token from before a restore names an entry that may be far
    /// in the future, and its client gets a new token only after a refusal. A signed token is not made by an entry,
    /// so there is nothing to wait for.
    ///
    /// # Errors
    /// `InvalidAuthToken` if that takes too long.
    pub(super) async fn await_token(&self, credentials: &Credentials) -> Result<(), Refusal> {
        let shared = self.node.shared();
        if self.node.env().secrets.signed_tokens().is_some() {
            return Ok(());
        }
        let Some(index) = credentials.token.as_deref().and_then(auth::index_of) else { return Ok(()) };
        if shared.applied.get() >= index || !shared.state().auth().is_enabled() {
            return Ok(());
        }
        let mut applied = shared.applied.subscribe();
        let known = applied.wait_for(|applied| *applied >= index);
        match timeout(&*self.node.env().clock, self.node.config().election_timeout, known).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Refusal::Stopped),
            Err(_) => Err(Refusal::InvalidAuthToken),
        }
    }

    /// The caller of the request, in this state. While auth is off, credentials are not looked at.
    ///
    /// # Errors
    /// `InvalidAuthToken` for a token that this member does not hold.
    pub(super) fn caller(&self, state: &State, credentials: &Credentials) -> Result<Caller, Refusal> {
        if !state.auth().is_enabled() {
            return Ok(Caller::NOBODY);
        }
        let Some(token) = &credentials.token else {
            let named = credentials.certificate.as_ref().filter(|named| !named.0.is_empty());
            return Ok(named.map_or(Caller::NOBODY, |CertificateName(user)| Caller {
                user: user.clone(),
                revision: state.auth().revision(),
            }));
        };
        let env = self.node.env();
        if let Some(tokens) = env.secrets.signed_tokens() {
            let (user, revision) = tokens.read(token, env.clock.wall()).ok_or(Refusal::InvalidAuthToken)?;
            return Ok(Caller { user, revision });
        }
        let (now, ttl) = (env.clock.monotonic(), self.node.config().auth_token_ttl);
        let mut tokens = self.node.shared().tokens();
        let user = tokens.use_token(token, now, ttl).ok_or(Refusal::InvalidAuthToken)?;
        Ok(Caller { user: user.to_owned(), revision: state.auth().revision() })
    }

    /// Identifies the caller and reads the state, under one lock.
    pub(super) async fn look<T>(
        &self,
        credentials: &Credentials,
        answer: impl FnOnce(&State, &Caller) -> Result<T, Refusal>,
    ) -> Result<T, Status> {
        self.await_token(credentials).await.map_err(convert::status)?;
        let state = self.node.shared().state();
        let caller = self.caller(&state, credentials).map_err(convert::status)?;
        answer(&state, &caller).map_err(convert::status)
    }

    /// [`look`](Service::look) for a read of keys. A signed token may carry a newer auth revision than this member's.
    /// As in etcd such a read is refused, since its permissions may be outdated here.
    ///
    /// # Errors
    /// As there, and `AuthOldRevision`.
    pub(super) async fn look_at_keys<T>(
        &self,
        credentials: &Credentials,
        answer: impl FnOnce(&State, &Caller) -> Result<T, Refusal>,
    ) -> Result<T, Status> {
        let look = |state: &State, caller: &Caller| {
            let found = answer(state, caller)?;
            if caller.revision > state.auth().revision() {
                return Err(Refusal::AuthOldRevision);
            }
            Ok(found)
        };
        self.look(credentials, look).await
    }

    /// The caller of the request.
    ///
    /// # Errors
    /// `InvalidAuthToken`.
    pub(super) async fn identify(&self, credentials: &Credentials) -> Result<Caller, Status> {
        self.look(credentials, |_, caller| Ok(caller.clone())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &'static str)], certificate: Option<&str>) -> Request<()> {
        let mut request = Request::new(());
        for (name, value) in headers {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        if let Some(name) = certificate {
            request.extensions_mut().insert(CertificateName(name.into()));
        }
        request
    }

    #[test]
    fn a_token_comes_in_either_header() {
        let of = |name, value| Credentials::of(&request(&[(name, value)], None)).token;
        assert_eq!(of("token", "a.1").as_deref(), Some("a.1"));
        assert_eq!(of("authorization", "a.1").as_deref(), Some("a.1"));
        assert_eq!(of("authorization", "Bearer a.1").as_deref(), Some("a.1"));
        assert_eq!(of("other", "a.1"), None);
    }

    #[test]
    fn a_gateways_certificate_names_nobody() {
        let of = |headers: &[(&'static str, &'static str)]| {
            Credentials::of(&request(headers, Some("root"))).certificate.map(|name| name.0)
        };
        assert_eq!(of(&[]).as_deref(), Some("root"));
        assert_eq!(of(&[(GATEWAY, "application/json")]), None);
    }

    #[test]
    fn the_credentials_are_passed_on_unchanged() {
        for token in [None, Some(""), Some("a.1")] {
            for certificate in [None, Some("root")] {
                let headers: Vec<_> = token.iter().map(|token| ("token", *token)).collect();
                let credentials = Credentials::of(&request(&headers, certificate));
                let passed_on = Credentials::of(&credentials.request(()));
                assert_eq!(passed_on.token.as_deref(), token);
                assert_eq!(passed_on.certificate.map(|name| name.0).as_deref(), certificate);
            }
        }
    }
}
