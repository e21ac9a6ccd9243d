//! Where traces go: to the collector that the settings name, in a build that can. Knows no request.

use crate::config::Telemetry;
use crate::trace::Tracer;

use super::StartError;

/// What sends them.
#[derive(Default)]
pub(super) struct Traces {
    pub(super) tracer: Tracer,
    #[cfg(feature = "otlp")]
    exporter: Option<std::sync::Arc<crate::otlp::Exporter>>,
}

#[cfg(feature = "otlp")]
impl Traces {
    /// Where the settings want them.
    ///
    /// # Errors
    /// When the collector's address cannot be used.
    pub(super) fn open(telemetry: &Telemetry) -> Result<Self, StartError> {
        let Some(collector) = &telemetry.otlp else {
            return Ok(Self::default());
        };
        let exporter = crate::otlp::Exporter::open(collector.as_str());
        let exporter = std::sync::Arc::new(exporter.map_err(StartError::Telemetry)?);
        let sink = std::sync::Arc::clone(&exporter) as std::sync::Arc<dyn crate::trace::Sink>;
        Ok(Self {
            tracer: Tracer::new(sink, telemetry.sample),
            exporter: Some(exporter),
        })
    }

    /// Passes on what is there, within reason.
    pub(super) async fn close(self) {
        if let Some(exporter) = self.exporter {
            let _ = tokio::task::spawn_blocking(move || exporter.close()).await;
        }
    }
}

#[cfg(not(feature = "otlp"))]
impl Traces {
    /// Nowhere: this build cannot send any.
    ///
    /// # Errors
    /// When the settings want them.
    pub(super) fn open(telemetry: &Telemetry) -> Result<Self, StartError> {
        match &telemetry.otlp {
            None => Ok(Self::default()),
            Some(_) => Err(StartError::Telemetry(
                "this build sends no traces: build it with `--features otlp`, or leave `telemetry.otlp` out".to_owned(),
            )),
        }
    }

    /// There is nothing to pass on.
    pub(super) async fn close(self) {}
}

#[cfg(test)]
#[cfg(not(feature = "otlp"))]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_sends_none_says_so() {
        assert!(Traces::open(&Telemetry::default()).is_ok());
        let collector = "http://127.0.0.1:4318".to_owned().try_into().unwrap();
        let telemetry = Telemetry {
            otlp: Some(collector),
            ..Telemetry::default()
        };
        let Err(StartError::Telemetry(told)) = Traces::open(&telemetry) else {
            panic!("it was taken")
        };
        assert!(told.contains("--features otlp"), "{told}");
    }
}
