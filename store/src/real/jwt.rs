//! JSON Web Tokens, as etcd gives them out with `--auth-token jwt,…`. They have the claims `username`, `revision`
//! and `exp`, so that squalld reads etcd's tokens and etcd reads squalld's.
//!
//! A token is valid while its revision is the present one, and until it expires. A single token cannot be revoked. A
//! change of users or roles ends all tokens (clients then authenticate again).
//!
//! Left out: ES512, and EC keys in their older form (`BEGIN EC PRIVATE KEY`), which the library does not know.
//!
//! Source: etcd 3.5, `server/auth/jwt.go`, `options.go`.

use std::{fs, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair};
use serde::{Deserialize, Serialize};

use crate::seam::SignedTokens;

/// How long a token is valid if the options do not say so.
pub(super) const DEFAULT_TTL: Duration = Duration::from_secs(300);

/// The parsed flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JwtOptions {
    pub sign_method: String,
    pub public_key: Option<String>,
    pub private_key: Option<String>,
    pub ttl: Duration,
}

/// Signs tokens, and reads them.
pub struct Jwt {
    algorithm: Algorithm,
    ttl: Duration,
    /// The key to sign with; `None` if this member can only read tokens.
    signs: Option<EncodingKey>,
    reads: DecodingKey,
}

#[derive(Serialize)]
struct Claims {
    username: String,
    revision: u64,
    exp: u64,
}

/// The claims that count in a token, which another may have signed. Times may have fractions of a second (RFC 7519).
#[derive(Deserialize)]
struct ReceivedClaims {
    username: String,
    revision: u64,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
}

impl ReceivedClaims {
    /// As in etcd, a token is not valid before `nbf`, nor before it was issued.
    fn is_valid(&self, now: Duration) -> bool {
        let now = now.as_secs_f64();
        now < self.exp && [self.nbf, self.iat].into_iter().flatten().all(|from| from.floor() <= now)
    }
}

impl Jwt {
    /// Reads the keys.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn open(options: &JwtOptions) -> Result<Jwt, String> {
        let method = &options.sign_method;
        let algorithm: Algorithm = match method.parse() {
            Ok(Algorithm::EdDSA) | Err(_) => {
                return Err(format!(
                    "sign-method={method} is none. Use HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, \
                     ES256 or ES384"
                ));
            }
            Ok(algorithm) => algorithm,
        };
        let file = |path: &Option<String>| -> Result<Option<Vec<u8>>, String> {
            let Some(path) = path else { return Ok(None) };
            fs::read(path).map(Some).map_err(|error| format!("{path}: {error}"))
        };
        let (private, public) = (file(&options.private_key)?, file(&options.public_key)?);
        let kind = &method[..2];
        let signs = private.as_deref().map(|key| match kind {
            "HS" => Ok(EncodingKey::from_secret(key)),
            "ES" => EncodingKey::from_ec_pem(key),
            _ => EncodingKey::from_rsa_pem(key),
        });
        let pem = |what: &str, path: &Option<String>| {
            let path = path.as_deref().unwrap_or_default();
            format!(
                "{path} holds no {what} key for {method}. Write it as PEM, a private key as PKCS#8 (`openssl pkcs8 -topk8 \
                 -nocrypt`)"
            )
        };
        let signs = signs.transpose().map_err(|_| pem("private", &options.private_key))?;
        let own = private.as_deref().map(|key| public_of(key, algorithm));
        let own = own.map(|key| key.ok_or_else(|| pem("private", &options.private_key))).transpose()?;
        let given = public.as_deref().filter(|_| kind != "HS").map(|key| match kind {
            "ES" => DecodingKey::from_ec_pem(key),
            _ => DecodingKey::from_rsa_pem(key),
        });
        let given = given.transpose().map_err(|_| pem("public", &options.public_key))?;
        let Some(reads) = given.or(own) else {
            let which = if kind == "HS" { "priv-key" } else { "priv-key, or pub-key to read tokens alone" };
            return Err(format!("no key is given. Add {which}"));
        };
        let jwt = Jwt { algorithm, ttl: options.ttl, signs, reads };
        let now = Duration::ZERO;
        if let Some(token) = jwt.sign("somebody", 1, now)
            && jwt.read(&token, now).is_none()
        {
            return Err("pub-key and priv-key do not belong together, or do not fit the sign-method".into());
        }
        if jwt.signs.is_some() && jwt.sign("somebody", 1, now).is_none() {
            return Err(pem("private", &options.private_key));
        }
        Ok(jwt)
    }
}

/// The key that verifies what a private key signs: its public half, or the secret itself. `None` if `private` is no
/// key for the algorithm.
fn public_of(private: &[u8], algorithm: Algorithm) -> Option<DecodingKey> {
    let curve = match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            return Some(DecodingKey::from_secret(private));
        }
        Algorithm::ES256 => Some(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::ES384 => Some(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        _ => None,
    };
    let file = pem::parse(private).ok()?;
    let key = file.contents();
    match curve {
        Some(curve) => {
            let pair = EcdsaKeyPair::from_pkcs8(curve, key, &ring::rand::SystemRandom::new()).ok()?;
            Some(DecodingKey::from_ec_der(pair.public_key().as_ref()))
        }
        None => {
            // PKCS#8, or PKCS#1 (`BEGIN RSA PRIVATE KEY`).
            let pair = RsaKeyPair::from_pkcs8(key).or_else(|_| RsaKeyPair::from_der(key)).ok()?;
            Some(DecodingKey::from_rsa_der(pair.public_key().as_ref()))
        }
    }
}

impl SignedTokens for Jwt {
    fn sign(&self, user: &str, revision: u64, now: Duration) -> Option<String> {
        let key = self.signs.as_ref()?;
        let exp = (now + self.ttl).as_secs();
        let claims = Claims { username: user.to_owned(), revision, exp };
        match jsonwebtoken::encode(&Header::new(self.algorithm), &claims, key) {
            Ok(token) => Some(token),
            Err(error) => {
                tracing::error!(%error, "a token cannot be signed");
                None
            }
        }
    }

    fn read(&self, token: &str, now: Duration) -> Option<(String, u64)> {
        let mut validation = Validation::new(self.algorithm);
        // Times are checked with the clock seam's time. `exp` must be there, since it is a field (etcd takes a token
        // without it, which never expires).
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let read = jsonwebtoken::decode::<ReceivedClaims>(token, &self.reads, &validation).ok()?.claims;
        read.is_valid(now).then_some((read.username, read.revision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(method: &str, private: Option<&str>) -> JwtOptions {
        JwtOptions {
            sign_method: method.into(),
            public_key: None,
            private_key: private.map(str::to_owned),
            ttl: Duration::from_secs(10),
        }
    }

    #[test]
    fn a_token_counts_until_its_time_is_over_and_for_its_key_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let secret = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, name.repeat(40)).expect("a file");
            path.to_str().expect("UTF-8").to_owned()
        };
        let (one, other) = (secret("a"), secret("b"));
        let open = |method, key: &str| Jwt::open(&options(method, Some(key))).expect("a key");
        let jwt = open("HS256", &one);
        let at = |secs: u64| Duration::from_secs(1_000_000 + secs);
        let token = jwt.sign("ann", 7, at(0)).expect("signed");
        assert_eq!(token.split('.').count(), 3);
        assert_eq!(jwt.read(&token, at(9)), Some(("ann".to_owned(), 7)));
        assert_eq!(jwt.read(&token, at(10)), None, "its time is over");
        assert_eq!(open("HS256", &one).read(&token, at(0)), Some(("ann".to_owned(), 7)));
        assert_eq!(open("HS256", &other).read(&token, at(0)), None, "another key's");
        assert_eq!(open("HS384", &one).read(&token, at(0)), None, "another method's");
        let mut forged = token.clone();
        let middle = forged.find('.').expect("a dot") + 5;
        forged.replace_range(middle..=middle, if &forged[middle..=middle] == "A" { "B" } else { "A" });
        for other in ["", "a.1", "a.b.c", &forged] {
            assert_eq!(jwt.read(other, at(0)), None, "{other}");
        }
    }

    #[test]
    fn invalid_options_are_refused_with_a_reason() {
        for (options, said) in [
            (options("HS257", None), "sign-method=HS257 is none"),
            (options("EdDSA", None), "sign-method=EdDSA is none"),
            (options("HS256", None), "no key is given. Add priv-key"),
            (options("RS256", None), "no key is given. Add priv-key, or pub-key"),
            (options("HS256", Some("/nowhere/at/all")), "/nowhere/at/all: "),
        ] {
            let refused = Jwt::open(&options).err().expect("refused");
            assert!(refused.starts_with(said), "{refused}");
        }
    }
}
