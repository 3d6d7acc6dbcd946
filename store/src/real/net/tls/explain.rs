//! Explains in the log why a handshake failed. If Go has words that operators of etcd know, they come first.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// A clause about a failed handshake.
pub(super) fn explain(error: &io::Error) -> String {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return error.to_string();
    };
    match error {
        Error::NoCertificatesPresented => "the caller showed no certificate, and one is required".into(),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the first record does not look like a TLS handshake: the caller speaks plain text, or something else".into()
        }
        Error::InvalidCertificate(certificate) => format!("bad certificate: {}", about(certificate)),
        Error::AlertReceived(alert) => format!("the other side refused: {}", alert_text(*alert)),
        Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered | PeerIncompatible::Tls12NotOfferedOrEnabled) => {
            "the other side offers no TLS 1.2 or newer".into()
        }
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => "no cipher suite in common".into(),
        error => error.to_string(),
    }
}

fn about(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "signed by an unknown authority".into(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("its extended key usage does not allow this ({error})")
        }
        CertificateError::Other(other) if other.to_string().contains("UnsupportedCertVersion") => {
            "it is of X.509's version 1, which has no names; make it one of version 3".into()
        }
        CertificateError::Expired => "it has expired".into(),
        CertificateError::Revoked => "it has been revoked".into(),
        error => error.to_string(),
    }
}

fn alert_text(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => {
            "this member's certificate is signed by an authority that it does not know".into()
        }
        AlertDescription::BadCertificate => "it does not take this member's certificate".into(),
        AlertDescription::CertificateExpired => "this member's certificate has expired".into(),
        AlertDescription::CertificateRequired => "it requires a certificate of this member".into(),
        alert => format!("{alert:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let said = |error: Error| explain(&io::Error::new(io::ErrorKind::InvalidData, error));
        assert!(said(Error::NoCertificatesPresented).contains("no certificate"));
        let unknown = said(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!(unknown, "bad certificate: signed by an unknown authority");
        assert!(said(Error::InvalidCertificate(CertificateError::Expired)).contains("expired"));
        assert!(
            said(Error::AlertReceived(AlertDescription::UnknownCA)).starts_with("the other side refused")
        );
        assert_eq!(explain(&io::Error::other("closed")), "closed");
    }
}
