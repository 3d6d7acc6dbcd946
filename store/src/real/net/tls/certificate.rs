//! Further checks of a verified certificate: its common name, its host names, and the address of its caller.

use std::net::IpAddr;

use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName},
    server::ParsedCertificate,
};
use x509_parser::{extensions::GeneralName, prelude::*};

use super::TlsOptions;

/// The common name of a certificate's subject; the last one if there are several (Go's rule).
pub(super) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject().iter_common_name().last()?;
    Some(name.as_str().ok()?.to_owned())
}

/// Checks the certificate of a caller or of a dialled member against the rules of `options`.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn check_names(options: &TlsOptions, certificate: &CertificateDer<'_>) -> Result<(), String> {
    if let Some(allowed) = &options.allowed_cn {
        let shown = common_name(certificate).unwrap_or_default();
        if shown != *allowed {
            let shown = if shown.is_empty() { "absent" } else { shown.as_str() };
            return Err(format!("the certificate's common name is {shown}, and only {allowed} is allowed"));
        }
    }
    if let Some(allowed) = &options.allowed_hostname
        && !valid_for(certificate, allowed)
    {
        return Err(format!("the certificate is not valid for {allowed}, the only name that is allowed"));
    }
    Ok(())
}

/// etcd's `checkCertSAN`: if a certificate names addresses or hosts, its holder must call from one of them.
///
/// # Errors
/// The names in the certificate, and the address that the call came from.
pub(super) async fn check_address(certificate: &CertificateDer<'_>, from: IpAddr) -> Result<(), String> {
    let (addresses, hosts) = alternative_names(certificate);
    if addresses.is_empty() && hosts.is_empty() {
        return Ok(());
    }
    let from = from.to_canonical();
    if addresses.contains(&from) {
        return Ok(());
    }
    for host in &hosts {
        if let Ok(mut found) = tokio::net::lookup_host((host.as_str(), 0)).await
            && found.any(|address| address.ip().to_canonical() == from)
        {
            return Ok(());
        }
    }
    let names: Vec<String> = addresses.iter().map(ToString::to_string).chain(hosts).collect();
    Err(format!("the certificate is for {}, and the call comes from {from}", names.join(", ")))
}

/// The addresses and host names of a certificate. Wildcards are not resolved to addresses: that would take a reverse
/// look-up.
fn alternative_names(certificate: &CertificateDer<'_>) -> (Vec<IpAddr>, Vec<String>) {
    let (mut addresses, mut hosts) = (Vec::new(), Vec::new());
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return (addresses, hosts) };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return (addresses, hosts) };
    for name in &names.value.general_names {
        match name {
            GeneralName::DNSName(host) => hosts.push((*host).to_owned()),
            GeneralName::IPAddress(bytes) => {
                if let Ok(bytes) = <[u8; 4]>::try_from(*bytes) {
                    addresses.push(IpAddr::from(bytes));
                } else if let Ok(bytes) = <[u8; 16]>::try_from(*bytes) {
                    addresses.push(IpAddr::from(bytes).to_canonical());
                }
            }
            _ => {}
        }
    }
    (addresses, hosts)
}

fn valid_for(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let (Ok(name), Ok(parsed)) = (ServerName::try_from(host), ParsedCertificate::try_from(certificate))
    else {
        return false;
    };
    verify_server_name(&parsed, &name).is_ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(cn: Option<&str>, names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(cn) = cn {
            params.distinguished_name.push(DnType::CommonName, cn);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn common_names() {
        assert_eq!(common_name(&certificate(Some("root"), &[])).as_deref(), Some("root"));
        assert_eq!(common_name(&certificate(Some(""), &[])).as_deref(), Some(""));
        assert_eq!(common_name(&certificate(None, &[])), None);
        assert_eq!(common_name(&vec![0x30, 0x80, 1].into()), None);
    }

    #[test]
    fn rules_over_names() {
        let shown = certificate(Some("m1"), &["m1.example", "10.0.0.1"]);
        let by_cn = |cn: &str| TlsOptions { allowed_cn: Some(cn.into()), ..Default::default() };
        let by_host = |host: &str| TlsOptions { allowed_hostname: Some(host.into()), ..Default::default() };
        assert_eq!(check_names(&TlsOptions::default(), &shown), Ok(()));
        assert_eq!(check_names(&by_cn("m1"), &shown), Ok(()));
        assert!(check_names(&by_cn("m2"), &shown).unwrap_err().contains("is m1, and only m2"));
        assert_eq!(check_names(&by_host("m1.example"), &shown), Ok(()));
        assert_eq!(check_names(&by_host("10.0.0.1"), &shown), Ok(()));
        assert!(check_names(&by_host("m2.example"), &shown).is_err());
        assert!(check_names(&by_host("not a name"), &shown).is_err());
    }

    #[tokio::test]
    async fn the_callers_address() {
        let from = |text: &str| text.parse::<IpAddr>().unwrap();
        let nameless = certificate(Some("m1"), &[]);
        assert_eq!(check_address(&nameless, from("10.0.0.9")).await, Ok(()));
        let shown = certificate(Some("m1"), &["10.0.0.1", "localhost"]);
        assert_eq!(check_address(&shown, from("10.0.0.1")).await, Ok(()));
        assert_eq!(check_address(&shown, from("::ffff:10.0.0.1")).await, Ok(()));
        assert_eq!(check_address(&shown, from("127.0.0.1")).await, Ok(()));
        let refused = check_address(&shown, from("10.0.0.2")).await.unwrap_err();
        assert_eq!(refused, "the certificate is for 10.0.0.1, localhost, and the call comes from 10.0.0.2");
    }
}
