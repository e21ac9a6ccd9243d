//! The closed list of what can happen, each with its word and a sentence for people. Knows no facts.

use serde::{Serialize, Serializer};

use Weight::{Notable, Worrying};

/// How loudly the log says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// For the record.
    Notable,
    /// An operator should look.
    Worrying,
}

/// One row a kind, so that none can lack its word, its weight, its sentence, or its place in the list of all.
macro_rules! kinds {
    ($($kind:ident, $word:literal, $weight:ident, $sentence:literal;)+) => {
        /// The closed list of what can happen.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = concat!("`", $word, "`: ", $sentence, ".")] $kind,)+
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            fn row(self) -> (&'static str, Weight, &'static str) {
                match self {
                    $(Self::$kind => ($word, $weight, $sentence),)+
                }
            }
        }
    };
}

kinds! {
    Found, "found", Notable, "a plugin's file was found";
    Rejected, "rejected", Worrying, "a plugin's file is rejected";
    Held, "held", Worrying, "a changed file is refused, and the old generation serves on";
    Probed, "probed", Notable, "a candidate was tried in a worker of its own";
    Serving, "serving", Notable, "a generation serves";
    Draining, "draining", Notable, "a generation ends the calls that it has, and gets no others";
    Retired, "retired", Notable, "a generation has come to its end";
    Crashed, "crashed", Worrying, "a worker came to its end with a call";
    Quarantined, "quarantined", Worrying, "a generation is quarantined";
    Released, "released", Notable, "a generation is out of quarantine";
    RolledBack, "rolled_back", Worrying, "the last good generation serves again";
    CanaryStarted, "canary_started", Notable, "a candidate gets a share of the calls";
    CanaryPromoted, "canary_promoted", Notable, "a candidate did well with its share of the calls, and gets all";
    CanaryEnded, "canary_ended", Notable, "a candidate gets no share of the calls any more";
    Disabled, "disabled", Notable, "a plugin was taken out of service";
    Enabled, "enabled", Notable, "a plugin was put back into service";
    Removed, "removed", Notable, "a plugin's file is gone";
    ForcedKill, "forced_kill", Worrying, "what still ran of a generation was ended by force";
    RestartRequired, "restart_required", Worrying, "only a restart of the host makes a change good";
    FolderProblem, "folder_problem", Worrying, "the plugins folder cannot be used as it should be";
    FolderFine, "folder_fine", Notable, "the plugins folder can be used again";
    ConfigurationApplied, "configuration_applied", Notable, "a changed configuration is in force";
    ConfigurationRejected, "configuration_rejected", Worrying, "a changed configuration is refused, and the old one stays in force";
    JobFailed, "job_failed", Notable, "a job has failed";
    JobCancelled, "job_cancelled", Notable, "a job was cancelled";
    JobRetrying, "job_retrying", Notable, "an attempt of a job came to nothing, and there will be another";
    JobsTakenOver, "jobs_taken_over", Worrying, "jobs wait again that their host has left";
    StoreFailed, "store_failed", Worrying, "the job store cannot be trusted any more";
    HostReady, "host_ready", Notable, "the host is ready";
    HostStopping, "host_stopping", Notable, "the host stops";
}

impl Kind {
    /// The word in an event.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The kind with this word.
    pub fn parse(word: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|kind| kind.as_str() == word)
    }

    pub(super) fn weight(self) -> Weight {
        self.row().1
    }

    pub(super) fn sentence(self) -> &'static str {
        self.row().2
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
