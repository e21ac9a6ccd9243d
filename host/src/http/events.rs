//! What happens, as server-sent events: live, from the last one that a client has seen, or all that is kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::vec::IntoIter;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::response::sse::Event as Frame;
use futures_util::stream;
use serde_json::json;

use super::analyze::fields;
use super::answer::Failure;
use super::query::{self, KIND};
use super::{Api, ServerState, sse};
use crate::error::CallError;
use crate::events::{Batch, Cursor, EventLog, Kind, Told};
use crate::names::PluginName;

const PARAMETERS: [&str; 3] = ["last_event_id", "plugin", "kind"];

/// `GET /v1/events`
pub(super) async fn follow(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let wanted = read(&uri)?;
    let log = Arc::clone(&api.services.events);
    let resumed = sse::last_event_id(&headers)?.or(wanted.cursor);
    let reader = Reader {
        cursor: resumed.unwrap_or_else(|| log.end()),
        log,
        state: Arc::clone(&api.services.state),
        filter: wanted.filter,
        pending: Vec::new().into_iter(),
        greets: true,
    };
    let frames = stream::unfold(reader, async |mut reader| {
        let frame = reader.next().await?;
        Some((frame, reader))
    });
    Ok(sse::answer(&api, frames)?)
}

/// What a client asks for in its query.
#[derive(Default)]
struct Wanted {
    cursor: Option<Cursor>,
    filter: Filter,
}

/// Which events a client wants; all, where it names none.
#[derive(Default)]
struct Filter {
    plugin: Option<PluginName>,
    kinds: Option<BTreeSet<Kind>>,
}

impl Filter {
    fn admits(&self, told: &Told) -> bool {
        let event = &told.event;
        let is_named = |name: &PluginName| event.plugin.as_ref() == Some(name);
        self.plugin.as_ref().is_none_or(is_named)
            && (self.kinds.as_ref()).is_none_or(|kinds| kinds.contains(&event.kind))
    }
}

fn read(uri: &Uri) -> Result<Wanted, CallError> {
    let mut wanted = Wanted::default();
    for (name, value) in query::pairs(uri)? {
        let put = match &*name {
            "last_event_id" => {
                let cursor = value.parse().map_err(CallError::malformed)?;
                fields::put(&mut wanted.cursor, cursor, KIND, &name)
            }
            "plugin" => {
                let plugin = PluginName::parse(&value).map_err(CallError::malformed)?;
                fields::put(&mut wanted.filter.plugin, plugin, KIND, &name)
            }
            "kind" => fields::put(&mut wanted.filter.kinds, kinds(&value)?, KIND, &name),
            other => Err(fields::unknown(KIND, other, &PARAMETERS)),
        };
        put.map_err(CallError::malformed)?;
    }
    Ok(wanted)
}

fn kinds(words: &str) -> Result<BTreeSet<Kind>, CallError> {
    let unknown = |word| {
        let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        CallError::malformed(fields::unknown("kind of event", word, &known))
    };
    let words = words.split(',');
    words
        .map(|word| Kind::parse(word).ok_or_else(|| unknown(word)))
        .collect()
}

/// Reads the log for one client, and no faster than that takes it: what it does not take in time is forgotten.
struct Reader {
    log: Arc<EventLog>,
    state: Arc<ServerState>,
    filter: Filter,
    cursor: Cursor,
    pending: IntoIter<Arc<Told>>,
    greets: bool,
}

impl Reader {
    /// The next frame; none when the host stops and all was said.
    async fn next(&mut self) -> Option<Frame> {
        if std::mem::take(&mut self.greets) {
            return Some(self.greeting());
        }
        loop {
            let filter = &self.filter;
            if let Some(told) = self.pending.find(|told| filter.admits(told)) {
                return Some(frame(&told));
            }
            let Batch {
                events,
                missed,
                before,
                next,
            } = self.log.after(self.cursor);
            let is_end = events.is_empty();
            (self.pending, self.cursor) = (events.into_iter(), next);
            if missed {
                return Some(gap(before));
            }
            if is_end {
                self.wait().await?;
            }
        }
    }

    /// Nothing when the host stops and there is no more. Then the last words come before the end.
    async fn wait(&self) -> Option<()> {
        tokio::select! {
            biased;
            () = self.log.more(self.cursor) => Some(()),
            () = self.state.until_draining() => None,
        }
    }

    /// Says where the client stands, so that one that is cut off before the first event misses none.
    fn greeting(&self) -> Frame {
        let frame = Frame::default().retry(sse::RETRY);
        match self.cursor {
            Cursor::Start => frame,
            Cursor::After(id) => frame.id(id.to_string()),
        }
    }
}

fn frame(told: &Told) -> Frame {
    let data = serde_json::to_string(told).expect("text, numbers and maps by text");
    let frame = Frame::default().id(told.id.to_string());
    frame.event(told.event.kind.as_str()).data(data)
}

/// Not an event of the log: each client has its own gaps.
fn gap(before: Cursor) -> Frame {
    let reason = "events were forgotten before you could read them, or the host was started anew: \
                  look at /v1/plugins for how things stand; what is kept of the events follows";
    let data = json!({ "kind": "missed", "reason": reason, "look_at": "/v1/plugins" });
    let frame = Frame::default().event("missed").data(data.to_string());
    match before {
        Cursor::Start => frame,
        Cursor::After(id) => frame.id(id.to_string()),
    }
}
