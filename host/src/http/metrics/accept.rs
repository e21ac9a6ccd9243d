//! Which of the two forms a scraper wants.

use axum::http::{HeaderMap, header};

/// The forms of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenMetrics 1.0: what is sent where nothing else is wanted more.
    OpenMetrics,
    /// The text that Prometheus had before.
    Plain,
}

impl Format {
    /// What the headers of a request ask for.
    pub(super) fn asked(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT).iter();
        let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
        let weight = |name: &str| {
            let ranges = values.iter().flat_map(|value| value.split(','));
            let weights = ranges.filter_map(|range| weight(range, name));
            weights.fold(None, |most: Option<f32>, it| {
                Some(most.map_or(it, |most| most.max(it)))
            })
        };
        match (weight("application/openmetrics-text"), weight("text/plain")) {
            (open, Some(plain)) if plain > open.unwrap_or(0.0) => Self::Plain,
            _ => Self::OpenMetrics,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// How much a range of types wants this one, if it names it.
fn weight(range: &str, name: &str) -> Option<f32> {
    let mut parts = range.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(name) {
        return None;
    }
    let weight = parts.find_map(|part| part.strip_prefix("q="));
    Some(weight.and_then(|text| text.parse().ok()).unwrap_or(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapers_get_what_they_ask_for() {
        let check = |accept: &str, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(Format::asked(&headers), expected, "{accept}");
        };
        check("*/*", Format::OpenMetrics);
        check("application/openmetrics-text", Format::OpenMetrics);
        check("text/plain", Format::Plain);
        check("text/plain;version=0.0.4", Format::Plain);
        // What Prometheus sends.
        check(
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            Format::OpenMetrics,
        );
        check(
            "text/plain;version=0.0.4;q=0.5,application/openmetrics-text;q=0.4",
            Format::Plain,
        );
        assert_eq!(Format::asked(&HeaderMap::new()), Format::OpenMetrics);
    }
}
