//! The families of plugins. A generation's labels go some generations after it, a plugin's with the plugin.

use std::fmt;

use super::family::{Families, Labels};
use crate::call::Crew;
use crate::registry::{Lifecycle, Observed, ObservedGeneration};

const LIFECYCLES: [Lifecycle; 6] = [
    Lifecycle::Loading,
    Lifecycle::Ready,
    Lifecycle::Draining,
    Lifecycle::Disabled,
    Lifecycle::Quarantined,
    Lifecycle::Rejected,
];

/// Writes them.
pub(super) fn tell(
    plugins: &[Observed],
    refused_files: usize,
    families: &mut Families<'_, '_>,
) -> fmt::Result {
    calls(plugins, families)?;
    workers(plugins, families)?;
    states(plugins, families)?;
    families.gauge(
        "bulkhead_refused_files",
        "Files in the plugins folder that are not served.",
        super::family::alone(refused_files as u64),
    )
}

fn calls(plugins: &[Observed], families: &mut Families<'_, '_>) -> fmt::Result {
    let with_outcomes = generations(plugins).flat_map(|(plugin, it)| {
        let outcomes = &it.outcomes;
        let successes = ("success", outcomes.successes.count());
        let errors = outcomes.errors.iter();
        let errors = errors.map(|(word, (_, found))| (*word, found.count()));
        std::iter::once(successes)
            .chain(errors)
            .map(move |(word, count)| (with(labels(plugin, it), "outcome", word), count))
    });
    families.counter(
        "bulkhead_calls",
        "Calls that ran and have ended, by `success` or the code of their error.",
        with_outcomes,
    )?;
    families.histogram(
        "bulkhead_call_duration_seconds",
        "How long calls ran, whatever came of them; not how long they waited.",
        generations(plugins).map(|(plugin, it)| (labels(plugin, it), it.outcomes.all())),
    )?;
    families.counter(
        "bulkhead_crashes",
        "Calls that ended with the end of their worker.",
        generations(plugins).map(|(plugin, it)| (labels(plugin, it), it.outcomes.crashes())),
    )?;
    families.counter(
        "bulkhead_refused_calls",
        "Calls that came to nothing before they ran, by the code of their error.",
        plugins.iter().flat_map(|plugin| {
            let refused = plugin.refused.iter();
            refused.map(|(code, count)| (with(named(plugin), "code", code.as_str()), *count))
        }),
    )?;
    families.gauge(
        "bulkhead_in_flight",
        "Calls that run.",
        generations(plugins)
            .filter_map(|(plugin, it)| Some((labels(plugin, it), it.in_flight? as u64))),
    )?;
    families.gauge(
        "bulkhead_queued",
        "Calls that wait for their turn.",
        plugins.iter().map(|it| (named(it), it.queued as u64)),
    )
}

fn workers(plugins: &[Observed], families: &mut Families<'_, '_>) -> fmt::Result {
    let of_crews = |value: fn(&Crew) -> u64| {
        generations(plugins)
            .filter_map(move |(plugin, it)| Some((labels(plugin, it), value(it.crew.as_ref()?))))
    };
    let by_state = generations(plugins)
        .filter_map(|(plugin, it)| Some((plugin, it, it.crew?)))
        .flat_map(|(plugin, it, crew)| {
            let states = [
                ("busy", crew.busy),
                ("idle", crew.idle),
                ("starting", crew.starting),
            ];
            states.map(|(state, count)| (with(labels(plugin, it), "state", state), count as u64))
        });
    families.gauge(
        "bulkhead_workers",
        "Processes that plugins run in, by what they do.",
        by_state,
    )?;
    families.gauge(
        "bulkhead_worker_memory_bytes",
        "Memory that the workers of a generation share with nobody.",
        of_crews(|crew| crew.memory),
    )?;
    families.counter(
        "bulkhead_workers_started",
        "Workers that were started.",
        of_crews(|crew| crew.started),
    )?;
    families.counter(
        "bulkhead_workers_killed",
        "Workers that have come to their end while they had a call.",
        of_crews(|crew| crew.killed),
    )?;
    families.counter(
        "bulkhead_forced_kills",
        "Workers that had to be ended which were to end by themselves.",
        plugins.iter().map(|it| (named(it), it.forced_kills)),
    )
}

fn states(plugins: &[Observed], families: &mut Families<'_, '_>) -> fmt::Result {
    families.counter(
        "bulkhead_reloads",
        "How often another generation has taken over.",
        plugins.iter().map(|it| (named(it), it.takeovers)),
    )?;
    let lifecycles = plugins.iter().flat_map(|plugin| {
        LIFECYCLES.map(|state| {
            let labels = with(named(plugin), "state", state.as_str());
            (labels, u64::from(plugin.lifecycle == state))
        })
    });
    families.gauge(
        "bulkhead_plugin_lifecycle",
        "Where a plugin stands: 1 for that state, 0 for the others.",
        lifecycles,
    )?;
    let told: Vec<_> = plugins.iter().filter_map(Told::of).collect();
    families.info(
        "bulkhead_plugin",
        "What serves under a plugin's name.",
        told.iter().map(Told::labels),
    )
}

/// What is said of the generation that serves a plugin.
struct Told<'a> {
    plugin: &'a Observed,
    generation: String,
    version: String,
    description: &'a str,
    file: &'a str,
    lane: &'static str,
    required: &'static str,
}

impl<'a> Told<'a> {
    fn of(plugin: &'a Observed) -> Option<Self> {
        let stable = plugin.stable.as_ref()?;
        let (declaration, config) = (stable.declaration(), stable.config());
        Some(Self {
            plugin,
            generation: declaration.digest.short(),
            version: declaration.version.to_string(),
            description: &declaration.description,
            file: &declaration.file,
            lane: config.lane.as_str(),
            required: if config.required { "true" } else { "false" },
        })
    }

    fn labels(&self) -> Labels<'_> {
        let mut labels = named(self.plugin);
        labels.extend([
            ("generation", &*self.generation),
            ("version", &self.version),
            ("description", self.description),
            ("file", self.file),
            ("lane", self.lane),
            ("required", self.required),
        ]);
        labels
    }
}

fn generations(plugins: &[Observed]) -> impl Iterator<Item = (&Observed, &ObservedGeneration)> {
    plugins
        .iter()
        .flat_map(|plugin| plugin.generations.iter().map(move |it| (plugin, it)))
}

fn named(plugin: &Observed) -> Labels<'_> {
    vec![("plugin", plugin.name.as_str())]
}

fn labels<'a>(plugin: &'a Observed, it: &'a ObservedGeneration) -> Labels<'a> {
    let mut labels = named(plugin);
    labels.extend([("generation", &*it.generation), ("lane", it.lane)]);
    labels
}

fn with<'a>(mut labels: Labels<'a>, name: &'static str, value: &'a str) -> Labels<'a> {
    labels.push((name, value));
    labels
}
