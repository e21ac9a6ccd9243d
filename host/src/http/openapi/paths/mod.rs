//! Every route under every verb, with what the document says of it. A test holds it against the router.

mod access;
mod analyze;
mod host;
mod jobs;
mod plugins;

use super::operation::Operation;

pub(super) use access::schemas as access_schemas;
pub(super) use analyze::request;
pub(super) use jobs::wishes;

/// A path, a verb, and what is to be said of them.
type Row = (&'static str, &'static str, fn() -> Operation);

/// In the order of the router.
pub(super) const ALL: &[Row] = &[
    ("/v1/analyze", "post", analyze::analyze),
    ("/v1/jobs", "get", jobs::list),
    ("/v1/jobs", "post", jobs::submit),
    ("/v1/jobs/batch", "post", jobs::submit_batch),
    ("/v1/jobs/{id}", "get", jobs::look_up),
    ("/v1/jobs/{id}", "delete", jobs::cancel),
    ("/v1/jobs/{id}/retry", "post", jobs::retry),
    ("/v1/jobs/{id}/events", "get", jobs::follow),
    ("/v1/jobs/{id}/result", "get", jobs::result),
    ("/v1/jobs/{id}/attachments/{name}", "get", jobs::attachment),
    ("/v1/plugins", "get", plugins::list),
    ("/v1/plugins/{name}", "get", plugins::look_up),
    ("/v1/plugins/{name}/enable", "post", plugins::enable),
    ("/v1/plugins/{name}/disable", "post", plugins::disable),
    ("/v1/plugins/{name}/reload", "post", plugins::reload),
    ("/v1/plugins/{name}/rollback", "post", plugins::rollback),
    ("/v1/plugins/{name}/history", "get", plugins::history),
    ("/v1/events", "get", host::events),
    ("/v1/access", "get", access::myself),
    ("/v1/tokens", "get", access::list),
    ("/v1/tokens", "post", access::create),
    ("/v1/tokens/{id}", "delete", access::revoke),
    ("/v1/host", "get", host::look_up),
    ("/", "get", host::page),
    ("/assets/{name}", "get", host::asset),
    ("/healthz", "get", host::alive),
    ("/readyz", "get", host::ready),
    ("/metrics", "get", host::metrics),
    ("/openapi.json", "get", host::openapi),
    ("/docs", "get", host::docs),
    ("/docs/{file}", "get", host::docs_file),
];

/// The groups that they stand in.
pub(super) const TAGS: [(&str, &str); 6] = [
    (analyze::TAG, "Run a plugin now."),
    (jobs::TAG, "Calls that are kept."),
    (plugins::TAG, "Look at plugins, and act on them."),
    (access::TAG, "Who may use the host."),
    (host::TAG, "How the host is, and what happens in it."),
    (host::DOCS, "This document."),
];
