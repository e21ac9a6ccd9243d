//! What a running host takes over of settings that were read again, and what waits for a restart.
//! Knows no source, and not who acts on a setting.
//!
//! Every struct is taken apart and put together with all its fields: a new setting must say here
//! which of the two it is, or this does not compile.

use super::{Access, Config, Jobs, Log, Plugins, Server, Telemetry, Workers};

impl Config {
    /// The settings that hold from now on in a host that runs with `self`, when its sources say
    /// `fresh`; and the keys of those that `fresh` changes and that wait for a restart.
    pub fn adopt(&self, fresh: Config) -> (Config, Vec<String>) {
        let mut waits = Waits::default();
        let Config {
            state,
            server,
            access,
            plugins,
            workers,
            jobs,
            log,
            telemetry,
        } = fresh;
        let config = Config {
            state: waits.keep("state", &self.state, &state),
            server: self.server.adopt(server, &mut waits),
            access: self.access.adopt(access, &mut waits),
            plugins: self.plugins.adopt(plugins, &mut waits),
            workers: self.workers.adopt(workers, &mut waits),
            jobs: self.jobs.adopt(jobs, &mut waits),
            log: self.log.adopt(log, &mut waits),
            telemetry: self.telemetry.adopt(telemetry, &mut waits),
        };
        (config, waits.0)
    }
}

/// The keys that were changed in vain, for now.
#[derive(Default)]
struct Waits(Vec<String>);

impl Waits {
    /// The value that the host runs with; one that differs waits.
    fn keep<T: Clone + PartialEq>(&mut self, key: &str, running: &T, fresh: &T) -> T {
        if running != fresh {
            self.0.push(key.to_owned());
        }
        running.clone()
    }
}

impl Server {
    fn adopt(&self, fresh: Server, waits: &mut Waits) -> Server {
        let Server {
            listen,
            socket,
            socket_mode,
            insecure,
            hosts,
            tls,
            connections,
            max_head,
            header_timeout,
            body_timeout,
            send_timeout,
            compression,
            max_body,
            max_in_flight,
            max_pixels,
            drain,
        } = fresh;
        Server {
            listen: waits.keep("server.listen", &self.listen, &listen),
            socket: waits.keep("server.socket", &self.socket, &socket),
            socket_mode: waits.keep("server.socket_mode", &self.socket_mode, &socket_mode),
            insecure: waits.keep("server.insecure", &self.insecure, &insecure),
            hosts,
            // Other files are read; whether TLS is spoken is settled with the port.
            tls: if self.tls.is_spoken() && tls.is_spoken() {
                tls
            } else {
                waits.keep("server.tls", &self.tls, &tls)
            },
            connections: waits.keep("server.connections", &self.connections, &connections),
            max_head: waits.keep("server.max_head", &self.max_head, &max_head),
            header_timeout: waits.keep(
                "server.header_timeout",
                &self.header_timeout,
                &header_timeout,
            ),
            body_timeout: waits.keep("server.body_timeout", &self.body_timeout, &body_timeout),
            send_timeout: waits.keep("server.send_timeout", &self.send_timeout, &send_timeout),
            compression: waits.keep("server.compression", &self.compression, &compression),
            max_body: waits.keep("server.max_body", &self.max_body, &max_body),
            max_in_flight: waits.keep("server.max_in_flight", &self.max_in_flight, &max_in_flight),
            max_pixels: waits.keep("server.max_pixels", &self.max_pixels, &max_pixels),
            drain: waits.keep("server.drain", &self.drain, &drain),
        }
    }
}

impl Access {
    fn adopt(&self, fresh: Access, waits: &mut Waits) -> Access {
        let Access {
            tokens,
            loopback,
            rate,
            burst,
        } = fresh;
        Access {
            tokens: waits.keep("access.tokens", &self.tokens, &tokens),
            loopback: waits.keep("access.loopback", &self.loopback, &loopback),
            rate,
            burst,
        }
    }
}

impl Plugins {
    fn adopt(&self, fresh: Plugins, waits: &mut Waits) -> Plugins {
        let Plugins {
            dir,
            default,
            preload,
            watch,
            settle,
            rescan,
            keep,
            defaults,
            named,
        } = fresh;
        Plugins {
            dir: waits.keep("plugins.dir", &self.dir, &dir),
            default,
            preload,
            watch: waits.keep("plugins.watch", &self.watch, &watch),
            settle: waits.keep("plugins.settle", &self.settle, &settle),
            rescan: waits.keep("plugins.rescan", &self.rescan, &rescan),
            keep,
            defaults,
            named,
        }
    }
}

impl Workers {
    fn adopt(&self, fresh: Workers, waits: &mut Waits) -> Workers {
        let Workers {
            platform,
            sandbox,
            spares,
            uids,
        } = fresh;
        Workers {
            platform: waits.keep("workers.platform", &self.platform, &platform),
            sandbox: waits.keep("workers.sandbox", &self.sandbox, &sandbox),
            spares: waits.keep("workers.spares", &self.spares, &spares),
            uids: waits.keep("workers.uids", &self.uids, &uids),
        }
    }
}

impl Jobs {
    fn adopt(&self, fresh: Jobs, waits: &mut Waits) -> Jobs {
        let Jobs {
            store,
            payloads,
            postgres_ca,
            retention,
            attempts,
            backoff,
            lease,
            patience,
            callbacks,
            s3: _,
        } = fresh;
        Jobs {
            store: waits.keep("jobs.store", &self.store, &store),
            payloads: waits.keep("jobs.payloads", &self.payloads, &payloads),
            postgres_ca: waits.keep("jobs.postgres_ca", &self.postgres_ca, &postgres_ca),
            retention,
            attempts,
            backoff,
            lease: waits.keep("jobs.lease", &self.lease, &lease),
            patience,
            callbacks,
            // No key of its own: it goes with the place of the payloads.
            s3: self.s3.clone(),
        }
    }
}

impl Log {
    fn adopt(&self, fresh: Log, waits: &mut Waits) -> Log {
        let Log { level, format } = fresh;
        Log {
            level,
            format: waits.keep("log.format", &self.format, &format),
        }
    }
}

impl Telemetry {
    fn adopt(&self, fresh: Telemetry, waits: &mut Waits) -> Telemetry {
        let Telemetry { otlp, sample } = fresh;
        Telemetry {
            otlp: waits.keep("telemetry.otlp", &self.otlp, &otlp),
            sample: waits.keep("telemetry.sample", &self.sample, &sample),
        }
    }
}
