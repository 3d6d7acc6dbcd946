//! Certificates for `--auto-tls` and `--peer-auto-tls` (etcd's `SelfCert`): they encrypt the connection, but prove
//! no identity.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

use super::TlsError;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The certificate and key in `dir`. If there are none, they are made for `hosts`.
///
/// # Errors
/// The file that cannot be written, or the text that is no host.
pub fn make_self_signed(dir: &Path, hosts: &[String], years: u32) -> Result<(PathBuf, PathBuf), TlsError> {
    let (cert_file, key_file) = (dir.join("cert.pem"), dir.join("key.pem"));
    if cert_file.is_file() && key_file.is_file() {
        return Ok((cert_file, key_file));
    }
    let failed = |error: rcgen::Error| TlsError::new(&cert_file, error);
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(hosts.to_vec()).map_err(failed)?;
    params.distinguished_name.push(DnType::OrganizationName, "squalld");
    let now = SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + YEAR * years).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.self_signed(&key).map_err(failed)?;

    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| TlsError::new(dir, error))?;
    let cert = pem::encode(&pem::Pem::new("CERTIFICATE", certificate.der().to_vec()));
    let key = pem::encode(&pem::Pem::new("PRIVATE KEY", key.serialize_der()));
    write(&key_file, &key, 0o600).map_err(|error| TlsError::new(&key_file, error))?;
    write(&cert_file, &cert, 0o644).map_err(|error| TlsError::new(&cert_file, error))?;
    Ok((cert_file, key_file))
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::real::net::tls::TlsOptions;

    #[test]
    fn made_once_and_usable() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("fixtures/client");
        let hosts = ["127.0.0.1".to_owned(), "m1".to_owned()];
        let (cert_file, key_file) = make_self_signed(&dir, &hosts, 1).unwrap();
        let mode = fs::metadata(&key_file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let before = fs::read(&cert_file).unwrap();
        assert_eq!(make_self_signed(&dir, &hosts, 1).unwrap(), (cert_file.clone(), key_file.clone()));
        assert_eq!(fs::read(&cert_file).unwrap(), before, "a restart keeps it");
        let options = TlsOptions {
            cert_file: Some(cert_file),
            key_file: Some(key_file),
            self_signed: true,
            ..Default::default()
        };
        options.check().unwrap();
    }
}
