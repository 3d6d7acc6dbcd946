//! Authorities and certificates for tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};

/// A certificate authority, with its certificate in a file.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    pub file: String,
}

/// The content of a certificate. The default is a valid certificate of a member on this machine.
pub(crate) struct Wanted<'a> {
    pub common_name: &'a str,
    pub names: &'a [&'a str],
    pub expired: bool,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self { common_name: "squalld", names: &["127.0.0.1", "localhost"], expired: false }
    }
}

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub cert: String,
    pub key: String,
    pub serial: u64,
}

impl Authority {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let file = write(folder, &format!("{name}.crt"), "CERTIFICATE", certificate.der());
        Self { issuer: Issuer::new(params, key), folder: folder.to_owned(), file }
    }

    /// Issues a certificate as `NAME.crt`, with its key in `NAME.key`, and replaces files of that name.
    pub(crate) fn issue(&self, name: &str, wanted: Wanted<'_>) -> Pair {
        let names: Vec<String> = wanted.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = DistinguishedName::new();
        if !wanted.common_name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, wanted.common_name);
        }
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(if wanted.expired { 2021 } else { 2100 }, 1, 1);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let serial = name.bytes().fold(7u64, |serial, byte| serial.wrapping_mul(31) + u64::from(byte)) >> 1;
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair {
            cert: write(&self.folder, &format!("{name}.crt"), "CERTIFICATE", certificate.der()),
            key: write(&self.folder, &format!("{name}.key"), "PRIVATE KEY", &key.serialize_der()),
            serial,
        }
    }

    /// Writes a list that revokes these certificates.
    pub(crate) fn revoke(&self, revoked: &[&Pair]) -> String {
        let revoked_certs = revoked.iter().map(|pair| RevokedCertParams {
            serial_number: SerialNumber::from(pair.serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        write(&self.folder, "revoked.crl", "X509 CRL", list.signed_by(&self.issuer).expect("a list").der())
    }
}

fn write(folder: &Path, name: &str, label: &str, der: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, pem::encode(&pem::Pem::new(label, der))).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

/// The flags of a member that shows `own` to clients, and asks for certificates of `authority`.
pub(crate) fn for_clients(authority: &Authority, own: &Pair) -> Vec<String> {
    vec![
        "--client-cert-auth=true".into(),
        format!("--trusted-ca-file={}", authority.file),
        format!("--cert-file={}", own.cert),
        format!("--key-file={}", own.key),
    ]
}

/// The same flags for connections between members.
pub(crate) fn for_members(authority: &Authority, own: &Pair) -> Vec<String> {
    vec![
        "--peer-client-cert-auth=true".into(),
        format!("--peer-trusted-ca-file={}", authority.file),
        format!("--peer-cert-file={}", own.cert),
        format!("--peer-key-file={}", own.key),
    ]
}

/// etcdctl's flags for a client that trusts `authority` and shows `own`.
pub(crate) fn client(authority: &Authority, own: Option<&Pair>) -> Vec<String> {
    let mut flags = vec![format!("--cacert={}", authority.file)];
    if let Some(own) = own {
        flags.extend([format!("--cert={}", own.cert), format!("--key={}", own.key)]);
    }
    flags
}

/// Flags in the form that the harness takes.
pub(crate) fn texts(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}
