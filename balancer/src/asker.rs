//! Asks servers to have clients move, so that nobody loses a call by a connection that is closed: one short connection for each. On the control
//! thread, because a server may take its time.
//!
//! A server that is told who its clients are (`proxy=v2`) is told by a header of the PROXY protocol as well, with nothing behind it; another one at
//! its admin port, if that is known. Who can be told neither way keeps its clients, whose connections then end like any other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;

/// Askings that may wait to be taken; with more, the data plane asks again a little later.
pub(crate) const WAITING_MAX: usize = 256;

/// Askings that are under way at once, so that clients that move come one after another.
const AT_ONCE: usize = 16;

/// The most of an answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 10;

/// A client that is to move.
#[derive(Debug)]
pub(crate) struct Ask {
    /// Who is to hear it.
    pub(crate) to: String,
    /// What says which client it is.
    pub(crate) words: Vec<u8>,
}

impl Ask {
    /// At the admin port of a server, which sees this address as its client's.
    pub(crate) fn at_admin(admin: &str, client: SocketAddr) -> Self {
        let path = format!("/move?client={client}");
        let head = "Answerback-Admin: yes\r\nContent-Length: 0\r\nConnection: close";
        let words = format!("POST {path} HTTP/1.1\r\nHost: {admin}\r\n{head}\r\n\r\n").into_bytes();
        Self { to: admin.to_owned(), words }
    }
}

/// Asks for one after another, until the data plane is gone.
pub(crate) async fn run(mut asks: Receiver<Ask>, within: Duration) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(ask) = asks.recv().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        tokio::spawn(async move {
            match tokio::time::timeout(within, say(&ask)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(to = ask.to, %error, "a server cannot be asked to have a client move");
                }
                Err(_) => tracing::debug!(to = ask.to, "a server did not hear in time that a client is to move"),
            }
            drop(place);
        });
    }
}

/// Says it, and waits until it was heard: that is when the other end closes.
async fn say(ask: &Ask) -> io::Result<()> {
    let mut stream = TcpStream::connect(&ask.to).await?;
    stream.write_all(&ask.words).await?;
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut Vec::new()).await.map(drop)
}
