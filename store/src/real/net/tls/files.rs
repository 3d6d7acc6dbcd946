//! Reading what TLS needs from PEM files. An error names the file, and never shows its content.

use std::{fs, path::Path};

use rustls::{
    CertificateError, Error, RootCertStore,
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject},
};

use super::TlsError;

/// The files in which systems keep the authorities that they trust, in Go's order. `SSL_CERT_FILE` takes precedence.
const SYSTEM_AUTHORITIES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::new(path, error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::new(path, format!("no certificate in PEM: {error}")))?;
    if found.is_empty() {
        return Err(TlsError::new(path, "it holds no certificate in PEM"));
    }
    Ok(found)
}

/// A certificate, with its chain, and its key.
pub(super) fn pair(
    cert_file: &Path,
    key_file: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates(cert_file)?;
    // The reader's own error text may contain parts of the key.
    let key = PrivateKeyDer::from_pem_slice(&read(key_file)?).map_err(|_| {
        TlsError::new(key_file, "it holds no private key in PEM (an encrypted one cannot be read)")
    })?;
    Ok((chain, key))
}

/// The error for a certificate and a key that are readable but not accepted.
pub(super) fn pair_refused(cert_file: &Path, key_file: &Path, error: &Error) -> TlsError {
    match error {
        Error::InconsistentKeys(_) => TlsError::new(
            key_file,
            format!("this key does not belong to the certificate {}", cert_file.display()),
        ),
        Error::InvalidCertificate(CertificateError::BadEncoding) => {
            TlsError::new(cert_file, "it holds a certificate that cannot be read")
        }
        Error::InvalidCertificate(error) => TlsError::new(cert_file, error),
        error => TlsError::new(key_file, error),
    }
}

/// The authorities in a file; all must be readable.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| TlsError::new(path, error))?;
    }
    Ok(store)
}

/// The authorities that the system trusts; none if it has no such file.
pub(super) fn system_authorities() -> RootCertStore {
    let mut store = RootCertStore::empty();
    let named = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty());
    let paths = named.iter().map(Path::new).chain(SYSTEM_AUTHORITIES.map(Path::new));
    if let Some(found) = paths.filter_map(|path| certificates(path).ok()).next() {
        store.add_parsable_certificates(found);
    }
    store
}

/// The revocation lists in a file: several in PEM, or one in DER. etcd accepts both.
pub(super) fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let found = CertificateRevocationListDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::new(path, format!("no revocation list: {error}")))?;
    // If this is no list, the code that uses it refuses it.
    Ok(if found.is_empty() { vec![bytes.into()] } else { found })
}
