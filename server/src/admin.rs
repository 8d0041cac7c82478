//! The admin port: plain HTTP for probes and people, on a thread of its own.
//!
//! ```text
//!  GET /livez    200 while the data plane answers a question within a second
//!  GET /readyz   200 while new work is taken; 503 says why it is not
//! ```
//!
//! It shares nothing with the data plane: it asks, and is sent a copy.

use crate::control::{Control, Report};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How long the data plane may take to answer before it is taken for dead.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

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

type Page = Response<Full<Bytes>>;

/// Serves pages until `end` is dropped.
pub(crate) async fn serve(listener: TcpListener, control: Control, end: oneshot::Receiver<Infallible>) {
    tokio::select! {
        () = accept(listener, control) => {}
        _ = end => {}
    }
}

async fn accept(listener: TcpListener, control: Control) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve_connection(stream, control.clone(), place));
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

async fn serve_connection(stream: TcpStream, control: Control, _place: OwnedSemaphorePermit) {
    let service = service_fn(|request| answer(request, &control));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_BYTES_MAX);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_WITHIN, connection).await {
        tracing::debug!(%error, "a connection to the admin port broke");
    }
}

async fn answer(request: Request<Incoming>, control: &Control) -> Result<Page, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut page = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
        page.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(page);
    }
    Ok(match request.uri().path() {
        "/livez" => live(ask(control).await.as_ref()),
        "/readyz" => ready(ask(control).await.as_ref()),
        _ => text(StatusCode::NOT_FOUND, "no such page; there are /livez and /readyz"),
    })
}

/// How things are in the data plane, if it says so in time.
async fn ask(control: &Control) -> Option<Report> {
    tokio::time::timeout(ANSWER_WITHIN, control.ask()).await.ok()?.ok()
}

fn live(report: Option<&Report>) -> Page {
    match report {
        Some(_) => text(StatusCode::OK, "live"),
        None => text(StatusCode::SERVICE_UNAVAILABLE, "not live: the data plane does not answer"),
    }
}

fn ready(report: Option<&Report>) -> Page {
    match report {
        Some(report) if report.draining => text(StatusCode::SERVICE_UNAVAILABLE, "not ready: draining"),
        Some(_) => text(StatusCode::OK, "ready"),
        None => text(StatusCode::SERVICE_UNAVAILABLE, "not ready: the data plane does not answer"),
    }
}

/// A page of one line.
fn text(status: StatusCode, line: &str) -> Page {
    let mut page = Response::new(Full::from(format!("{line}\n")));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::Counters;

    fn report(draining: bool) -> Report {
        Report { counters: Counters::default(), held: Default::default(), connections: 0, outbox_bytes: 0, draining }
    }

    #[test]
    fn a_draining_server_is_live_and_not_ready() {
        let pages = |report: Option<Report>| {
            (live(report.as_ref()).status().as_u16(), ready(report.as_ref()).status().as_u16())
        };
        assert_eq!(pages(Some(report(false))), (200, 200));
        assert_eq!(pages(Some(report(true))), (200, 503));
        assert_eq!(pages(None), (503, 503));
    }

    /// A data plane that hangs, and one that is gone.
    #[test]
    fn a_data_plane_that_does_not_answer_is_not_live() {
        let poll = mio::Poll::new().unwrap();
        let (control, commands) = Control::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        assert!(runtime.block_on(ask(&control)).is_none());
        drop(commands);
        assert!(runtime.block_on(ask(&control)).is_none());
    }
}
