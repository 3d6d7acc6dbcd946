//! Cipher suites by Go's names, which are those of the IANA registry.

use rustls::{SupportedCipherSuite, crypto::ring::ALL_CIPHER_SUITES};

/// The error for a name that is no usable cipher suite. `Display` gives a clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no cipher suite that this build has; they are {known}", known = known().join(", "))]
pub struct SuiteError(String);

/// The suites of a comma-separated list.
///
/// # Errors
/// [`SuiteError`] for the first unknown name.
pub fn suites(list: &str) -> Result<Vec<SupportedCipherSuite>, SuiteError> {
    let one = |name: &str| {
        let found = ALL_CIPHER_SUITES.iter().find(|suite| {
            let go = go_name(suite);
            // For the two ChaCha suites Go also has short names.
            name == go
                || go
                    .strip_suffix("_SHA256")
                    .is_some_and(|short| short.ends_with("POLY1305") && name == short)
        });
        found.copied().ok_or_else(|| SuiteError(name.to_owned()))
    };
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(one).collect()
}

/// rustls says `TLS13_AES_…` where the registry says `TLS_AES_…`.
fn go_name(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}

fn known() -> Vec<String> {
    ALL_CIPHER_SUITES.iter().map(go_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let found = suites(
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        );
        assert_eq!(found.unwrap().len(), 3);
        assert_eq!(suites("").unwrap(), []);
        let refused = suites("TLS_RSA_WITH_AES_128_CBC_SHA").unwrap_err().to_string();
        assert!(
            refused.contains("TLS_RSA_WITH_AES_128_CBC_SHA") && refused.contains("TLS_AES_256_GCM_SHA384")
        );
    }
}
