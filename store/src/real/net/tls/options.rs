//! The TLS settings of one side: towards clients, or between members.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};

use super::{client::AnyServer, files};

/// The protocols over TLS: HTTP/2 (with gRPC) and HTTP/1.1.
const SERVED: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Files and rules, as etcd's flags give them.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    /// The certificate that is shown, followed by its intermediate certificates; PEM.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// The certificate that is shown when dialling, if it is a different one.
    pub client_cert_file: Option<PathBuf>,
    /// Its key.
    pub client_key_file: Option<PathBuf>,
    /// The authorities that others' certificates must come from; if absent, the system's.
    pub trusted_ca_file: Option<PathBuf>,
    /// Whether callers must show a certificate. They must also do so if `trusted_ca_file` is given.
    pub client_cert_auth: bool,
    /// Certificates that are not valid any more.
    pub crl_file: Option<PathBuf>,
    /// The common name that a caller's certificate must have.
    pub allowed_cn: Option<String>,
    /// A name that a caller's certificate must be valid for.
    pub allowed_hostname: Option<String>,
    /// Whether a caller's address must be in its certificate, if the certificate lists any (etcd requires that of
    /// members).
    pub check_address: bool,
    /// Whether the certificate was made by `--auto-tls`. Then no certificate can be verified.
    pub self_signed: bool,
    /// The cipher suites to choose from; all available ones if none is named.
    pub suites: Vec<SupportedCipherSuite>,
}

/// An invalid TLS file: which one, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl TlsError {
    pub(super) fn new(path: impl Into<PathBuf>, what: impl ToString) -> Self {
        Self { path: path.into(), what: what.to_string() }
    }
}

impl TlsOptions {
    /// Whether there is a certificate to serve with.
    pub fn can_serve(&self) -> bool {
        self.cert_file.is_some() && self.key_file.is_some()
    }

    /// Reads all the files once, so that a bad file is reported at the start.
    ///
    /// # Errors
    /// The first bad file.
    pub fn check(&self) -> Result<(), TlsError> {
        if self.can_serve() {
            self.server_config()?;
        }
        self.client_config().map(|_| ())
    }

    /// Whether callers must show a certificate.
    pub fn asks_for_certificates(&self) -> bool {
        self.client_cert_auth || self.trusted_ca_file.is_some()
    }

    /// The configuration for serving a connection. Reads files.
    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let (Some(cert_file), Some(key_file)) = (&self.cert_file, &self.key_file) else {
            return Err(TlsError::new("", "no certificate to serve with"));
        };
        let builder = ServerConfig::builder_with_provider(self.provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new("", error))?;
        let builder = if self.asks_for_certificates() {
            let mut verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(self.authorities()?), self.provider());
            if let Some(path) = &self.crl_file {
                // As in etcd, a certificate that the lists don't cover is accepted.
                verifier = verifier
                    .with_crls(files::revocation_lists(path)?)
                    .only_check_end_entity_revocation()
                    .allow_unknown_revocation_status();
            }
            let about = self.crl_file.as_ref().or(self.trusted_ca_file.as_ref());
            let verifier =
                verifier.build().map_err(|error| TlsError::new(about.cloned().unwrap_or_default(), error))?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let (chain, key) = files::pair(cert_file, key_file)?;
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| files::pair_refused(cert_file, key_file, &error))?;
        config.alpn_protocols = SERVED.map(<[u8]>::to_vec).to_vec();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// The configuration for dialling a connection. Reads files.
    pub(super) fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let builder = ClientConfig::builder_with_provider(self.provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new("", error))?;
        let builder = if self.self_signed {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(self.provider())))
        } else {
            builder.with_root_certificates(self.authorities()?)
        };
        let shown = match (&self.client_cert_file, &self.client_key_file) {
            (Some(cert), Some(key)) => Some((cert, key)),
            _ => self.cert_file.as_ref().zip(self.key_file.as_ref()),
        };
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some((cert_file, key_file)) => {
                let (chain, key) = files::pair(cert_file, key_file)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| files::pair_refused(cert_file, key_file, &error))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn authorities(&self) -> Result<RootCertStore, TlsError> {
        match &self.trusted_ca_file {
            Some(path) => files::authorities(path),
            None => Ok(files::system_authorities()),
        }
    }

    fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = ring::default_provider();
        if !self.suites.is_empty() {
            provider.cipher_suites.clone_from(&self.suites);
        }
        Arc::new(provider)
    }
}
