//! Plugins: looked at, acted on.

use super::super::operation::{Operation, json_of, reference};
use super::super::parts::in_path;
use crate::error::Code;

pub(super) const TAG: &str = "plugins";

pub(super) fn list() -> Operation {
    Operation::new(
        TAG,
        "list_plugins",
        "Every plugin as it stands, and every file that is refused",
    )
    .answers(
        200,
        "All of them: there is no other page.",
        json_of("PluginList"),
    )
}

pub(super) fn look_up() -> Operation {
    of_one("look_up_plugin", "A plugin as it stands, once it is open")
        .says("It is opened for that: its schemas are known only then.")
}

pub(super) fn enable() -> Operation {
    of_one("enable_plugin", "Take a plugin back into service")
        .says("One that is held back for its crashes may try again.")
}

pub(super) fn disable() -> Operation {
    of_one("disable_plugin", "Take a plugin out of service")
        .says("Its calls are refused until it is enabled. What runs goes on.")
}

pub(super) fn reload() -> Operation {
    of_one("reload_plugin", "Let the build that the folder holds serve")
        .says("Settings and folder are read again.")
}

pub(super) fn rollback() -> Operation {
    of_one(
        "rollback_plugin",
        "Let the last good build serve, in place of the one that does",
    )
}

pub(super) fn history() -> Operation {
    let name = in_path("name", reference("PluginName"), "The plugin's name.");
    Operation::new(
        TAG,
        "plugin_history",
        "How many calls a plugin has had of late",
    )
    .says("A point for each interval of the last ten minutes, the newest last.")
    .takes(name)
    .answers(200, "The points.", json_of("History"))
    .fails(&[Code::MalformedRequest, Code::PluginNotFound])
}

fn of_one(id: &'static str, summary: &'static str) -> Operation {
    let name = in_path("name", reference("PluginName"), "The plugin's name.");
    Operation::new(TAG, id, summary)
        .takes(name)
        .answers(200, "The plugin as it stands then.", json_of("Plugin"))
        .fails(&[
            Code::MalformedRequest,
            Code::PluginNotFound,
            Code::PluginUnavailable,
        ])
}
