//! The older text of Prometheus, made of the newer: families are named as their samples are, there is no type for
//! information, and nothing says that it is over.

/// The same metrics in text of version 0.0.4.
pub(super) fn from_open_metrics(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            // Of HELP and TYPE the type comes second, and says what the family is called.
            (Some("#"), Some("HELP"), Some(_), Some(said)) => help = Some(said),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                if let Some(said) = help.take() {
                    plain += &format!("# HELP {name}{suffix} {said}\n");
                }
                plain += &format!("# TYPE {name}{suffix} {kind}\n");
            }
            (Some("#"), ..) => {}
            _ => {
                plain += line;
                plain.push('\n');
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_named_as_their_samples_are() {
        let open = "# HELP a Calls.\n# TYPE a counter\na_total{b=\"# c d\"} 1\n\
                    # HELP i What.\n# TYPE i info\ni_info{v=\"1\"} 1\n\
                    # HELP g Now.\n# TYPE g gauge\ng 2.0\n# EOF\n";
        let plain = "# HELP a_total Calls.\n# TYPE a_total counter\na_total{b=\"# c d\"} 1\n\
                     # HELP i_info What.\n# TYPE i_info gauge\ni_info{v=\"1\"} 1\n\
                     # HELP g Now.\n# TYPE g gauge\ng 2.0\n";
        assert_eq!(from_open_metrics(open), plain);
    }
}
