//! Where images go: straight into the memory of the lane that is going to need them.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::http::Request;
use futures_util::stream;
use serde_json::json;

use super::{GIF, GIF_BASE64, ask, limits, plugin_in, post, services_of};
use crate::call::{Call, Entered, Kept, Lane, Payload, Permit, Place, RawOutput};
use crate::http::{HttpLimits, router};
use crate::runner::Pass;

/// Has memory of its own to give, and knows it again.
#[derive(Default)]
struct Lender {
    // Where each place was, and how many bytes it had.
    lent: Mutex<Vec<(usize, usize)>>,
}

struct Lent(Vec<u8>);

impl Place for Lent {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn keep(mut self: Box<Self>, length: usize) -> Arc<dyn Kept> {
        // Never moves what is kept.
        self.0.truncate(length);
        Arc::new(*self)
    }
}

impl Kept for Lent {
    fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lent")
    }
}

impl Lane for Lender {
    fn enter_unguarded(&self, call: Arc<Call>, _: Permit, _: Pass) -> Entered {
        let own = match &call.payload {
            Payload::Heap(_) => None,
            Payload::Slot(kept) => (&**kept as &dyn Any).downcast_ref::<Lent>(),
        };
        let place = own.map(|lent| lent.0.as_ptr().addr());
        let lent = self.lent.lock().unwrap();
        let asked = lent.iter().find(|(address, _)| Some(*address) == place);
        let told = json!({
            "asked": asked.map(|(_, bytes)| bytes),
            "lent": lent.len(),
            "bytes": call.payload.as_slice().len(),
            "first": call.payload.as_slice()[..6],
        });
        Entered::Done(Ok(RawOutput {
            json: told.to_string().into(),
            attachments: Vec::new(),
        }))
    }

    fn is_inline(&self) -> bool {
        true
    }

    fn outlives_deadline(&self) -> bool {
        false
    }

    fn place(&self, bytes: usize) -> Option<Box<dyn Place>> {
        let place = Lent(vec![0xff; bytes]);
        let lent = (place.0.as_ptr().addr(), bytes);
        self.lent.lock().unwrap().push(lent);
        Some(Box::new(place))
    }
}

/// `asked` is how many bytes the lane was asked for, and nothing where it was not its memory.
async fn check(request: Request<Body>, asked: Option<usize>, bytes: usize) {
    let limits = HttpLimits {
        max_body: 16 << 20,
        ..limits()
    };
    let mut services = services_of(&[], [plugin_in("echo", Arc::new(Lender::default()))]);
    services.budget = crate::budget::Budget::new(32 << 20);
    // A plugin lends memory once it is open.
    services.plugins.open("echo").await.unwrap();
    let seen = ask(router(services, limits), request).await;
    let result = &seen.body["result"];
    assert_eq!(result["asked"], json!(asked), "{}", seen.line());
    assert_eq!(result["lent"], usize::from(asked.is_some()));
    assert_eq!(result["bytes"], bytes);
    assert_eq!(result["first"], json!(b"GIF89a"));
}

fn chunked(body: Vec<u8>, size: usize) -> Body {
    let chunks: Vec<_> = body.chunks(size).map(Bytes::copy_from_slice).collect();
    Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, io::Error>)))
}

/// Comes in chunks, and yet its length is known.
fn announced(body: Vec<u8>, size: usize) -> Body {
    use axum::body::HttpBody;
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    struct Announced(VecDeque<Bytes>);

    impl HttpBody for Announced {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, io::Error>>> {
            let chunk = self.0.pop_front();
            Poll::Ready(chunk.map(|chunk| Ok(hyper::body::Frame::data(chunk))))
        }

        fn size_hint(&self) -> hyper::body::SizeHint {
            let left: usize = self.0.iter().map(Bytes::len).sum();
            hyper::body::SizeHint::with_exact(left as u64)
        }
    }

    let chunks = body.chunks(size).map(Bytes::copy_from_slice);
    Body::new(Announced(chunks.collect()))
}

fn gif(bytes: usize) -> Vec<u8> {
    let mut image = GIF.to_vec();
    image.resize(bytes, 7);
    image
}

#[tokio::test]
async fn a_raw_image_goes_straight_into_the_lanes_memory() {
    let post = |query: &str, body| post(query, "image/gif", body);
    check(post("", Body::from(GIF)), Some(14), 14).await;
    check(post("?plugin=echo", Body::from(GIF)), Some(14), 14).await;
    let large = announced(gif(300_000), 7_000);
    check(post("?plugin=default", large), Some(300_000), 300_000).await;
    // How large a place that would have to be is not known.
    check(post("", chunked(gif(9_000), 1_000)), None, 9_000).await;
}

#[tokio::test]
async fn base64_is_decoded_straight_into_the_lanes_memory() {
    let post = |body: String| post("", "application/json", body);
    let body = json!({ "image": GIF_BASE64, "mime_type": "image/gif" });
    check(post(body.to_string()), Some(14), 14).await;
    // Large enough to be read off the threads that carry connections.
    let image = base64_simd::STANDARD.encode_to_string(gif(5 << 20));
    let body = json!({ "plugin": "echo", "mime_type": "image/gif", "image": image });
    check(post(body.to_string()), Some(5 << 20), 5 << 20).await;
    let escaped = GIF_BASE64.replace('/', "\\/").replacen('R', "\\u0052", 1);
    let body = format!(r#"{{"mime_type": "image/gif", "image": "{escaped}"}}"#);
    check(post(body), Some(14), 14).await;
}

#[tokio::test]
async fn a_form_lends_memory_once_it_has_named_the_plugin() {
    let part = |head: &str, content: &[u8]| {
        let head = format!("--X\r\nContent-Disposition: form-data; name={head}\r\n\r\n");
        [head.as_bytes(), content, b"\r\n"].concat()
    };
    let plugin = part("\"plugin\"", b"echo");
    let image = gif(100_000);
    let image = part(
        "\"image\"; filename=\"a\"\r\nContent-Type: image/gif",
        &image,
    );
    let post = |body| post("", "multipart/form-data; boundary=X", body);
    let form = [&plugin[..], &image, b"--X--\r\n"].concat();
    let length = form.len();
    check(post(Body::from(form.clone())), Some(length), 100_000).await;
    for size in [17, 5_000] {
        let body = announced(form.clone(), size);
        check(post(body), Some(length), 100_000).await;
        check(post(chunked(form.clone(), size)), None, 100_000).await;
    }
    let late = [&image[..], &plugin, b"--X--\r\n"].concat();
    check(post(Body::from(late)), None, 100_000).await;
}
