//! Reads metrics as strictly as OpenMetrics 1.0 says they must be written, and finds samples in them.

use std::collections::{BTreeMap, BTreeSet};

/// What one scrape has told.
#[derive(Debug)]
pub struct Metrics {
    /// In their order.
    pub families: Vec<Family>,
}

/// Metrics of one name.
#[derive(Debug)]
pub struct Family {
    /// Without the suffix of its samples.
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub kind: String,
    /// What it means.
    pub help: String,
    /// In their order.
    pub samples: Vec<Sample>,
}

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// With its suffix.
    pub name: String,
    /// By their names.
    pub labels: BTreeMap<String, String>,
    /// What it says.
    pub value: f64,
}

impl Metrics {
    /// Reads a scrape.
    ///
    /// # Errors
    /// The first line that is not as it must be, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text
            .strip_suffix("# EOF\n")
            .ok_or("it does not end with `# EOF`")?;
        let mut families: Vec<Family> = Vec::new();
        let mut help: Option<(&str, &str)> = None;
        for line in lines.lines() {
            let told = if let Some(told) = line.strip_prefix("# HELP ") {
                let (name, said) = told.split_once(' ').unwrap_or((told, ""));
                let is_known = families.iter().any(|family| family.name == name);
                let is_next = help.replace((name, said)).is_none();
                check(
                    is_next && !is_known && !said.is_empty(),
                    "HELP once, with words, before TYPE",
                )
            } else if let Some(told) = line.strip_prefix("# TYPE ") {
                begin(told, help.take(), &mut families)
            } else {
                check(help.is_none(), "TYPE after HELP").and_then(|()| {
                    let family = families.last_mut().ok_or("a sample without a family")?;
                    let sample = sample(line)?;
                    check(family.admits(&sample), "a sample named as its family")?;
                    family.samples.push(sample);
                    Ok(())
                })
            };
            told.map_err(|problem| format!("{problem}: {line}"))?;
        }
        let metrics = Self { families };
        metrics.families.iter().try_for_each(Family::check)?;
        Ok(metrics)
    }

    /// All samples.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.families.iter().flat_map(|family| &family.samples)
    }

    /// The sum of the samples of this name that have these labels, if there are any.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found: Vec<_> = self.matching(name, labels).map(|it| it.value).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// The same; 0 where there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_default()
    }

    /// The samples of this name that have these labels.
    pub fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples().filter(move |sample| {
            let has = |(name, value): &(&str, &str)| sample.label(name) == Some(value);
            sample.name == name && labels.iter().all(has)
        })
    }
}

impl Sample {
    /// A label's value.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
}

impl Family {
    fn suffixes(&self) -> &'static [&'static str] {
        match self.kind.as_str() {
            "counter" => &["_total"],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        }
    }

    fn admits(&self, sample: &Sample) -> bool {
        let suffix = sample.name.strip_prefix(&self.name);
        suffix.is_some_and(|suffix| self.suffixes().contains(&suffix))
    }

    fn check(&self) -> Result<(), String> {
        let problem = |problem: String| format!("{}: {problem}", self.name);
        let is_suffixed = ["_total", "_info", "_bucket", "_count", "_sum"]
            .iter()
            .any(|suffix| self.name.ends_with(suffix));
        check(!is_suffixed, "a family without the suffix of its samples").map_err(problem)?;
        let mut series = BTreeSet::new();
        for sample in &self.samples {
            let is_new = series.insert((&sample.name, &sample.labels));
            check(is_new, "a series once").map_err(problem)?;
            let is_count =
                self.kind == "gauge" || (sample.value >= 0.0 && sample.value.is_finite());
            check(is_count, "what counts is 0 or more").map_err(problem)?;
            check(self.kind != "info" || sample.value == 1.0, "an info is 1").map_err(problem)?;
        }
        match self.kind.as_str() {
            "histogram" => self.check_buckets().map_err(problem),
            _ => Ok(()),
        }
    }

    fn check_buckets(&self) -> Result<(), String> {
        let mut groups = BTreeMap::<_, Vec<&Sample>>::new();
        for sample in &self.samples {
            let mut labels = sample.labels.clone();
            labels.remove("le");
            groups.entry(labels).or_default().push(sample);
        }
        for (labels, samples) in groups {
            let of = |suffix: &str| {
                let name = format!("{}{suffix}", self.name);
                let found = samples.iter().filter(move |it| it.name == name);
                found.copied().collect::<Vec<_>>()
            };
            let buckets: Vec<_> = of("_bucket")
                .iter()
                .map(|it| (it.label("le").and_then(bound).unwrap_or(f64::NAN), it.value))
                .collect();
            let rises = buckets
                .windows(2)
                .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            let (count, sum) = (of("_count"), of("_sum"));
            let last = buckets.last().copied().unwrap_or_default();
            let is_whole =
                count.len() == 1 && sum.len() == 1 && last == (f64::INFINITY, count[0].value);
            check(
                rises && is_whole,
                "buckets that add up to `+Inf`, which is the count",
            )
            .map_err(|it| format!("{it}: {labels:?} {buckets:?}"))?;
        }
        Ok(())
    }
}

fn begin(told: &str, help: Option<(&str, &str)>, families: &mut Vec<Family>) -> Result<(), String> {
    let (name, kind) = told.split_once(' ').ok_or("a TYPE without a type")?;
    let (_, help) = help
        .filter(|(of, _)| *of == name)
        .ok_or("TYPE after the HELP of the same name")?;
    check(is_name(name), "a name")?;
    check(
        ["counter", "gauge", "histogram", "info"].contains(&kind),
        "a type",
    )?;
    families.push(Family {
        name: name.to_owned(),
        kind: kind.to_owned(),
        help: help.to_owned(),
        samples: Vec::new(),
    });
    Ok(())
}

fn sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("a sample without a value")?;
    let (name, mut rest) = line.split_at(end);
    check(is_name(name), "a name")?;
    let mut labels = BTreeMap::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        while !inside.starts_with('}') {
            let (name, value, after) = label(inside)?;
            check(labels.insert(name, value).is_none(), "a label once")?;
            inside = after
                .strip_prefix(',')
                .filter(|it| !it.starts_with('}'))
                .unwrap_or(after);
            check(
                inside.starts_with('}') || after.starts_with(','),
                "a comma between labels",
            )?;
        }
        rest = &inside[1..];
    }
    let value = rest.strip_prefix(' ').ok_or("a space before the value")?;
    let value = value.parse().map_err(|_| "a value that is a number")?;
    let name = name.to_owned();
    Ok(Sample {
        name,
        labels,
        value,
    })
}

/// A label, and what comes after it.
fn label(text: &str) -> Result<(String, String, &str), String> {
    let (name, rest) = text
        .split_once("=\"")
        .ok_or("a label with a value in quotes")?;
    check(is_name(name) && !name.contains(':'), "the name of a label")?;
    let (mut value, mut chars) = (String::new(), rest.char_indices());
    loop {
        match chars.next().ok_or("a closing quote")? {
            (at, '"') => return Ok((name.to_owned(), value, &rest[at + 1..])),
            (_, '\\') => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, it @ ('\\' | '"'))) => it,
                _ => return Err("an escape that there is".to_owned()),
            }),
            (_, it) => value.push(it),
        }
    }
}

fn bound(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        text => text.parse().ok(),
    }
}

fn is_name(text: &str) -> bool {
    let is_first = |it: char| it.is_ascii_alphabetic() || it == '_' || it == ':';
    text.starts_with(is_first) && text.chars().all(|it| is_first(it) || it.is_ascii_digit())
}

fn check(holds: bool, rule: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(format!("not {rule}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: &str = "# HELP a Calls.\n# TYPE a counter\na_total{x=\"\\\\ \\\" \\n ,}\",y=\"\"} 3\n\
        # HELP h Times.\n# TYPE h histogram\nh_sum 1.5\nh_count 2\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\n\
        # HELP g Now.\n# TYPE g gauge\ng -2.5\n# HELP i It.\n# TYPE i info\ni_info{v=\"1\"} 1\n# EOF\n";

    #[test]
    fn what_is_well_written_is_read() {
        let metrics = Metrics::parse(FINE).unwrap();
        assert_eq!(metrics.find("a_total", &[("x", "\\ \" \n ,}")]), Some(3.0));
        assert_eq!(metrics.value("h_count", &[]), 2.0);
        assert_eq!(metrics.find("a_total", &[("x", "other")]), None);
    }

    #[test]
    fn what_is_not_is_refused() {
        for (right, wrong) in [
            ("# EOF\n", ""),
            ("# EOF\n", "# EOF\n\n"),
            ("# EOF\n", "\n# EOF\n"),
            ("# HELP a Calls.\n", ""),
            ("# TYPE a counter\n", ""),
            ("# HELP g Now.", "# HELP a Now."),
            ("# TYPE g gauge", "# TYPE g stateset"),
            ("# HELP g Now.", "# HELP g "),
            ("a_total{", "a{"),
            ("a_total{", "b_total{"),
            ("} 3", "} -3"),
            ("} 3", "} three"),
            ("} 3", "}3"),
            ("\\\\ ", "\\x "),
            ("y=\"\"", "x=\"\""),
            (",y=", "y="),
            ("y=\"\"}", "y=\"\",}"),
            ("y=", "1y="),
            ("h_count 2", "h_count 3"),
            ("h_sum 1.5\n", ""),
            ("le=\"+Inf\"} 2", "le=\"+Inf\"} 0"),
            ("h_bucket{le=\"+Inf\"} 2\n", ""),
            ("le=\"1.0\"", "le=\"one\""),
            ("g -2.5\n", "g -2.5\ng 1\n"),
            ("i_info{v=\"1\"} 1", "i_info{v=\"1\"} 2"),
        ] {
            assert!(FINE.contains(right), "{right}");
            let text = FINE.replacen(right, wrong, 1);
            assert!(
                Metrics::parse(&text).is_err(),
                "{right} -> {wrong}:\n{text}"
            );
        }
    }
}
