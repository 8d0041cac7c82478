//! One question to an admin port, over HTTP.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long one question may take. The port answers within a second, or says that the rest of the server does not.
const WITHIN: Duration = Duration::from_secs(5);

/// The most that is read of an answer. Most pages have a few lines; after a reload one may list 20,000 holders.
const PAGE_BYTES_MAX: usize = 2 << 20;

/// What makes clear that this server is meant; see the server's admin port.
const MEANT: (&str, &str) = ("Answerback-Admin", "yes");

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) text: String,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum NoPage {
    /// Nobody listens there.
    Refused(io::Error),
    /// Somebody may, but says nothing that is understood.
    Broken(String),
}

pub(crate) async fn get(address: &str, path: &str) -> Result<Page, NoPage> {
    within(ask(address, Method::GET, path)).await
}

pub(crate) async fn post(address: &str, path: &str) -> Result<Page, NoPage> {
    within(ask(address, Method::POST, path)).await
}

async fn within(asking: impl Future<Output = Result<Page, NoPage>>) -> Result<Page, NoPage> {
    let late = |_| NoPage::Broken(format!("no answer within {} s", WITHIN.as_secs()));
    tokio::time::timeout(WITHIN, asking).await.map_err(late)?
}

async fn ask(address: &str, method: Method, path: &str) -> Result<Page, NoPage> {
    let stream = TcpStream::connect(address).await.map_err(NoPage::Refused)?;
    // The server wants to be asked by its address, whatever name led there.
    let host = stream.peer_addr().map_err(NoPage::Refused)?.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::builder().method(method).uri(path).header(HOST, host).header(MEANT.0, MEANT.1);
    let request = request.body(Empty::<Bytes>::new()).map_err(broken)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), PAGE_BYTES_MAX).collect().await;
        let body = body.map_err(|error| NoPage::Broken(error.to_string()))?.to_bytes();
        Ok(Page { status, text: String::from_utf8_lossy(&body).trim().to_owned() })
    };
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        // The connection moves the bytes; when it ends, the answer is there or an error.
        _ = &mut connection => answer.await,
        page = &mut answer => page,
    }
}

fn broken(error: impl std::error::Error) -> NoPage {
    NoPage::Broken(error.to_string())
}
