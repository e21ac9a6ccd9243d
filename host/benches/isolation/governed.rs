//! Governed calls, from the service on.

use std::sync::Arc;
use std::time::Instant;

use bulkhead::call::Payload;
use bytes::Bytes;
use tokio::runtime::Runtime;

use crate::calls::Way;
use crate::samples::Samples;
use crate::support::Host;

/// Where the image is when the call begins.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    /// In memory of the lane's own, where HTTP puts it as it comes.
    Placed,
    /// Where only the host sees it.
    Heap,
}

pub(crate) struct Governed<'a> {
    name: &'static str,
    runtime: &'a Runtime,
    host: Arc<Host>,
    body: Body,
}

impl<'a> Governed<'a> {
    pub(crate) fn new(
        name: &'static str,
        runtime: &'a Runtime,
        host: &Arc<Host>,
        body: Body,
    ) -> Self {
        let host = Arc::clone(host);
        Self {
            name,
            runtime,
            host,
            body,
        }
    }

    fn payload(&self, image: &Bytes) -> Payload {
        match self.body {
            Body::Heap => Payload::Heap(image.clone()),
            Body::Placed => {
                let mut place = self.host.registry().place("tiny", image.len()).unwrap();
                place.bytes_mut().copy_from_slice(image);
                Payload::Slot(place.keep(image.len()))
            }
        }
    }
}

impl Way for Governed<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&self, callers: usize, calls: usize, image: &Bytes) -> Samples {
        let callers = (0..callers).map(|_| {
            let (host, payload) = (Arc::clone(&self.host), self.payload(image));
            self.runtime.spawn(async move {
                let mut samples = Samples::default();
                for _ in 0..calls {
                    let began = Instant::now();
                    host.run(payload.clone(), None).await.unwrap();
                    samples.add(began.elapsed());
                }
                samples
            })
        });
        let callers: Vec<_> = callers.collect();
        let ended = callers.into_iter();
        Samples::join(ended.map(|caller| self.runtime.block_on(caller).unwrap()))
    }
}
