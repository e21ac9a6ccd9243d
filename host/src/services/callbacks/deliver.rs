//! Sends one message to one place, once, on the thread that it is called on. Believes nothing that it hears, and
//! connects to no address that it has not judged.

use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

use tracing::warn;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use super::addresses::is_public;
use super::allow;
use super::message::Message;
use crate::config::Callbacks;

/// How much of an answer's body is heard, before nobody listens any more.
const MAX_HEARD: u64 = 64 << 10;
/// The longest text about what went wrong.
const MAX_REASON: usize = 512;

/// What came of a try.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It was heard.
    Heard,
    /// It was not, for this reason; another time it may be.
    Failed(String),
    /// Nobody there wants to hear of it any more.
    Gone,
}

/// Tells `url`, at the time `second` (of the Unix epoch).
pub(super) fn deliver(message: &Message, url: &str, settings: &Callbacks, second: i64) -> Told {
    fail::fail_point!("callback.before_send");
    let told = match send(message, url, settings, second) {
        Ok(200..=299) => Told::Heard,
        Ok(410) => Told::Gone,
        Ok(status @ 300..=399) => {
            Told::Failed(format!("answered {status}, and redirects are not followed"))
        }
        Ok(status) => Told::Failed(format!("answered {status}")),
        Err(reason) => Told::Failed(shortened(reason)),
    };
    fail::fail_point!("callback.after_send");
    told
}

/// The status of the answer.
fn send(message: &Message, url: &str, settings: &Callbacks, second: i64) -> Result<u16, String> {
    // The operator may have changed their mind since the job was submitted.
    allow::check(url, settings)?;
    let secret = settings.secret.as_ref();
    let secret = secret.ok_or("there is no `secret` in [jobs.callbacks] to sign with")?;
    let request = agent(settings)
        .post(url)
        .header("content-type", "application/json")
        .header("webhook-id", &message.id)
        .header("webhook-timestamp", second.to_string())
        .header("webhook-signature", message.signature(secret, second));
    let mut answer = request
        .send(&message.body[..])
        .map_err(|error| error.to_string())?;
    // So that who answers is not cut off; what is said makes no difference, and whether all of it comes does not.
    let _ = io::copy(
        &mut answer.body_mut().as_reader().take(MAX_HEARD),
        &mut io::sink(),
    );
    Ok(answer.status().as_u16())
}

/// A new one each time: settings may have changed, and a connection that is kept would outlive the judgement on it.
fn agent(settings: &Callbacks) -> Agent {
    let tls = TlsConfig::builder().root_certs(trusted());
    let config = Config::builder()
        .timeout_global(Some(settings.timeout.duration()))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        // A proxy would do the looking up, and reach what we must not.
        .proxy(None)
        .max_response_header_size(64 << 10)
        .user_agent(concat!("bulkhead/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build())
        .build();
    let resolver = Judging {
        internal: settings.internal,
        inner: DefaultResolver::default(),
    };
    Agent::with_parts(config, DefaultConnector::default(), resolver)
}

/// What this system trusts, read once; where it says nothing, what browsers trust.
fn trusted() -> RootCerts {
    static TRUSTED: OnceLock<Option<Arc<Vec<Certificate<'static>>>>> = OnceLock::new();

    let found = TRUSTED.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            warn!(%error, "some of the system's certificates cannot be read");
        }
        let owned = |der: &_| Certificate::from_der(AsRef::<[u8]>::as_ref(der)).to_owned();
        let certificates: Vec<_> = found.certs.iter().map(owned).collect();
        (!certificates.is_empty()).then(|| Arc::new(certificates))
    });
    found.clone().map_or(RootCerts::WebPki, RootCerts::Specific)
}

/// Finds the addresses of a name, and hands on only those that may be reached: whoever connects asks nobody else, so
/// a name that leads elsewhere a moment later leads nowhere.
pub(super) struct Judging<R> {
    pub(super) internal: bool,
    pub(super) inner: R,
}

impl<R: Resolver> Resolver for Judging<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        let may_be_reached =
            |address: &&std::net::SocketAddr| self.internal || is_public(address.ip());
        found
            .iter()
            .filter(may_be_reached)
            .for_each(|address| allowed.push(*address));
        if allowed.is_empty() {
            let host = uri.host().unwrap_or_default();
            let reason = format!(
                "`{host}` has no public address, and `internal` is not set in [jobs.callbacks]"
            );
            return Err(Error::Io(io::Error::new(
                io::ErrorKind::PermissionDenied,
                reason,
            )));
        }
        Ok(allowed)
    }
}

impl<R> fmt::Debug for Judging<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judging")
            .field("internal", &self.internal)
            .finish_non_exhaustive()
    }
}

fn shortened(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    reason.replace(char::is_control, " ")
}
