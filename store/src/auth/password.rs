//! Passwords and their hashes: bcrypt, in the text form that etcd stores.

use bytes::Bytes;
use squall_core::Refusal;

use crate::seam::Env;

/// The costs that bcrypt allows. Each step doubles the work.
pub(crate) const COSTS: std::ops::RangeInclusive<u32> = 4..=31;

/// Hashes a password with a new salt. bcrypt uses the first 72 bytes of the password.
pub(crate) async fn hash(env: &Env, password: String, cost: u32) -> Bytes {
    let mut salt = [0; 16];
    env.secrets.fill(&mut salt);
    let (done, hashed) = tokio::sync::oneshot::channel();
    let work = move || {
        let parts = bcrypt::hash_with_salt(password, cost, salt);
        let parts = parts.unwrap_or_else(|error| panic!("bcrypt of cost {cost}: {error}"));
        let _ = done.send(parts.format_for_version(bcrypt::Version::TwoA));
    };
    env.tasks.heavy(Box::new(work)).await;
    hashed.await.expect("the work is done").into()
}

/// Compares a password with a hash.
///
/// # Errors
/// `AuthFailed` if they do not match.
pub(crate) async fn check(env: &Env, password: String, hash: Bytes) -> Result<(), Refusal> {
    let (done, checked) = tokio::sync::oneshot::channel();
    let work = move || {
        let fits =
            std::str::from_utf8(&hash).is_ok_and(|hash| bcrypt::verify(password, hash).unwrap_or(false));
        let _ = done.send(fits);
    };
    env.tasks.heavy(Box::new(work)).await;
    if checked.await.expect("the work is done") { Ok(()) } else { Err(Refusal::AuthFailed) }
}
