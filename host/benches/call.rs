//! What governance costs: a call of a plugin that does next to nothing, through the runner, beside a
//! plain `extern "C"` call and a bare registry lookup in the same run.
//!
//! `cargo bench -p bulkhead --bench call`; the ratios within one run are what counts.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to tell"
)]

mod support;

use std::hint::black_box;

use bulkhead::call::Payload;
use bulkhead::lane::worker;
use bytes::Bytes;
use criterion::{Criterion, criterion_group};
use futures_util::FutureExt;
use serde_json::value::RawValue;
use support::{Host, picture};
use tokio::runtime::{Builder, Runtime};

const SIZES: [(&str, usize); 2] = [("64 B", 64), ("1 MB", 1_000_000)];

fn calls(criterion: &mut Criterion) {
    // One thread: what is measured is the hop to the lane's thread and back.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    plain(criterion);
    lookup(criterion, &runtime);
    inline(criterion, &runtime);
    on_threads(criterion, &runtime);
}

fn plain(criterion: &mut Criterion) {
    extern "C" fn look(image: *const u8, length: usize) -> usize {
        black_box(image) as usize ^ length
    }
    let image = picture(64);
    let look: extern "C" fn(*const u8, usize) -> usize = black_box(look);
    criterion.bench_function("plain extern \"C\" call", |bencher| {
        bencher.iter(|| look(black_box(image.as_ptr()), image.len()));
    });
}

fn lookup(criterion: &mut Criterion, runtime: &Runtime) {
    let host = Host::new(runtime, "tiny", "lane = \"in-process\"");
    criterion.bench_function("registry lookup", |bencher| {
        bencher.iter(|| host.registry().get_plugin(black_box("tiny")).unwrap());
    });
}

fn inline(criterion: &mut Criterion, runtime: &Runtime) {
    let host = Host::new(runtime, "tiny", "lane = \"in-process\"\ninline = true");
    let mut group = criterion.benchmark_group("governed inline");
    for (name, size) in SIZES {
        let image = picture(size);
        group.bench_function(format!("{name}, no options"), |bencher| {
            bencher.iter(|| run(&host, &image, None).now_or_never().unwrap());
        });
        let options = options();
        group.bench_function(format!("{name}, typed options"), |bencher| {
            bencher.iter(|| run(&host, &image, Some(&options)).now_or_never().unwrap());
        });
    }
}

fn on_threads(criterion: &mut Criterion, runtime: &Runtime) {
    let host = Host::new(runtime, "tiny", "lane = \"in-process\"");
    let mut group = criterion.benchmark_group("governed on threads");
    for (name, size) in SIZES {
        let (image, options) = (picture(size), options());
        group.bench_function(format!("{name}, typed options"), |bencher| {
            bencher
                .to_async(runtime)
                .iter(|| run(&host, &image, Some(&options)));
        });
    }
}

async fn run(host: &Host, image: &Bytes, options: Option<&RawValue>) -> Bytes {
    let output = host.run(Payload::Heap(image.clone()), options).await;
    output.expect("the plugin answers").json().clone()
}

fn options() -> Box<RawValue> {
    RawValue::from_string(r#"{"at": 3, "negate": true}"#.to_owned()).unwrap()
}

criterion_group!(benches, calls);

fn main() {
    // Workers are this very program.
    if worker::enter().is_none() {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}
