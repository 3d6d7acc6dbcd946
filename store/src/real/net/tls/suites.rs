//! Cipher suites by the names that Go gives them, which are the registry's.

use rustls::{SupportedCipherSuite, crypto::ring::ALL_CIPHER_SUITES};

/// Why a name is no cipher suite that can be used. `Display` gives a clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no cipher suite that this build has; they are {known}", known = known().join(", "))]
pub struct SuiteError(String);

/// The suites of a comma-separated list.
///
/// # Errors
/// [`SuiteError`] for the first name that is none.
pub fn suites(list: &str) -> Result<Vec<SupportedCipherSuite>, SuiteError> {
    let one = |name: &str| {
        let found = ALL_CIPHER_SUITES.iter().find(|suite| {
            let go = go_name(suite);
            // Go has a short name beside the registry's for the two ChaCha suites.
            name == go
                || go
                    .strip_suffix("_SHA256")
                    .is_some_and(|short| short.ends_with("POLY1305") && name == short)
        });
        found.copied().ok_or_else(|| SuiteError(name.to_owned()))
    };
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(one).collect()
}

/// rustls writes `TLS13_AES_…` what the registry calls `TLS_AES_…`.
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
