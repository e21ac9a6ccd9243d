//! What the edge is told of the settings of the server.

use super::StartError;
use crate::config::Server;
use crate::http::{CertificateFiles, EdgeSettings, Listeners, OwnNames, Places, ServerLimits};

/// Listens where the settings say.
///
/// # Errors
/// When that cannot be had.
pub async fn listen(server: &Server) -> Result<Listeners, StartError> {
    let tls = server.tls.certificate.clone().zip(server.tls.key.clone());
    let socket = server.socket.clone();
    let places = Places {
        address: server.listen,
        tls: tls.map(|(certificate, key)| CertificateFiles { certificate, key }),
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

pub(super) fn edge(server: &Server) -> EdgeSettings {
    let hosts = server.hosts.clone();
    EdgeSettings {
        names: OwnNames::of(move |name| hosts.iter().any(|host| host.matches(name))),
        compression: server.compression,
    }
}
