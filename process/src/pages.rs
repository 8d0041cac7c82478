//! The admin port of a process: plain HTTP for probes and people. Which pages there are is the process's matter; here is who may ask, how
//! long it may take, and how an answer looks.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::Authority;
use hyper::service::service_fn;
pub use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How long a client may take to send the head of its request.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// How long a connection may live, whatever it does: nobody can occupy the port by doing little.
const CONNECTION_WITHIN: Duration = Duration::from_secs(60);

/// Connections at a time. Probes are few; the rest wait in the listener's queue.
const CONNECTIONS_MAX: usize = 64;

/// The most of a request's head, in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// The pause after accepting has failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An answer.
pub type Page = Response<Full<Bytes>>;

/// A header that a page of the web in somebody's browser cannot send here: who sends it means this server.
const ADMIN_HEADER: &str = "answerback-admin";

/// What a page says of itself whose text is JSON.
pub const JSON: &str = "application/json";

/// The pages of a process.
pub trait Pages: Clone + Send + Sync + 'static {
    /// Answers a request.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Page> + Send;
}

/// Serves pages until `end` is dropped.
pub async fn serve<P: Pages>(listener: TcpListener, pages: P, end: oneshot::Receiver<Infallible>) {
    tokio::select! {
        () = accept(listener, pages) => {}
        _ = end => {}
    }
}

async fn accept<P: Pages>(listener: TcpListener, pages: P) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve_connection(stream, pages.clone(), place));
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

/// What makes accepting fail (no file left to open) is still there in the next moment.
#[allow(clippy::disallowed_methods, reason = "a pause is the point: without it a failing accept would spin")]
async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "the admin port cannot accept connections");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn serve_connection<P: Pages>(stream: TcpStream, pages: P, _place: OwnedSemaphorePermit) {
    let service = service_fn(|request| async { Ok::<_, Infallible>(pages.answer(request).await) });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_BYTES_MAX);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_WITHIN, connection).await {
        tracing::debug!(%error, "a connection to the admin port broke");
    }
}

/// Whether somebody means this server, rather than a page of the web that makes a browser ask it. A page cannot send the header to another
/// origin; one whose name was made to point here can, but then the name is in `Host`.
pub fn is_meant<Body>(request: &Request<Body>) -> Result<(), &'static str> {
    if request.headers().get(ADMIN_HEADER).is_none_or(|value| value != "yes") {
        return Err("send the header `Answerback-Admin: yes`, so that it is clear that this server is meant");
    }
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.parse::<Authority>().map(|host| host.host().to_owned()).unwrap_or_default();
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name == "localhost" || name.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err("ask by address, such as http://127.0.0.1:7041, not by another name")
}

/// The wrong method; the right ones are these.
pub fn not_allowed(wants: &'static str) -> Page {
    let mut page = text(StatusCode::METHOD_NOT_ALLOWED, &format!("only {wants} is answered here"));
    page.headers_mut().insert(ALLOW, HeaderValue::from_static(wants));
    page
}

/// A page of a few lines.
pub fn text(status: StatusCode, lines: &str) -> Page {
    respond(status, "text/plain; charset=utf-8", format!("{lines}\n"))
}

/// Any page.
pub fn respond(status: StatusCode, kind: &'static str, body: String) -> Page {
    let mut page = Response::new(Full::from(body));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}
