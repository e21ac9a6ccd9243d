//! What the edge is told of the settings of the server.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::StartError;
use crate::config::{Config, Server};
use crate::http::{CertificateFiles, EdgeSettings, Listeners, OwnNames, Places, ServerLimits};

/// Listens where the settings say.
///
/// # Errors
/// When that cannot be had.
pub async fn listen(server: &Server) -> Result<Listeners, StartError> {
    let socket = server.socket.clone();
    let places = Places {
        address: server.listen,
        tls: certificate(server),
        socket: socket.map(|path| (path, server.socket_mode.bits())),
    };
    Ok(Listeners::bind(places).await?)
}

pub(super) fn limits(server: &Server) -> ServerLimits {
    ServerLimits {
        header_timeout: server.header_timeout.duration(),
        send_timeout: server.send_timeout.duration(),
        max_head: server.max_head.as_usize(),
        connections: server.connections,
        drain: server.drain.duration(),
    }
}

/// Where the certificate is, if TLS is spoken.
pub(super) fn certificate(server: &Server) -> Option<CertificateFiles> {
    let files = server.tls.certificate.clone().zip(server.tls.key.clone());
    files.map(|(certificate, key)| CertificateFiles { certificate, key })
}

/// The names are those of the settings as they are when somebody asks.
pub(super) fn edge(server: &Server, running: Arc<ArcSwap<Config>>) -> EdgeSettings {
    let is_own = move |name: &str| {
        let config = running.load();
        config.server.hosts.iter().any(|host| host.matches(name))
    };
    EdgeSettings {
        names: OwnNames::of(is_own),
        compression: server.compression,
    }
}
