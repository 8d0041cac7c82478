//! A TCP proxy with faults, to stand between clients and a broker.
//!
//! `faults.rs` says what can go wrong and with which connection; `carry.rs` carries the bytes of one connection.

mod carry;
mod faults;

pub use faults::{Ending, Fault, Faults, Way};

use carry::carry;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// A proxy on a free port of loopback. Everything that passes it can be broken: by a plan, see [`Faults`], or by hand.
///
/// It opens a connection of its own to the target for each that comes in. Where no fault is, each direction ends for
/// itself, as with TCP. Dropping the proxy ends everything.
///
/// ```
/// # use answerback_testing::{Proxy, TestBroker};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let broker = TestBroker::start().await;
/// let proxy = Proxy::start(broker.address()).await;
/// // A client connects to proxy.address() …
/// proxy.cut_all(); // … and has to connect again.
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: AbortHandle,
}

/// Connections at once at most; the next one waits to be accepted.
const CONNECTIONS_MAX: usize = 1_024;

#[derive(Debug)]
struct Shared {
    target: String,
    faults: Faults,
    hand: watch::Sender<Hand>,
    connections: AtomicU64,
    ended_by_fault: AtomicU64,
}

/// What is done by hand.
#[derive(Debug, Clone, Copy, Default)]
struct Hand {
    refuses: bool,
    paused: bool,
    /// How often everything was cut.
    cuts: u64,
}

impl Proxy {
    /// Starts a proxy to `target`, a `host:port`, that passes everything on.
    ///
    /// ```
    /// # use answerback_testing::{Proxy, TestBroker};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let broker = TestBroker::start().await;
    /// let proxy = Proxy::start(broker.address()).await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the machine has no port for it.
    pub async fn start(target: impl Into<String>) -> Self {
        Self::with(target, Faults::none()).await
    }

    /// Starts a proxy to `target` with a plan of faults.
    ///
    /// ```
    /// # use answerback_testing::{Faults, Proxy, TestBroker};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let broker = TestBroker::start().await;
    /// let proxy = Proxy::with(broker.address(), Faults::seeded(7)).await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the machine has no port for it.
    pub async fn with(target: impl Into<String>, faults: Faults) -> Self {
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listening = listening.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = listening.unwrap_or_else(|error| panic!("no proxy could be started: {error}"));
        let shared = Arc::new(Shared {
            target: target.into(),
            faults,
            hand: watch::Sender::new(Hand::default()),
            connections: AtomicU64::new(0),
            ended_by_fault: AtomicU64::new(0),
        });
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self { address, shared, acceptor }
    }

    /// Where clients connect: `127.0.0.1:PORT`.
    ///
    /// ```
    /// # use answerback_testing::Proxy;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let proxy = Proxy::start("127.0.0.1:7040").await;
    /// assert!(proxy.address().starts_with("127.0.0.1:"));
    /// # }
    /// ```
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Cuts every connection in the middle of whatever it is doing: both ends see a reset. New ones may come at once.
    ///
    /// ```
    /// # use answerback_testing::{Proxy, TestBroker};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), answerback::Error> {
    /// let broker = TestBroker::start().await;
    /// let proxy = Proxy::start(broker.address()).await;
    /// let client = answerback::connect(proxy.address()).await?;
    /// proxy.cut_all();
    /// assert!(client.call::<bool>("$echo", true).attempts(2).await?, "it came back by itself");
    /// # Ok(())
    /// # }
    /// ```
    pub fn cut_all(&self) {
        self.shared.hand.send_modify(|hand| hand.cuts += 1);
    }

    /// From now on every new connection is reset as soon as it is there, or no longer so. Those that are open go on.
    ///
    /// ```
    /// # use answerback_testing::Proxy;
    /// use tokio::io::AsyncReadExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let proxy = Proxy::start("127.0.0.1:7040").await;
    /// proxy.refuse(true);
    /// let mut socket = tokio::net::TcpStream::connect(proxy.address()).await?;
    /// assert!(socket.read_u8().await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn refuse(&self, refuse: bool) {
        self.shared.hand.send_modify(|hand| hand.refuses = refuse);
    }

    /// From now on nothing passes: connections stay open and bytes wait, as when a cable is pulled.
    ///
    /// ```
    /// # use answerback_testing::Proxy;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let proxy = Proxy::start("127.0.0.1:7040").await;
    /// proxy.pause();
    /// // … a while later …
    /// proxy.resume();
    /// # }
    /// ```
    pub fn pause(&self) {
        self.shared.hand.send_modify(|hand| hand.paused = true);
    }

    /// Ends the pause. What has waited goes on its way, in order.
    ///
    /// ```
    /// # use answerback_testing::Proxy;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let proxy = Proxy::start("127.0.0.1:7040").await;
    /// proxy.pause();
    /// // … a while later …
    /// proxy.resume();
    /// # }
    /// ```
    pub fn resume(&self) {
        self.shared.hand.send_modify(|hand| hand.paused = false);
    }

    /// How many connections have come in so far.
    ///
    /// ```
    /// # use answerback_testing::Proxy;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let proxy = Proxy::start("127.0.0.1:7040").await;
    /// assert_eq!(proxy.connections(), 0);
    /// # }
    /// ```
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many connections were ended, or half closed, by the plan of faults so far. A test asks so that it does not pass
    /// because nothing happened.
    ///
    /// ```
    /// # use answerback_testing::Proxy;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let proxy = Proxy::start("127.0.0.1:7040").await;
    /// assert_eq!(proxy.broken(), 0);
    /// # }
    /// ```
    pub fn broken(&self) -> u64 {
        self.shared.ended_by_fault.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// Takes connections in. It owns their tasks: when it ends, they end.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = open.join_next() => {}
            accepted = listener.accept(), if open.len() < CONNECTIONS_MAX => {
                // Without a connection there is nobody to tell.
                let Ok((client, _)) = accepted else { continue };
                let number = shared.connections.fetch_add(1, Ordering::Relaxed);
                open.spawn(meet(client, number, Arc::clone(&shared)));
            }
        }
    }
}

/// The life of one connection, the `number`-th.
async fn meet(client: TcpStream, number: u64, shared: Arc<Shared>) {
    // Subscribed before anything is waited for, so that no cut is missed.
    let mut hand = shared.hand.subscribe();
    let Hand { refuses, cuts, .. } = *hand.borrow_and_update();
    let cut = async {
        // The sender is in `shared`, which this task holds.
        let _ = hand.wait_for(|hand| hand.cuts != cuts).await;
    };
    if refuses {
        return reset(&client);
    }
    let fault = shared.faults.of(number);
    if fault == Fault::Stall {
        shared.ended_by_fault.fetch_add(1, Ordering::Relaxed);
        cut.await;
        return reset(&client);
    }
    let Ok(broker) = TcpStream::connect(&shared.target).await else { return reset(&client) };
    carry((client, broker), fault, &shared, number, cut).await;
}

/// The peer shall see a reset when this socket is dropped, not an end.
fn reset(socket: &TcpStream) {
    // A socket that refuses is gone already.
    let _ = socket.set_zero_linger();
}
