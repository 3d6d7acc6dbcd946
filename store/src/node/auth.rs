//! What applied entries mean for the tokens that this member holds (`crate::auth`). All of it happens under the
//! state's lock, so a caller that looks at both sees them at the same entry.

use squall_core::{AuthCommand, AuthReply, Command, Refusal, Reply, planted::planted};

use super::driver::Node;

impl Node {
    /// Follows an entry that was applied.
    pub(super) fn follow_auth(&self, command: &Command, reply: &Result<Reply, Refusal>) {
        let (Command::Auth(command), Ok(Reply::Auth(reply))) = (command, reply) else { return };
        let mut tokens = self.shared.tokens();
        match (command, reply) {
            (AuthCommand::Authenticate { user, .. }, AuthReply::Token(token)) => {
                let now = self.env.clock.monotonic();
                tokens.assign(token.clone(), user.clone(), now, self.config.auth_token_ttl);
            }
            (AuthCommand::UserDelete(user) | AuthCommand::UserChangePassword { name: user, .. }, _)
                if !planted!(AuthTokenKept) =>
            {
                tokens.void(user);
            }
            (AuthCommand::Disable, _) if !planted!(AuthDisableKeepsTokens) => tokens.clear(),
            _ => {}
        }
    }
}
