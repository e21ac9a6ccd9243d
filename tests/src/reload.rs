//! A daemon with one plugin, `builds`, whose file is replaced while it serves.

use std::path::Path;

use serde_json::{Value, json};

use crate::builds::{self, BUILDS, Build, FILE};
use crate::daemon::{Answer, Daemon};
use crate::folder::Folder;
use crate::load::Load;
use crate::wait;

/// The daemon and its plugin.
pub struct Scene {
    /// The daemon.
    pub daemon: Daemon,
    /// Where its plugin is, and its state beside that.
    pub folder: Folder,
}

/// As little patience with files as there may be: for tests of what comes after that.
pub const QUICK: &str = "plugins.settle = \"20ms\"\n";

impl Scene {
    /// A daemon that serves build 1.
    pub fn new(config: &str) -> Self {
        Self::with(|folder| Daemon::start(folder, config))
    }

    /// The same, with settings in the plugin's table and a daemon that settles files quickly.
    pub fn quick(plugin: &str) -> Self {
        Self::new(&quick(plugin))
    }

    /// A daemon that is started so, and serves build 1.
    pub fn with(start: impl FnOnce(&Folder) -> Daemon) -> Self {
        let folder = Folder::new();
        folder.put(FILE, &Build::fine(1).bytes());
        let daemon = start(&folder);
        let scene = Self { daemon, folder };
        scene.wait_for_build(1);
        scene
    }

    /// Another daemon in the place of this one, once this one has ended.
    #[must_use]
    pub fn restarted(self, config: &str) -> Self {
        let Self { mut daemon, folder } = self;
        daemon.terminate();
        assert_eq!(daemon.exit_code(), Some(0));
        drop(daemon);
        let daemon = Daemon::start(&folder, config);
        Self { daemon, folder }
    }

    /// Puts a build where the plugin is, in one step.
    pub fn put(&self, number: u16, way: &str) {
        self.folder.put(FILE, &builds::bytes(number, way));
    }

    /// The path of the plugin's file.
    pub fn file(&self) -> std::path::PathBuf {
        self.folder.at(FILE)
    }

    /// A call of the plugin.
    pub fn call(&self, options: &Value) -> Answer {
        self.daemon.call(BUILDS, options)
    }

    /// Clients that call until they are stopped.
    pub fn load(&self, clients: usize) -> Load {
        Load::start(&self.daemon, BUILDS, clients, json!({}))
    }

    /// Waits until calls are answered by this build.
    pub fn wait_for_build(&self, number: u16) {
        wait::until(&format!("build {number} to serve"), || {
            let answer = self.call(&json!({}));
            (answer.status == 200 && answer.body["result"]["build"] == number).then_some(())
        });
    }

    /// A call that goes well, and the build that answered.
    pub fn build(&self) -> u64 {
        let answer = self.call(&json!({}));
        let build = answer.result()["build"].as_u64();
        build.unwrap_or_else(|| panic!("no build in {}", answer.body))
    }

    /// What the plugin's status says of the generation of this file.
    pub fn generation(&self, bytes: &[u8]) -> Option<Value> {
        let (status, wanted) = (self.daemon.plugin(BUILDS), builds::generation(bytes));
        let mut generations = status["generations"].as_array()?.iter();
        generations.find(|it| it["generation"] == wanted).cloned()
    }

    /// Waits until the plugin's status has this in one of its generations, and gives that one.
    pub fn wait_for_generation(&self, field: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        wait::until(&format!("a generation by its {field}"), || {
            let status = self.daemon.plugin(BUILDS);
            let mut generations = status["generations"].as_array()?.iter();
            generations.find(|it| is_wanted(&it[field])).cloned()
        })
    }

    /// Waits until the file is told to be held for a reason that begins so.
    pub fn wait_for_invalid_file(&self, reason: &str) {
        wait::until(&format!("the file to be {reason}"), || {
            let status = self.daemon.plugin(BUILDS);
            let told = status["file_invalid"].as_str()?;
            told.starts_with(reason).then_some(())
        });
    }

    /// How often this event stands in the log.
    pub fn told(&self, event: &str) -> usize {
        let log = self.daemon.log();
        let lines = log.lines().map(serde_json::from_str::<Value>);
        let events = lines.flatten().filter(|line| line["event"] == event);
        events.count()
    }

    /// Asks for a reload, or for the generation before.
    pub fn act(&self, action: &str) -> Answer {
        self.daemon.act(BUILDS, action)
    }

    /// Whether it is this file that is served.
    pub fn check_serves_file(&self, file: &Path) {
        let generation = builds::generation(&std::fs::read(file).unwrap());
        assert_eq!(self.daemon.plugin(BUILDS)["generation"], generation);
    }
}

/// A configuration of the plugin's table for a daemon that settles files quickly.
pub fn quick(plugin: &str) -> String {
    format!("{QUICK}[plugin.builds]\n{plugin}\n")
}
