//! Who calls, as far as a request says: its token, and the user whose token that is.

use http::HeaderMap;
use squall_core::{Caller, Refusal, State};
use tonic::{Request, Status};

use super::{Service, convert};
use crate::{auth, seam::timeout};

/// What a request says about its client: metadata `token`, or `authorization` with `Bearer ` before the token or without.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials(Option<String>);

impl Credentials {
    pub(super) fn of(headers: &HeaderMap) -> Credentials {
        let token = headers.get("token").or_else(|| headers.get("authorization"));
        // What is no text is no token either.
        let text = token.map(|token| token.to_str().unwrap_or_default());
        Credentials(text.map(|text| text.strip_prefix("Bearer ").unwrap_or(text).to_owned()))
    }

    /// A request of this client's, for a service that calls another on its behalf.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("token", token.parse().expect("it came in a header"));
        }
        request
    }
}

impl Service {
    /// Waits until this member has applied the entry that made the caller's token, for as long as an election takes. etcd
    /// waits for as long as the client does; but a token from before a restore names an entry that may be far away, and its
    /// client can only get another one when it is told so. No entry made a signed token.
    ///
    /// # Errors
    /// `InvalidAuthToken` where that takes too long.
    pub(super) async fn await_token(&self, credentials: &Credentials) -> Result<(), Refusal> {
        let shared = self.node.shared();
        if self.node.env().secrets.signed_tokens().is_some() {
            return Ok(());
        }
        let Some(index) = credentials.0.as_deref().and_then(auth::index_of) else { return Ok(()) };
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

    /// On whose behalf the request is, in this state. While auth is off nobody is asked.
    ///
    /// # Errors
    /// `InvalidAuthToken` for a token that this member does not hold.
    pub(super) fn caller(&self, state: &State, credentials: &Credentials) -> Result<Caller, Refusal> {
        let (Some(token), true) = (&credentials.0, state.auth().is_enabled()) else {
            return Ok(Caller::NOBODY);
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

    /// Looks at the state on the caller's behalf: finds out who it is and answers in one step.
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

    /// On whose behalf the request is.
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

    #[test]
    fn a_token_comes_in_either_header() {
        let of = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            Credentials::of(&headers).0
        };
        assert_eq!(of("token", "a.1").as_deref(), Some("a.1"));
        assert_eq!(of("authorization", "a.1").as_deref(), Some("a.1"));
        assert_eq!(of("authorization", "Bearer a.1").as_deref(), Some("a.1"));
        assert_eq!(of("other", "a.1"), None);
    }

    #[test]
    fn a_token_is_passed_on_as_it_came() {
        for token in [None, Some(""), Some("a.1")] {
            let credentials = Credentials(token.map(str::to_owned));
            let passed_on = Credentials::of(credentials.request(()).metadata().as_ref());
            assert_eq!(passed_on.0.as_deref(), token);
        }
    }
}
