//! TLS of connections that come in. A certificate that was renewed is taken over while the host serves.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

/// What ALPN calls HTTP/2.
pub(super) const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and what vouches for it, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Why TLS cannot be spoken.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is not what it should be.
    #[error("`server.tls.{key}`: `{}` {problem}", path.display())]
    File {
        /// Which of the two.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What was found, and what was expected.
        problem: String,
    },
    /// They are not of each other.
    #[error("the key in `{}` is not that of the certificate in `{}`: name the two files of one pair", .0.key.display(), .0.certificate.display())]
    NoPair(CertificateFiles),
}

/// What TLS is spoken with; clones share it.
#[derive(Clone)]
pub struct Tls {
    files: Arc<ArcSwap<CertificateFiles>>,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads the pair.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read(files: CertificateFiles) -> Result<Self, TlsError> {
        let current = Arc::new(Current(ArcSwap::from_pointee(pair(&files)?)));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has the suites of both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
        Ok(Self {
            files: Arc::new(ArcSwap::from_pointee(files)),
            current,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    /// The pair is in other files from now on, if these are others.
    pub fn follow(&self, files: CertificateFiles) {
        if **self.files.load() != files {
            self.files.store(Arc::new(files));
            self.renew();
        }
    }

    /// Reads the pair again, for connections to come. One that is no good changes nothing.
    pub fn renew(&self) {
        match pair(&self.files.load()) {
            Ok(pair) if pair.cert == self.current.0.load().cert => {}
            Ok(pair) => {
                self.current.0.store(Arc::new(pair));
                info!("the certificate was renewed");
            }
            Err(error) => warn!(%error, "the certificate was not renewed: the earlier one stays"),
        }
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

/// The certificate of new connections.
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Says nothing of the key.
impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

fn pair(files: &CertificateFiles) -> Result<CertifiedKey, TlsError> {
    let wrong = |key, path: &Path, problem: String| TlsError::File {
        key,
        path: path.to_owned(),
        problem,
    };
    let of_chain = |problem| wrong("certificate", &files.certificate, problem);
    let of_key = |problem| wrong("key", &files.key, problem);
    let read = |error| cannot_be_read(&error, "a certificate");
    let chain = CertificateDer::pem_file_iter(&files.certificate);
    let chain = chain.and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| of_chain(read(error)))?;
    if chain.is_empty() {
        return Err(of_chain(nothing_in_it("a certificate")));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key);
    let key = key.map_err(|error| of_key(cannot_be_read(&error, "a private key")))?;
    let provider = ring::default_provider();
    let signs = provider.key_provider.load_private_key(key);
    let signs = signs.map_err(|error| of_key(format!("has no key that can be used: {error}")))?;
    let pair = CertifiedKey::new(chain, signs);
    match pair.keys_match() {
        // Some kinds of keys cannot be compared.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::NoPair(files.clone())),
        Err(error) => Err(of_chain(format!(
            "has no certificate that can be used: {error}"
        ))),
    }
}

fn cannot_be_read(error: &pem::Error, expected: &str) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot be read: {error}"),
        pem::Error::NoItemsFound => nothing_in_it(expected),
        error => format!("is no PEM: {error}"),
    }
}

fn nothing_in_it(expected: &str) -> String {
    format!(
        "has nothing that begins as {expected} in PEM does, with `-----BEGIN `: write {expected} there, without a password"
    )
}
