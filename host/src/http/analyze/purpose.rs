//! What a body is read for, and which fields that admits.

use super::fields;
use crate::call::Place;
use crate::error::CallError;
use crate::http::Api;

/// The fields that only a job has.
const WISHES: [&str; 4] = ["priority", "not_before", "max_attempts", "callback_url"];
const FIELDS: [&str; 8] = [
    "plugin",
    "image",
    "mime_type",
    "options",
    WISHES[0],
    WISHES[1],
    WISHES[2],
    WISHES[3],
];
const PARAMETERS: [&str; 6] = [
    "plugin", "options", WISHES[0], WISHES[1], WISHES[2], WISHES[3],
];

/// What a body is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Purpose {
    /// An analysis that somebody waits for.
    Analysis,
    /// A job, or several.
    Job,
}

/// On what terms somebody wants a job to be run: texts that nobody has looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Wishes {
    pub(in crate::http) priority: Option<String>,
    pub(in crate::http) not_before: Option<String>,
    pub(in crate::http) max_attempts: Option<String>,
    pub(in crate::http) callback_url: Option<String>,
}

impl Purpose {
    /// Where the value of the field `name` goes, with its name, if it is one of those that only a job has.
    pub(super) fn place<'a>(
        self,
        wishes: &'a mut Wishes,
        name: &str,
    ) -> Option<(&'a mut Option<String>, &'static str)> {
        if self == Self::Analysis {
            return None;
        }
        match name {
            "priority" => Some((&mut wishes.priority, "priority")),
            "not_before" => Some((&mut wishes.not_before, "not_before")),
            "max_attempts" => Some((&mut wishes.max_attempts, "max_attempts")),
            "callback_url" => Some((&mut wishes.callback_url, "callback_url")),
            _ => None,
        }
    }

    /// The fields of a body.
    pub(super) fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Analysis => &FIELDS[..4],
            Self::Job => &FIELDS,
        }
    }

    /// Says that a body has no field `found`.
    pub(super) fn unknown_field(self, kind: &str, found: &str) -> String {
        self.unknown(kind, found, self.fields())
    }

    /// Says that a query has no parameter `found`.
    pub(super) fn unknown_parameter(self, kind: &str, found: &str) -> CallError {
        let known = match self {
            Self::Analysis => &PARAMETERS[..2],
            Self::Job => &PARAMETERS,
        };
        CallError::malformed(self.unknown(kind, found, known))
    }

    fn unknown(self, kind: &str, found: &str, known: &[&str]) -> String {
        if self == Self::Analysis && WISHES.contains(&found) {
            return format!("unknown {kind} `{found}`: only what is sent to /v1/jobs has it");
        }
        fields::unknown(kind, found, known)
    }

    /// Memory of the plugin's lane for an image, where it has any and the call comes now.
    pub(super) fn memory(
        self,
        api: &Api,
        plugin: Option<&str>,
        bytes: usize,
    ) -> Option<Box<dyn Place>> {
        match self {
            Self::Analysis => api.services.analysis.place(plugin, bytes),
            Self::Job => None,
        }
    }
}
