//! The limit: a relay that forwards bytes and reads none of them. What a broker does beyond it is the price of deciding.
//!
//! It runs in a process of its own, on one thread of tokio with a task for each direction, each with a buffer of 64 KiB.
//! It cannot tell one call from another, so the n-th requester is joined with the n-th responder: a shape with 64
//! requesters has 64 responder connections here, whatever it says.

use super::dialect::Dialect;
use super::frames::Frames;
use super::shape::Shape;
use super::system::{Opened, Role, Running, System};
use crate::Outcome;
use crate::process::Owned;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

const BUFFER_BYTES: usize = 64 << 10;

/// The relay as a system under test.
pub(crate) struct Relay;

struct Started {
    process: Owned,
    /// Where requesters connect, and where responders do.
    addresses: (SocketAddr, SocketAddr),
}

impl System for Relay {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn start(&self) -> Outcome<Box<dyn Running>> {
        let mut command = Command::new(std::env::current_exe()?);
        let (process, addresses) = Owned::start(command.arg("relay"), |line| {
            let (requesters, responders) = line.split_once(' ')?;
            Some((requesters.parse().ok()?, responders.parse().ok()?))
        })?;
        Ok(Box::new(Started { process, addresses }))
    }
}

impl Running for Started {
    fn process(&self) -> Option<u32> {
        Some(self.process.id())
    }

    fn responders(&self, shape: Shape) -> usize {
        shape.requesters
    }

    fn open(&self, role: Role) -> Outcome<Opened> {
        let address = if role == Role::Requester { self.addresses.0 } else { self.addresses.1 };
        let dialect: Box<dyn Dialect> = Box::new(Frames::default());
        Ok((TcpStream::connect(address)?, dialect))
    }
}

/// Is the relay: says on one line where it listens, and relays until it is ended or nobody holds its input any longer.
pub(crate) fn serve() -> Outcome<()> {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(0);
    });
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let requesters = TcpListener::bind("127.0.0.1:0").await?;
        let responders = TcpListener::bind("127.0.0.1:0").await?;
        println!("{} {}", requesters.local_addr()?, responders.local_addr()?);
        loop {
            let (responder, requester) = (responders.accept().await?.0, requesters.accept().await?.0);
            responder.set_nodelay(true)?;
            requester.set_nodelay(true)?;
            let (from_requester, to_requester) = requester.into_split();
            let (from_responder, to_responder) = responder.into_split();
            tokio::spawn(forward(from_requester, to_responder));
            tokio::spawn(forward(from_responder, to_requester));
        }
    })
}

/// Forwards until either side ends; then the other side is told by the drop of its half.
async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
