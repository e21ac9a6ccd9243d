//! Calls of a running daemon over HTTP, each client over a connection of its own.

use std::thread;
use std::time::{Duration, Instant};

use super::samples::{Row, Samples};
use super::{Bench, Picture, Target};
use crate::cli::address::Address;
use crate::cli::at::At;
use crate::cli::daemon::{Daemon, DaemonError};
use crate::cli::exit::Failure;

/// A daemon, and what it is sent.
struct Remote {
    daemon: Daemon,
    plugin: String,
    options: Option<String>,
    pictures: Vec<Picture>,
}

impl Bench {
    /// The plugin as a daemon serves it.
    pub(super) fn remote(
        &mut self,
        address: Option<Address>,
        pictures: Vec<Picture>,
    ) -> Result<Vec<Row>, Failure> {
        let at = At {
            daemon: Some(address),
            config: self.common.config.take(),
            token_file: self.token_file.take(),
            ca_file: self.ca_file.take(),
            json: self.json,
        };
        let daemon = at.daemon()?;
        let plugin = daemon.get(&format!("/v1/plugins/{}", self.plugin));
        let lane = match plugin {
            Ok(plugin) if plugin["lane"] == "in-process" => "HTTP, in-process",
            // `default` is no plugin, but means one.
            Ok(_) | Err(DaemonError::Refused(_)) => "HTTP",
            Err(error) => return Err(error.into()),
        };
        let target = Remote {
            daemon,
            plugin: self.plugin.clone(),
            options: self.options.as_ref().map(ToString::to_string),
            pictures,
        };
        Ok(self.measure(lane, &target))
    }
}

impl Remote {
    fn call(&self, picture: &Picture) -> Result<(), DaemonError> {
        let length = picture.bytes.len().to_string();
        let headers = [
            ("content-type", picture.mime_type.as_str()),
            ("content-length", &length),
        ];
        let mut query = vec![("plugin", self.plugin.as_str())];
        query.extend(self.options.as_deref().map(|options| ("options", options)));
        let mut body = &picture.bytes[..];
        let sent = self.daemon.send("/v1/analyze", &query, &headers, &mut body);
        sent.map(drop)
    }

    fn call_until(&self, end: Instant, client: usize) -> Samples {
        let mut samples = Samples::default();
        for picture in self.pictures.iter().cycle().skip(client) {
            let began = Instant::now();
            let outcome = self.call(picture);
            let ended = Instant::now();
            match outcome {
                Ok(()) => samples.add(ended - began),
                Err(error) => samples.fail(&error.to_string()),
            }
            if ended >= end {
                break;
            }
        }
        samples
    }
}

impl Target for Remote {
    fn run(&self, clients: usize, time: Duration) -> Samples {
        let began = Instant::now();
        let end = began + time;
        let mut samples = Samples::beginning(began);
        thread::scope(|scope| {
            let calling = |client| scope.spawn(move || self.call_until(end, client));
            let clients: Vec<_> = (0..clients).map(calling).collect();
            for client in clients {
                samples.join(client.join().unwrap_or_default());
            }
        });
        samples
    }
}
