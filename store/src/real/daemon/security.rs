//! The flags of TLS. There is one set of flags for clients and one for members, whose flags have the prefix `peer-`.
//!
//! As in etcd, the URL's scheme decides: `https` and `unixs` are served with TLS and need a certificate; `http` and
//! `unix` are not, and a warning says so if certificates are given for them. A rule that could never apply is
//! refused; etcd ignores it.

use std::path::{Path, PathBuf};

use clap::{ArgAction::Set, Args};

use super::{
    Failure,
    flags::SWITCH,
    settings::Listens,
    urls::{Url, asks_for_tls},
};
use crate::real::net::{TlsOptions, make_self_signed, suites};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct SecurityFlags {
    /// Certificate to show to clients, PEM
    #[arg(long)]
    cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// Certificate to show where this member is its own client, if it is another
    #[arg(long)]
    client_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long)]
    client_key_file: Option<PathBuf>,
    /// Clients must show a certificate; its common name is the user where auth is on and there is no token
    #[arg(long, action = Set, value_name = SWITCH, default_value = "false")]
    client_cert_auth: bool,
    /// Authorities that clients' certificates must come from: clients must show one
    #[arg(long)]
    trusted_ca_file: Option<PathBuf>,
    /// Revoked certificates of clients
    #[arg(long)]
    client_crl_file: Option<PathBuf>,
    /// Name that a client's certificate must be valid for
    #[arg(long)]
    client_cert_allowed_hostname: Option<String>,
    /// Make a certificate for clients where none is given
    #[arg(long, action = Set, value_name = SWITCH, default_value = "false")]
    auto_tls: bool,
    /// Certificate to show to members, PEM
    #[arg(long)]
    peer_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long)]
    peer_key_file: Option<PathBuf>,
    /// Certificate to show to members that are dialled, if it is another
    #[arg(long)]
    peer_client_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long)]
    peer_client_key_file: Option<PathBuf>,
    /// Members must show a certificate
    #[arg(long, action = Set, value_name = SWITCH, default_value = "false")]
    peer_client_cert_auth: bool,
    /// Authorities that members' certificates must come from: members must show one
    #[arg(long)]
    peer_trusted_ca_file: Option<PathBuf>,
    /// Revoked certificates of members
    #[arg(long)]
    peer_crl_file: Option<PathBuf>,
    /// Common name that a member's certificate must have
    #[arg(long)]
    peer_cert_allowed_cn: Option<String>,
    /// Name that a member's certificate must be valid for
    #[arg(long)]
    peer_cert_allowed_hostname: Option<String>,
    /// Make a certificate for members where none is given; nobody's is verified then
    #[arg(long, action = Set, value_name = SWITCH, default_value = "false")]
    peer_auto_tls: bool,
    /// Do not ask that a member call from an address that its certificate names
    #[arg(long, action = Set, value_name = SWITCH, default_value = "false")]
    experimental_peer_skip_client_san_verification: bool,
    /// Years that a certificate made by --auto-tls or --peer-auto-tls is valid
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..100))]
    self_signed_cert_validity: u32,
    /// Cipher suites to choose from, with commas between them [default: all]
    #[arg(long)]
    cipher_suites: Option<String>,
}

const METRICS: &str = "--listen-metrics-urls";

/// One set of the flags.
struct Side<'a> {
    /// The prefix of its flags: `peer-` or empty.
    prefix: &'static str,
    /// The URLs to listen at, each with the flag that gave it.
    urls: Vec<(&'static str, &'a Url)>,
    /// Whether members are dialled with TLS.
    dials: bool,
    auto: bool,
    /// The folder for a generated certificate, below the data folder.
    made_in: PathBuf,
    years: u32,
    options: TlsOptions,
}

/// The TLS settings, and warnings for the operator.
#[derive(Debug)]
pub(super) struct Security {
    pub clients: TlsOptions,
    pub members: TlsOptions,
    pub warnings: Vec<String>,
}

/// Settings that were found to be valid; certificates that are asked for are not made yet.
pub(super) struct Judged<'a> {
    clients: Side<'a>,
    members: Side<'a>,
    warnings: Vec<String>,
}

impl Judged<'_> {
    /// Makes the certificates that are asked for.
    pub fn make(mut self) -> Result<Security, Failure> {
        self.clients.make()?;
        self.members.make()?;
        Ok(Security { clients: self.clients.options, members: self.members.options, warnings: self.warnings })
    }
}

impl SecurityFlags {
    /// Checks the flags and the files that they name. Certificates are to be made below `data_dir`. `peers` are the
    /// URLs of the initial cluster.
    pub fn judge<'a>(
        self,
        data_dir: &Path,
        listens: &'a Listens,
        peers: &[String],
    ) -> Result<Judged<'a>, Failure> {
        let suites = suites(self.cipher_suites.as_deref().unwrap_or_default())
            .map_err(|error| Failure::Failed(format!("--cipher-suites: {error}.")))?;
        let clients = Side {
            prefix: "",
            urls: (listens.clients.iter().map(|url| ("--listen-client-urls", url)))
                .chain(listens.metrics.iter().map(|url| (METRICS, url)))
                .collect(),
            dials: false,
            auto: self.auto_tls,
            made_in: data_dir.join("fixtures").join("client"),
            years: self.self_signed_cert_validity,
            options: TlsOptions {
                cert_file: self.cert_file,
                key_file: self.key_file,
                client_cert_file: self.client_cert_file,
                client_key_file: self.client_key_file,
                trusted_ca_file: self.trusted_ca_file,
                client_cert_auth: self.client_cert_auth,
                crl_file: self.client_crl_file,
                allowed_cn: None,
                allowed_hostname: self.client_cert_allowed_hostname,
                check_address: false,
                self_signed: false,
                suites: suites.clone(),
            },
        };
        let members = Side {
            prefix: "peer-",
            urls: listens.members.iter().map(|url| ("--listen-peer-urls", url)).collect(),
            dials: peers.iter().any(|url| asks_for_tls(url)),
            auto: self.peer_auto_tls,
            made_in: data_dir.join("fixtures").join("peer"),
            years: self.self_signed_cert_validity,
            options: TlsOptions {
                cert_file: self.peer_cert_file,
                key_file: self.peer_key_file,
                client_cert_file: self.peer_client_cert_file,
                client_key_file: self.peer_client_key_file,
                trusted_ca_file: self.peer_trusted_ca_file,
                client_cert_auth: self.peer_client_cert_auth,
                crl_file: self.peer_crl_file,
                allowed_cn: self.peer_cert_allowed_cn,
                allowed_hostname: self.peer_cert_allowed_hostname,
                check_address: !self.experimental_peer_skip_client_san_verification,
                self_signed: false,
                suites,
            },
        };
        let mut warnings = Vec::new();
        clients.judge(&mut warnings)?;
        members.judge(&mut warnings)?;
        Ok(Judged { clients, members, warnings })
    }
}

impl Side<'_> {
    fn serves(&self) -> bool {
        self.urls.iter().any(|(_, url)| url.tls)
    }

    /// Whether a certificate must be generated.
    fn makes(&self) -> bool {
        self.auto && self.options.cert_file.is_none() && self.options.key_file.is_none()
    }

    fn judge(&self, warnings: &mut Vec<String>) -> Result<(), Failure> {
        self.pair("cert-file", &self.options.cert_file, "key-file", &self.options.key_file)?;
        let (cert, key) = (&self.options.client_cert_file, &self.options.client_key_file);
        self.pair("client-cert-file", cert, "client-key-file", key)?;
        self.rules()?;
        for (flag, url) in &self.urls {
            if url.tls && !self.options.can_serve() && !self.makes() {
                return Err(Failure::Failed(format!(
                    "{flag} has {}, which needs a certificate. Give --{p}cert-file and --{p}key-file, or --{p}auto-tls.",
                    url.text,
                    p = self.prefix
                )));
            }
            // A separate metrics port is mostly for scrapers without certificates.
            if *flag == METRICS {
                continue;
            }
            if !url.tls && self.options.cert_file.is_some() {
                warnings.push(format!(
                    "{} is served without TLS: --{}cert-file is ignored there",
                    url.text, self.prefix
                ));
            }
            if !url.tls && self.options.client_cert_auth {
                warnings.push(format!(
                    "{} is served without TLS: --{}client-cert-auth is ignored there",
                    url.text, self.prefix
                ));
            }
        }
        if self.auto && !self.makes() {
            warnings
                .push(format!("--{p}auto-tls is ignored, since --{p}cert-file is given", p = self.prefix));
        }
        if self.serves() || self.dials {
            self.options.check().map_err(|error| {
                Failure::Failed(format!(
                    "TLS for {}: {error}. Check the files of --{p}cert-file, --{p}key-file and --{p}trusted-ca-file.",
                    if self.prefix.is_empty() { "clients" } else { "members" },
                    p = self.prefix
                ))
            })?;
        }
        Ok(())
    }

    fn pair(
        &self,
        first: &str,
        one: &Option<PathBuf>,
        second: &str,
        other: &Option<PathBuf>,
    ) -> Result<(), Failure> {
        let (given, missing) = match (one, other) {
            (Some(_), None) => (first, second),
            (None, Some(_)) => (second, first),
            _ => return Ok(()),
        };
        let p = self.prefix;
        Err(Failure::Failed(format!("--{p}{given} is given without --{p}{missing}. Give both.")))
    }

    fn rules(&self) -> Result<(), Failure> {
        let (p, options) = (self.prefix, &self.options);
        let crl = if p.is_empty() { "client-crl-file" } else { "peer-crl-file" };
        let hostname =
            if p.is_empty() { "client-cert-allowed-hostname" } else { "peer-cert-allowed-hostname" };
        if options.allowed_cn.is_some() && options.allowed_hostname.is_some() {
            return Err(Failure::Failed(
                "--peer-cert-allowed-cn and --peer-cert-allowed-hostname exclude each other. Give one."
                    .into(),
            ));
        }
        // Such a certificate is signed by no authority: members that asked for one would refuse each other.
        if !p.is_empty() && self.makes() && options.asks_for_certificates() {
            return Err(Failure::Failed(
                "--peer-auto-tls makes certificates that no authority has signed, so with --peer-client-cert-auth or \
                 --peer-trusted-ca-file no member would accept another. Leave these out, or give --peer-cert-file and \
                 --peer-key-file."
                    .into(),
            ));
        }
        let rules = [
            (options.crl_file.is_some(), crl),
            (options.allowed_cn.is_some(), "peer-cert-allowed-cn"),
            (options.allowed_hostname.is_some(), hostname),
        ];
        match rules.into_iter().find(|(given, _)| *given && !options.asks_for_certificates()) {
            None => Ok(()),
            Some((_, flag)) => Err(Failure::Failed(format!(
                "--{flag} is a rule over certificates that nobody is asked for. Give --{p}trusted-ca-file and \
                 --{p}client-cert-auth as well."
            ))),
        }
    }

    fn make(&mut self) -> Result<(), Failure> {
        if !self.makes() || !(self.serves() || self.dials) {
            return Ok(());
        }
        let hosts = self.urls.iter().map(|(_, url)| url.host().unwrap_or("localhost").to_owned());
        let hosts: Vec<String> = hosts.collect();
        let (cert, key) = make_self_signed(&self.made_in, &hosts, self.years).map_err(|error| {
            Failure::Failed(format!("--{}auto-tls: {error}. The certificate could not be made.", self.prefix))
        })?;
        self.options.cert_file = Some(cert);
        self.options.key_file = Some(key);
        self.options.self_signed = true;
        Ok(())
    }
}
