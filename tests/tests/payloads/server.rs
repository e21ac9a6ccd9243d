//! A server that speaks S3 and keeps objects in a folder, in the process of the test; it can be told to fail.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use hyper::service::Service as _;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub const BUCKET: &str = "bulkhead-test";
pub const SECRET: &str = "s3cr3t-that-nobody-may-see";

pub struct Server {
    pub folder: TempDir,
    pub faults: Arc<Faults>,
    address: SocketAddr,
}

/// What it answers with instead, how often still, and how many requests have come.
#[derive(Default)]
pub struct Faults {
    pub status: AtomicU16,
    pub left: AtomicUsize,
    pub requests: AtomicUsize,
}

impl Server {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let faults = Arc::new(Faults::default());
        tokio::spawn(serve(listener, service(folder.path()), Arc::clone(&faults)));
        Self {
            folder,
            faults,
            address,
        }
    }

    pub fn environment(&self) -> BTreeMap<String, String> {
        let endpoint = format!("http://{}", self.address);
        let variables = [
            ("AWS_ACCESS_KEY_ID", "bulkhead"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_ALLOW_HTTP", "true"),
            ("PATH", "/bin"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        variables.into()
    }

    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }

    /// Has it answer so many requests with this status, and forget how many have come.
    pub fn fail(&self, status: u16, times: usize) {
        self.faults.status.store(status, Ordering::SeqCst);
        self.faults.left.store(times, Ordering::SeqCst);
        self.faults.requests.store(0, Ordering::SeqCst);
    }
}

fn service(folder: &Path) -> S3Service {
    let mut builder = S3ServiceBuilder::new(FileSystem::new(folder).unwrap());
    builder.set_auth(SimpleAuth::from_single("bulkhead", SECRET));
    builder.build()
}

async fn serve(listener: TcpListener, service: S3Service, faults: Arc<Faults>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (service, faults) = (service.clone(), Arc::clone(&faults));
        let answer = hyper::service::service_fn(move |request| {
            answer(service.clone(), Arc::clone(&faults), request)
        });
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            // A client may leave as it likes.
            let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(
    service: S3Service,
    faults: Arc<Faults>,
    request: Request<Incoming>,
) -> Result<Response<Body>, HttpError> {
    faults.requests.fetch_add(1, Ordering::SeqCst);
    let fails = faults
        .left
        .try_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1));
    if fails.is_err() {
        return service.call(request).await;
    }
    let mut response = Response::new(Body::empty());
    let status = faults.status.load(Ordering::SeqCst);
    *response.status_mut() = status.try_into().unwrap();
    Ok(response)
}
