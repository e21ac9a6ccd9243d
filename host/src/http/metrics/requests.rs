//! The families of requests.

use std::collections::BTreeMap;
use std::fmt;

use super::family::Families;
use crate::histogram::Distribution;
use crate::http::requests::Asked;

/// Writes them.
pub(super) fn tell(
    requests: &[(Asked, Distribution)],
    families: &mut Families<'_, '_>,
) -> fmt::Result {
    let statuses: Vec<_> = requests
        .iter()
        .map(|(it, _)| it.status.to_string())
        .collect();
    let by_status = requests.iter().zip(&statuses);
    families.counter(
        "bulkhead_requests",
        "Requests that were answered, by the route that they matched.",
        by_status.map(|((asked, found), status)| {
            let labels = vec![
                ("route", &*asked.route),
                ("method", asked.method),
                ("status", &**status),
            ];
            (labels, found.count())
        }),
    )?;
    let mut by_route = BTreeMap::<(&str, &str), Distribution>::new();
    for (asked, found) in requests {
        let whole = by_route.entry((&asked.route, asked.method)).or_default();
        whole.add(found);
    }
    families.histogram(
        "bulkhead_request_duration_seconds",
        "How long requests took until their answer began, their bodies included.",
        by_route
            .into_iter()
            .map(|((route, method), found)| (vec![("route", route), ("method", method)], found)),
    )
}
