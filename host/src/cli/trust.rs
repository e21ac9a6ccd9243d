//! Whom to believe who a daemon is, where it speaks TLS, and what to tell people whom it would not do for. Knows no
//! request.

use std::io;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, Error, InvalidMessage};
use ureq::tls::{Certificate, RootCerts};

use super::exit::{Exit, Failure};

/// What stands in the error of a certificate that may vouch for others, shown as a server's own.
const IS_ISSUER: &str = "CaUsedAsEndEntity";

/// Those whom the file names, and nobody else.
pub(super) fn named(file: &Path) -> Result<RootCerts, Failure> {
    let wrong = |problem: String| {
        let problem = format!("`{}` {problem}", file.display());
        Failure::new(Exit::Usage, problem)
    };
    let found = certificates(file).map_err(|error| {
        wrong(format!(
            "cannot be read as certificates: {error}; expected PEM, as `-----BEGIN CERTIFICATE-----` begins it"
        ))
    })?;
    if found.is_empty() {
        let expected =
            "holds no certificate: expected PEM, as `-----BEGIN CERTIFICATE-----` begins it";
        return Err(wrong(expected.to_owned()));
    }
    Ok(found.into())
}

/// Those whom the system trusts, and `own`: the certificate of a daemon whose configuration is at hand.
pub(super) fn of_system(own: Option<&Path>) -> RootCerts {
    // A system whose certificates cannot be read trusts nobody, which the first handshake tells.
    let found = rustls_native_certs::load_native_certs().certs;
    let found = found.iter().map(owned);
    // Who may not read it is no worse off than who is elsewhere.
    let own = own.and_then(|file| certificates(file).ok());
    found.chain(own.unwrap_or_default()).into()
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_file_iter(file)?
        .map(|found| found.map(|found| owned(&found)))
        .collect()
}

fn owned(certificate: &CertificateDer<'_>) -> Certificate<'static> {
    Certificate::from_der(certificate).to_owned()
}

/// What went wrong with TLS.
pub(super) enum Doubt {
    /// Something else is spoken.
    NoTls,
    /// It is, but not so that we would go on; what was found, and what to do.
    Refused(String),
}

/// What an error of a connection says of TLS, if that is what it is about.
pub(super) fn doubt(error: &io::Error) -> Option<Doubt> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => Doubt::NoTls,
        Error::InvalidCertificate(error) => Doubt::Refused(of_certificate(error)),
        error => Doubt::Refused(format!("it could not be agreed on TLS: {error}")),
    })
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "its certificate is not trusted: nobody whom this system trusts, or \
            --ca-file names, has issued it; name the issuer's certificate, or the daemon's own, with --ca-file"
            .to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().map(|name| bare(name)).collect();
            let names = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
            let expected = expected.to_str();
            format!(
                "its certificate is for {names}, not for {expected}: name the daemon as its certificate does, with --daemon"
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: have it renewed, and look at this machine's clock".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: look at this machine's clock".to_owned()
        }
        error if error.to_string().contains(IS_ISSUER) => "its certificate is one that may issue others, which no \
            server may show: make one with `basicConstraints=CA:FALSE`"
            .to_owned(),
        error => format!("its certificate is not trusted: {error}"),
    }
}

/// A name without what says of which kind it is.
fn bare(name: &str) -> &str {
    let inner = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}
