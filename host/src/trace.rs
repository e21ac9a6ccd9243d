//! Traces in the words of the W3C: the id that all the work for one request has in common, and the spans of that work.
//! Knows no collector: a [`Sink`] takes spans, where there is one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use uuid::Uuid;

/// Takes spans that are over. Must not block.
pub trait Sink: fmt::Debug + Send + Sync {
    /// Takes one.
    fn take(&self, span: Span);
}

/// What a span is of, as collectors tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// A request from outside.
    Server,
    /// A step of ours.
    Internal,
}

/// A piece of work that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace that it is of.
    pub trace: u128,
    /// Its own id.
    pub id: u64,
    /// The span that it is a part of; 0 for none.
    pub parent: u64,
    /// Whether that one is another program's.
    pub parent_is_remote: bool,
    /// What it is of.
    pub kind: SpanKind,
    /// Its name: few for all spans there are.
    pub name: String,
    /// When it began and when it was over.
    pub began: SystemTime,
    /// When it was over.
    pub ended: SystemTime,
    /// What there is to know of it.
    pub facts: Vec<(&'static str, String)>,
    /// What went wrong, if something did.
    pub error: Option<String>,
}

/// What a request says of the trace that it is a part of: the header `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    is_sampled: bool,
}

impl TraceParent {
    /// What the header says; nothing where it says nothing that can be used.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let [version, trace, span, flags] = [(); 4].map(|()| fields.next());
        let version = u8::try_from(hex(version?, 2)?).ok()?;
        let has_more = fields.next().is_some();
        // Later versions may say more; 255 is none.
        if version == 255 || (version == 0 && has_more) {
            return None;
        }
        let (trace, span) = (hex(trace?, 32)?, hex(span?, 16)?);
        let is_sampled = hex(flags?, 2)? & 1 == 1;
        let span = u64::try_from(span).ok()?;
        (trace != 0 && span != 0).then_some(Self {
            trace,
            span,
            is_sampled,
        })
    }
}

/// Exactly so many digits, in lower case.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_hex = text.len() == digits && text.bytes().all(is_digit);
    is_hex.then(|| u128::from_str_radix(text, 16).ok())?
}

/// Where traces begin.
#[derive(Clone, Debug, Default)]
pub struct Tracer {
    sink: Option<Arc<dyn Sink>>,
    /// Of a hundred requests without a trace of their own, how many get one.
    sample: u32,
}

impl Tracer {
    /// Traces for `sink`, of `sample` requests in a hundred.
    pub fn new(sink: Arc<dyn Sink>, sample: u32) -> Self {
        let sink = Some(sink);
        Self { sink, sample }
    }

    /// The trace of a request: its own where it says one, else a new one where it is among those that get one.
    pub fn begin(&self, parent: Option<TraceParent>) -> Option<Trace> {
        match parent {
            Some(said) => {
                let sink = self.sink.clone().filter(|_| said.is_sampled);
                Some(Trace::new(said.trace, said.span, true, sink))
            }
            None => {
                let sink = self.sink.clone()?;
                let chosen = Uuid::new_v4().as_u128() % 100 < u128::from(self.sample);
                chosen.then(|| Trace::new(random_trace(), 0, false, Some(sink)))
            }
        }
    }
}

/// The trace that some work is for, and where in it that work stands. Clones share it.
#[derive(Clone, Debug)]
pub struct Trace {
    id: u128,
    text: Arc<str>,
    parent: u64,
    parent_is_remote: bool,
    sink: Option<Arc<dyn Sink>>,
}

impl Trace {
    fn new(id: u128, parent: u64, is_remote: bool, sink: Option<Arc<dyn Sink>>) -> Self {
        Self {
            id,
            text: format!("{id:032x}").into(),
            parent,
            parent_is_remote: is_remote,
            sink,
        }
    }

    /// Its id, as it stands in the log.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Begins a span, whose parts are those of [`OpenSpan::within`].
    pub fn open(&self, kind: SpanKind) -> OpenSpan {
        OpenSpan {
            trace: self.clone(),
            id: random_span(),
            kind,
            began: SystemTime::now(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Tells of a span that is over, and that nothing else is a part of.
    pub fn tell(&self, name: &str, (began, ended): (Instant, Instant), facts: Facts) {
        if let Some(sink) = &self.sink {
            let (ended, took) = (wall_clock(ended), ended.saturating_duration_since(began));
            sink.take(Span {
                began: ended.checked_sub(took).unwrap_or(ended),
                ended,
                ..self.span(random_span(), SpanKind::Internal, name, facts)
            });
        }
    }

    fn span(&self, id: u64, kind: SpanKind, name: &str, facts: Facts) -> Span {
        Span {
            trace: self.id,
            id,
            parent: self.parent,
            parent_is_remote: self.parent_is_remote,
            kind,
            name: name.to_owned(),
            began: SystemTime::UNIX_EPOCH,
            ended: SystemTime::UNIX_EPOCH,
            facts: facts.facts,
            error: facts.error,
        }
    }
}

/// What there is to know of a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    facts: Vec<(&'static str, String)>,
    error: Option<String>,
}

impl Facts {
    /// One more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.facts.push((name, value.to_string()));
        self
    }

    /// What went wrong, if something did.
    #[must_use]
    pub fn error(mut self, error: Option<&str>) -> Self {
        self.error = error.map(str::to_owned);
        self
    }
}

/// A piece of work that goes on.
#[derive(Debug)]
pub struct OpenSpan {
    trace: Trace,
    id: u64,
    kind: SpanKind,
    began: SystemTime,
    is_over: AtomicBool,
}

impl OpenSpan {
    /// The trace for whatever is a part of this.
    pub fn within(&self) -> Trace {
        Trace {
            parent: self.id,
            parent_is_remote: false,
            ..self.trace.clone()
        }
    }

    /// It is over. The first end stands.
    pub fn end(&self, name: &str, facts: Facts) {
        if let Some(sink) = &self.trace.sink
            && !self.is_over.swap(true, Ordering::Relaxed)
        {
            sink.take(Span {
                began: self.began,
                ended: SystemTime::now().max(self.began),
                ..self.trace.span(self.id, self.kind, name, facts)
            });
        }
    }
}

fn wall_clock(moment: Instant) -> SystemTime {
    let ago = moment.elapsed();
    let now = SystemTime::now();
    now.checked_sub(ago).unwrap_or(now)
}

fn random_trace() -> u128 {
    // Never zero: it has a version in it.
    Uuid::new_v4().as_u128()
}

fn random_span() -> u64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    // The halves have a version and a variant in them, at different places.
    (high ^ low.rotate_left(32)).max(1)
}

/// How long a sink may take to pass on what it has, at the end of the host.
pub const FLUSHED_WITHIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[derive(Debug, Default)]
    struct Kept(Mutex<Vec<Span>>);

    impl Sink for Kept {
        fn take(&self, span: Span) {
            self.0.lock().unwrap().push(span);
        }
    }

    #[test]
    fn headers_that_say_nothing_are_ignored() {
        let parsed = TraceParent::parse(&format!("00-{TRACE}-00f067aa0ba902b7-01")).unwrap();
        assert_eq!(format!("{:032x}", parsed.trace), TRACE);
        assert_eq!(
            (parsed.span, parsed.is_sampled),
            (0x00f0_67aa_0ba9_02b7, true)
        );
        let later = format!("cc-{TRACE}-00f067aa0ba902b7-00-what-comes");
        assert!(!TraceParent::parse(&later).unwrap().is_sampled);
        for bad in [
            String::new(),
            "00".to_owned(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-+{}-00f067aa0ba902b7-01", &TRACE[1..]),
            format!("00-{TRACE}-00f067aa0ba902b7-0é"),
        ] {
            assert_eq!(TraceParent::parse(&bad), None, "{bad:?}");
        }
    }

    #[test]
    fn parts_stand_below_what_they_are_parts_of() {
        let kept = Arc::new(Kept::default());
        let tracer = Tracer::new(Arc::clone(&kept) as Arc<dyn Sink>, 100);
        let said = TraceParent::parse(&format!("00-{TRACE}-00000000000000aa-01"));
        let request = tracer.begin(said).unwrap().open(SpanKind::Server);
        let call = request.within().open(SpanKind::Internal);
        let now = Instant::now();
        call.within().tell("plugin", (now, now), Facts::default());
        call.end("call", Facts::default().error(Some("panic")));
        call.end("twice", Facts::default());
        request.end("request", Facts::default().with("status", 500));
        let spans = kept.0.lock().unwrap();
        let ids: Vec<_> = spans.iter().map(|it| (&*it.name, it.parent)).collect();
        let [plugin, call, request] = &spans[..] else {
            panic!("{ids:?}")
        };
        assert_eq!(
            (plugin.parent, call.parent, request.parent),
            (call.id, request.id, 0xaa)
        );
        assert!(request.parent_is_remote && !call.parent_is_remote);
        assert_eq!(call.error.as_deref(), Some("panic"));
        assert!(spans.iter().all(|it| format!("{:032x}", it.trace) == TRACE));
    }

    #[test]
    fn a_share_of_requests_is_traced_and_what_others_decide_stands() {
        let kept = Arc::new(Kept::default());
        let ends = |tracer: &Tracer, said: Option<&str>| {
            let trace = tracer.begin(said.and_then(TraceParent::parse));
            let text = trace.as_ref().map(|trace| trace.text().to_string());
            if let Some(trace) = trace {
                trace.open(SpanKind::Server).end("it", Facts::default());
            }
            (text, kept.0.lock().unwrap().drain(..).count())
        };
        let sink = || Arc::clone(&kept) as Arc<dyn Sink>;
        let (all, none) = (Tracer::new(sink(), 100), Tracer::new(sink(), 0));
        assert_eq!(ends(&all, None).1, 1);
        assert_eq!(ends(&none, None), (None, 0));
        let sampled = format!("00-{TRACE}-00000000000000aa-01");
        let unsampled = format!("00-{TRACE}-00000000000000aa-00");
        let id = || Some(TRACE.to_owned());
        assert_eq!(ends(&none, Some(&sampled)), (id(), 1));
        assert_eq!(ends(&all, Some(&unsampled)), (id(), 0));
        assert_eq!(ends(&Tracer::default(), Some(&sampled)), (id(), 0));
    }
}
