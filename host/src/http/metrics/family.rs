//! Writes one family of metrics at a time: its name, what it means, and its samples. Knows no metric.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::histogram::Distribution;

/// The labels of a sample.
pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// Where families are written.
pub(super) struct Families<'a, 'b>(pub(super) &'a mut DescriptorEncoder<'b>);

impl Families<'_, '_> {
    /// What only grows; `name` is without its `_total`.
    pub(super) fn counter<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) -> fmt::Result {
        let mut family = (self.0).encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            let mut sample = family.encode_family(&labels)?;
            sample.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    /// The same, of what is no whole number.
    pub(super) fn float_counter(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let mut family = (self.0).encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// What is so now.
    pub(super) fn gauge<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) -> fmt::Result {
        let mut family = (self.0).encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            // The library has gauges of `i64` only; what has a float's 53 bits is exact.
            family
                .encode_family(&labels)?
                .encode_gauge(&(value as f64))?;
        }
        Ok(())
    }

    /// The same, of what is no whole number.
    pub(super) fn float_gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let mut family = (self.0).encode_descriptor(name, help, None, MetricType::Gauge)?;
        family.encode_gauge(&value)
    }

    /// How long things took.
    pub(super) fn histogram<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, Distribution)>,
    ) -> fmt::Result {
        let mut family = (self.0).encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, found) in samples {
            let sum = found.nanoseconds() as f64 / 1e9;
            let mut sample = family.encode_family(&labels)?;
            sample.encode_histogram::<NoLabelSet>(sum, found.count(), &found.buckets(), None)?;
        }
        Ok(())
    }

    /// What is said in labels; `name` is without its `_info`.
    pub(super) fn info<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Labels<'a>>,
    ) -> fmt::Result {
        let mut family = (self.0).encode_descriptor(name, help, None, MetricType::Info)?;
        for labels in samples {
            family.encode_info(&labels)?;
        }
        Ok(())
    }
}

/// No labels.
pub(super) fn alone(value: u64) -> [(Labels<'static>, u64); 1] {
    [(Vec::new(), value)]
}
