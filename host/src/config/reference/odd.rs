//! What may be said, and is seldom meant. Judges settings alone: looks at no file.

use crate::config::{Config, LaneKind, Loopback, PluginConfig, Sandbox};

/// Something odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oddity {
    /// The key that makes it so.
    pub key: String,
    /// What follows from it.
    pub text: String,
}

fn odd(key: impl Into<String>, text: impl Into<String>) -> Oddity {
    Oddity {
        key: key.into(),
        text: text.into(),
    }
}

impl Config {
    /// What is legal and odd, in the order of the documentation.
    pub fn oddities(&self) -> Vec<Oddity> {
        let of_host = [
            self.open_to_all(),
            self.open_socket(),
            self.small_budget(),
            self.writable_plugins(),
            self.unconfined(),
            self.internal_callbacks(),
            self.no_traces(),
        ];
        let defaults = self.plugins.defaults.oddities("plugins.defaults", None);
        let named = self.plugins.named.iter().flat_map(|(name, plugin)| {
            plugin.oddities(&format!("plugin.{name}"), Some(&self.plugins.defaults))
        });
        let of_host = of_host.into_iter().flatten();
        of_host.chain(defaults).chain(named).collect()
    }

    fn open_to_all(&self) -> Option<Oddity> {
        let text = match (self.server.insecure, self.server.is_local()) {
            (false, _) => return None,
            (true, true) => "has no effect while `server.listen` is a loopback address".to_owned(),
            (true, false) => format!(
                "whoever reaches {} may use every plugin and change them, without a token",
                self.server.listen
            ),
        };
        Some(odd("server.insecure", text))
    }

    fn open_socket(&self) -> Option<Oddity> {
        let is_open = self.server.socket_mode.bits() & 0o002 != 0;
        let is_free = self.server.socket.is_some() && self.access.loopback == Loopback::Open;
        (is_open && is_free).then(|| {
            let text =
                "every user of this machine may use every plugin and change them, without a token";
            odd("server.socket_mode", text)
        })
    }

    fn small_budget(&self) -> Option<Oddity> {
        let (said, meant) = (self.server.max_in_flight, self.server.budget());
        (said.bytes() < meant).then(|| {
            let text = "is less than two of the largest bodies (`server.max_body`), and counts as that much";
            odd("server.max_in_flight", text)
        })
    }

    fn writable_plugins(&self) -> Option<Oddity> {
        let dir = &self.plugins.dir;
        let all = self.plugins.named.values().chain([&self.plugins.defaults]);
        let mut granted = all.flat_map(|plugin| &plugin.write);
        let is_reached = dir.is_absolute() && granted.any(|path| dir.starts_with(path));
        is_reached.then(|| {
            odd(
                "plugins.dir",
                "a plugin may write there, and so replace others",
            )
        })
    }

    fn unconfined(&self) -> Option<Oddity> {
        (self.workers.sandbox == Sandbox::Off).then(|| {
            let text = "plugins may do whatever the user of the host may";
            odd("workers.sandbox", text)
        })
    }

    fn internal_callbacks(&self) -> Option<Oddity> {
        let callbacks = &self.jobs.callbacks;
        let is_odd = callbacks.internal && callbacks.hosts.is_empty();
        is_odd.then(|| {
            odd(
                "jobs.callbacks.internal",
                "has no effect: nobody is told while `hosts` is empty",
            )
        })
    }

    fn no_traces(&self) -> Option<Oddity> {
        let is_odd = self.telemetry.otlp.is_some() && self.telemetry.sample == 0;
        is_odd.then(|| {
            odd(
                "telemetry.sample",
                "only requests that come with a trace are traced",
            )
        })
    }
}

impl PluginConfig {
    /// What differs from `defaults` alone is worth a word: the rest was said of them.
    fn oddities(&self, table: &str, defaults: Option<&PluginConfig>) -> Vec<Oddity> {
        let trusted = self.lane == LaneKind::InProcess;
        let is_new = |is: fn(&PluginConfig) -> bool| is(self) && !defaults.is_some_and(is);
        let of = |key: &str, text: &str| odd(format!("{table}.{key}"), text);
        let mut odd = Vec::new();
        if is_new(|it| it.lane == LaneKind::InProcess) {
            odd.push(of(
                "lane",
                "its code can end the host, and no limit and no grant holds it: for plugins that you trust",
            ));
        }
        if !trusted && is_new(|it| it.warm > it.concurrency) {
            odd.push(of(
                "warm",
                "more workers are kept than `concurrency` lets run",
            ));
        }
        if !trusted && is_new(|it| it.threads > it.concurrency) {
            odd.push(of(
                "threads",
                "`concurrency` lets fewer calls run than one worker could",
            ));
        }
        if is_new(|it| it.grace >= it.deadline) {
            odd.push(of(
                "grace",
                "is as long as `deadline`: calls may take twice as long as they say",
            ));
        }
        odd
    }
}
