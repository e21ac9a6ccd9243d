//! How the server is reached: its url, TLS by that url's `sslmode`, and a pool of connections. Knows no table.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How many connections do the work; one more hears of what others have done.
const CONNECTIONS: usize = 8;

/// How long making a connection may take.
pub(super) const CONNECTING: Duration = Duration::from_secs(5);

/// How long a connection is waited for where all are in use.
const WAITING: Duration = Duration::from_secs(10);

/// How long a connection may take to show that it is still one.
pub(super) const TRYING: Duration = Duration::from_secs(2);

/// What every connection starts with. What the url asks for comes later, so it counts more.
const OPTIONS: &str = "-c statement_timeout=15s -c idle_in_transaction_session_timeout=60s \
    -c synchronous_commit=on -c default_transaction_isolation=read\\ committed";

/// Why the store could not be connected to. None of its texts holds the url, which holds the password.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The url is none.
    #[error(
        "the job store's url is not one of PostgreSQL: \
         postgres://user:password@host:port/database?sslmode=disable|prefer|require"
    )]
    Url,
    /// The certificates that are to be trusted cannot be had.
    #[error("the certificates in {path} cannot be read: {reason}")]
    Certificates {
        /// Where they were looked for.
        path: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// The server does not answer, or does not let us in.
    #[error("the job store cannot be reached: {0}")]
    Unreachable(String),
    /// A newer host has changed the tables.
    #[error(
        "the job store has version {found} of its tables, and this host knows {known} at most: a newer host made them"
    )]
    Newer {
        /// The version of the tables.
        found: i64,
        /// The latest that we know.
        known: i64,
    },
    /// The tables cannot be made.
    #[error("the job store's tables cannot be made: {0}")]
    Tables(String),
}

/// The server as a url names it.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
}

impl Server {
    pub(super) fn new(url: &str, ca: Option<&Path>) -> Result<Self, ConnectError> {
        let config = config(url)?;
        let roots = match config.get_ssl_mode() {
            SslMode::Disable => RootCertStore::empty(),
            _ => roots(ca)?,
        };
        let tls = MakeRustlsConnect::new(tls(roots));
        Ok(Self { config, tls })
    }

    /// Connections, each made when it is first needed. Whoever takes one tries it first: the server may have gone.
    pub(super) fn pool(&self) -> Pool {
        let recycling_method = RecyclingMethod::Fast;
        let config = ManagerConfig { recycling_method };
        let manager = Manager::from_config(self.config.clone(), self.tls.clone(), config);
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAITING))
            .create_timeout(Some(CONNECTING));
        pool.build().expect("timeouts have their runtime")
    }
}

fn config(url: &str) -> Result<Config, ConnectError> {
    // The parser's own errors quote what it takes for a key, which may be a part of the password.
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let config = url.parse::<Config>().ok().filter(|_| is_url);
    let mut config = config.ok_or(ConnectError::Url)?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECTING);
    }
    if config.get_application_name().is_none() {
        config.application_name("bulkhead");
    }
    let options = match config.get_options() {
        Some(theirs) => format!("{OPTIONS} {theirs}"),
        None => OPTIONS.to_owned(),
    };
    // A server that has gone without a word is noticed in half a minute.
    config
        .options(options)
        .keepalives_idle(Duration::from_secs(15))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(30));
    Ok(config)
}

/// Whom to believe who the server is: those whom the system believes, and whoever the operator names.
fn roots(ca: Option<&Path>) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    // A system without any is no error before a certificate is to be checked.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let Some(path) = ca else {
        return Ok(roots);
    };
    let wrong = |reason: String| ConnectError::Certificates {
        path: path.to_owned(),
        reason,
    };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    let before = roots.len();
    for certificate in found {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|error| wrong(error.to_string()))?;
    }
    if roots.len() == before {
        return Err(wrong("there is none in it".to_owned()));
    }
    Ok(roots)
}

fn tls(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_url_is_refused_without_its_password() {
        for bad in [
            "",
            "sqlite",
            "host=localhost password=hush",
            "postgres://me:hush@host:port/jobs",
            "postgres://me:hush@host/jobs?sslmode=verify-full",
        ] {
            let error = config(bad).unwrap_err();
            assert!(matches!(error, ConnectError::Url), "{bad}");
            assert!(!format!("{error} {error:?}").contains("hush"), "{bad}");
        }
        let config = config("postgres://me:hush@host/jobs?options=-c%20geqo%3Doff").unwrap();
        assert!(config.get_options().unwrap().ends_with("-c geqo=off"));
        assert!(!format!("{config:?}").contains("hush"));
    }

    #[test]
    fn certificates_that_are_none_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let check = |path: &Path, says: &str| {
            let error = roots(Some(path)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        };
        check(file.path(), "there is none in it");
        check(Path::new("/there/is/none.pem"), "/there/is/none.pem");
    }
}
