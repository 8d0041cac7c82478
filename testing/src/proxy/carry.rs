//! Carries the bytes of one connection both ways, with whatever is wrong with it.

use crate::proxy::faults::{Ending, Fault, Way};
use crate::proxy::{Hand, Shared, reset};
use crate::random::Random;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

/// Bytes of one direction that are in the proxy at most.
const BUFFER_BYTES: usize = 16 << 10;

/// A throttled direction passes a share of its second's bytes at once: one twentieth.
const THROTTLE_STEPS: u64 = 20;

/// How long the proxy waits for both ends to close after it has ended both directions in order.
const FIN_PATIENCE: Duration = Duration::from_secs(2);

/// Carries both ways until both have ended, the fault ends it, or `cut` is done.
pub(super) async fn carry(
    (mut client, mut broker): (TcpStream, TcpStream),
    fault: Fault,
    shared: &Shared,
    number: u64,
    cut: impl Future<Output = ()>,
) {
    // Tiny pieces shall stay tiny. A socket that refuses is gone already.
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_broker, to_broker) = broker.split();
        let line = Line { fault, shared, number, half_closed: AtomicBool::new(false) };
        let up = Direction::new(Way::ToBroker, &line).carry(from_client, to_broker);
        let down = Direction::new(Way::ToClient, &line).carry(from_broker, to_client);
        tokio::select! {
            biased;
            () = cut => Err(Ending::Reset),
            ended = async { tokio::try_join!(up, down) } => ended.map(|_| ()),
        }
    };
    match ended {
        Ok(()) => {}
        Err(Ending::Reset) => {
            reset(&client);
            reset(&broker);
        }
        Err(Ending::Fin) => {
            let both = async { tokio::join!(end_in_order(&mut client), end_in_order(&mut broker)) };
            let _ = tokio::time::timeout(FIN_PATIENCE, both).await;
        }
    }
}

/// Says that no more comes, and reads on until the peer has closed: bytes that are not read would turn the end into a reset.
async fn end_in_order(socket: &mut TcpStream) {
    if socket.shutdown().await.is_ok() {
        swallow(&mut socket.split().0).await;
    }
}

async fn swallow(from: &mut ReadHalf<'_>) {
    let mut bytes = [0; 4096];
    while matches!(from.read(&mut bytes).await, Ok(1..)) {}
}

/// What both directions of a connection know.
struct Line<'a> {
    fault: Fault,
    shared: &'a Shared,
    number: u64,
    /// Whether the fault has closed one of them.
    half_closed: AtomicBool,
}

/// One direction of a connection.
struct Direction<'a> {
    way: Way,
    line: &'a Line<'a>,
    hand: watch::Receiver<Hand>,
    random: Random,
    /// Bytes that have passed.
    passed: u64,
}

impl<'a> Direction<'a> {
    fn new(way: Way, line: &'a Line<'a>) -> Self {
        let hand = line.shared.hand.subscribe();
        Self { way, line, hand, random: Random::nth(line.number, way as u64), passed: 0 }
    }

    /// `Ok` when this direction has ended and the other may go on; `Err` when the whole connection ends.
    async fn carry(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<(), Ending> {
        let mut buffer = [0; BUFFER_BYTES];
        loop {
            let room = self.room();
            if room == 0 {
                return self.reached(from, to).await;
            }
            let count = from.read(&mut buffer[..room]).await.map_err(|_| Ending::Reset)?;
            self.wait(count).await;
            if count == 0 {
                // The end passes through. Whoever is gone already does not hear it.
                let _ = to.shutdown().await;
                return Ok(());
            }
            self.write(&buffer[..count], &mut to).await.map_err(|_| Ending::Reset)?;
            self.passed += count as u64;
        }
    }

    /// How much may be read at once: nothing when the byte has come at which the fault happens.
    fn room(&self) -> usize {
        let room = match self.line.fault {
            Fault::Cut { way, after, .. } | Fault::HalfClose { way, after, .. } if way == self.way => {
                after - self.passed
            }
            Fault::Throttle { bytes_per_second } => (bytes_per_second / THROTTLE_STEPS).max(1),
            _ => BUFFER_BYTES as u64,
        };
        room.min(BUFFER_BYTES as u64) as usize
    }

    /// The byte has come at which the fault happens.
    async fn reached(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<(), Ending> {
        self.line.shared.ended_by_fault.fetch_add(1, Ordering::Relaxed);
        match self.line.fault {
            Fault::Cut { ending, .. } => Err(ending),
            _ => {
                self.line.half_closed.store(true, Ordering::Relaxed);
                let _ = to.shutdown().await;
                swallow(&mut from).await;
                Ok(())
            }
        }
    }

    /// Waits as long as these bytes have to wait.
    async fn wait(&mut self, count: usize) {
        match self.line.fault {
            Fault::Delay { by } => pause(by).await,
            Fault::Throttle { bytes_per_second } => {
                pause(Duration::from_micros(count as u64 * 1_000_000 / bytes_per_second.max(1))).await;
            }
            Fault::HalfClose { hang: true, .. } if self.line.half_closed.load(Ordering::Relaxed) => pending().await,
            _ => {}
        }
        // The sender is in `shared`, which outlives this.
        let _ = self.hand.wait_for(|hand| !hand.paused).await;
    }

    async fn write(&mut self, mut bytes: &[u8], to: &mut WriteHalf<'_>) -> io::Result<()> {
        let Fault::Pieces { most } = self.line.fault else { return to.write_all(bytes).await };
        while !bytes.is_empty() {
            let count = (1 + self.random.below(most as u64) as usize).min(bytes.len());
            to.write_all(&bytes[..count]).await?;
            // Others run in between, so that the receiver sees what has come so far.
            tokio::task::yield_now().await;
            bytes = &bytes[count..];
        }
        Ok(())
    }
}

#[allow(clippy::disallowed_methods, reason = "a slow network is the point")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
