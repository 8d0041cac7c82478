//! A real broker inside the test's process.

use crate::place::Place;
use answerback_server::key_ring::KeyRing;
use answerback_server::{DataDirError, End, Keys, Reloaded, Report, Running, Server, Settings, StartError};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A broker of the same kind as `answerback-server`, in this process: real sockets on a free port of loopback, and a data
/// folder that is removed at the end.
///
/// Dropping it ends the broker, also while a test panics.
///
/// ```
/// # use answerback_testing::TestBroker;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let broker = TestBroker::start().await;
/// assert!(broker.address().starts_with("127.0.0.1:"));
/// # }
/// ```
#[derive(Debug)]
pub struct TestBroker {
    /// With the port that was found.
    settings: Settings,
    /// Those that it has now; it starts again with them.
    keys: Mutex<Option<Keys>>,
    /// Nothing while it is stopped. Shared with threads that wait for it. Dropped before the folder.
    running: Arc<Mutex<Option<Running>>>,
    place: Place,
}

/// How long [`TestBroker::start_again`] tries to get its port back.
const START_AGAIN_WITHIN: Duration = Duration::from_secs(10);

/// A pause between two such tries.
const TRY_EVERY: Duration = Duration::from_millis(5);

impl TestBroker {
    /// Starts a broker with the settings that a server has when nothing is said.
    ///
    /// ```
    /// # use answerback_testing::TestBroker;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let broker = TestBroker::start().await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the machine cannot start it.
    pub async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    /// Starts a broker with other settings. Where it listens, its folder and its admin port, of which it has none, are not
    /// taken from them.
    ///
    /// ```
    /// # use answerback_testing::{Settings, TestBroker};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut settings = Settings::default();
    /// settings.broker.default_timeout = std::time::Duration::from_secs(1);
    /// let broker = TestBroker::with(settings).await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the settings cannot work, or the machine cannot start it.
    pub async fn with(settings: Settings) -> Self {
        let place = Place::new();
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut settings = Settings { listen: any_port, admin: None, data_dir: place.path().to_owned(), ..settings };
        let running = try_start(&settings).await.unwrap_or_else(|error| panic!("no broker could be started: {error}"));
        settings.listen = running.address();
        let keys = Mutex::new(settings.keys.clone());
        Self { settings, keys, running: Arc::new(Mutex::new(Some(running))), place }
    }

    /// Where clients connect: `127.0.0.1:PORT`. It stays the same when the broker is stopped and started again.
    ///
    /// ```
    /// # use answerback_testing::TestBroker;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let broker = TestBroker::start().await;
    /// let _socket = tokio::net::TcpStream::connect(broker.address()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn address(&self) -> String {
        self.settings.listen.to_string()
    }

    /// Its data folder, which is removed at the end.
    ///
    /// ```
    /// # use answerback_testing::TestBroker;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let broker = TestBroker::start().await;
    /// assert!(broker.folder().exists());
    /// # }
    /// ```
    pub fn folder(&self) -> &Path {
        self.place.path()
    }

    /// Ends the broker as if it was killed: connections just close, and what it held is gone, except for what is in its store:
    /// durable requests, and what the last snapshot saw. Returns when nothing is left of it. Does nothing if it is stopped already.
    ///
    /// ```
    /// # use answerback_testing::TestBroker;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let broker = TestBroker::start().await;
    /// broker.stop().await;
    /// assert!(tokio::net::TcpStream::connect(broker.address()).await.is_err());
    /// broker.start_again().await;
    /// assert!(tokio::net::TcpStream::connect(broker.address()).await.is_ok());
    /// # }
    /// ```
    pub async fn stop(&self) {
        let running = lock(&self.running).take();
        // Dropping it waits for its thread.
        off_the_runtime(move || drop(running)).await;
    }

    /// Removes the store of a broker that was stopped: the next one knows nothing of the last, as if the disk had been lost.
    ///
    /// ```
    /// # use answerback_testing::TestBroker;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let broker = TestBroker::start().await;
    /// broker.stop().await;
    /// broker.forget().await;
    /// broker.start_again().await;
    /// assert_eq!(broker.report().await.map(|report| report.held.requests), Some(0));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the broker runs, or its store cannot be removed.
    pub async fn forget(&self) {
        assert!(lock(&self.running).is_none(), "only a broker that was stopped can forget");
        let store = self.place.path().join("store");
        let removed = off_the_runtime(move || std::fs::remove_dir_all(store)).await;
        assert!(matches!(removed, Some(Ok(()))), "the store could not be removed: {removed:?}");
    }

    /// Starts the broker again on the same port and with the same folder, after [`stop`](Self::stop) or
    /// [`drain`](Self::drain). Does nothing if it runs.
    ///
    /// ```
    /// # use answerback_testing::TestBroker;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let broker = TestBroker::start().await;
    /// broker.stop().await;
    /// broker.start_again().await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If it does not get its port back within ten seconds.
    pub async fn start_again(&self) {
        let end = Instant::now() + START_AGAIN_WITHIN;
        while lock(&self.running).is_none() {
            let keys = lock(&self.keys).clone();
            match try_start(&Settings { keys, ..self.settings.clone() }).await {
                Ok(running) => *lock(&self.running) = Some(running),
                Err(error) if is_passing(&error) && Instant::now() < end => pause().await,
                Err(error) => panic!("the broker could not be started again: {error}"),
            }
        }
    }

    /// Puts other keys in place of those that it was started with, as a reload of its keys file would: connections whose key is gone are closed,
    /// and changed rights hold at once. Nothing if it is stopped, or was started without keys.
    ///
    /// ```
    /// # use answerback_testing::{Keys, Settings, TestBroker, key_ring::{Key, KeyId, KeyRing, Secret}};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let key = |id| Key { id: KeyId::new(id).unwrap(), secret: Secret::new([7; 32]) };
    /// let keys = Keys::of(KeyRing::of_one(key("billing")));
    /// let broker = TestBroker::with(Settings { keys: Some(keys), ..Settings::default() }).await;
    /// let reloaded = broker.replace_keys(KeyRing::of_one(key("web"))).await.unwrap();
    /// assert_eq!((&*reloaded.added[0], &*reloaded.removed[0], reloaded.closed), ("web", "billing", 0));
    /// # }
    /// ```
    pub async fn replace_keys(&self, ring: KeyRing) -> Option<Reloaded> {
        let (running, new) = (Arc::clone(&self.running), ring.clone());
        let replace = move || lock(&running).as_ref().and_then(|running| running.keys().replace(new).ok());
        let reloaded = off_the_runtime(replace).await.flatten()?;
        *lock(&self.keys) = Some(Keys::of(ring));
        Some(reloaded)
    }

    /// Asks the broker to leave, as SIGTERM does: no new work, and what runs may finish within `deadline`. Returns when it
    /// has left, and says whether all work could finish. `true` if it was stopped before.
    ///
    /// ```
    /// # use answerback_testing::TestBroker;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let broker = TestBroker::start().await;
    /// assert!(broker.drain(std::time::Duration::from_secs(5)).await);
    /// # }
    /// ```
    pub async fn drain(&self, deadline: Duration) -> bool {
        let Some(running) = lock(&self.running).take() else { return true };
        running.drain(deadline);
        matches!(off_the_runtime(move || running.join()).await, Some(End::Drained { complete: true }))
    }

    /// What the broker counts and holds at the moment, or nothing if it is stopped. For tests that want to see that
    /// nothing is left behind.
    ///
    /// ```
    /// # use answerback_testing::TestBroker;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let broker = TestBroker::start().await;
    /// assert_eq!(broker.report().await.map(|report| report.held.requests), Some(0));
    /// # }
    /// ```
    pub async fn report(&self) -> Option<Report> {
        let running = Arc::clone(&self.running);
        off_the_runtime(move || lock(&running).as_ref().and_then(Running::report)).await.flatten()
    }
}

async fn try_start(settings: &Settings) -> Result<Running, StartError> {
    let settings = settings.clone();
    let io = |error| StartError::Io { doing: "start a thread", error };
    tokio::task::spawn_blocking(|| Server::start(settings)).await.map_err(|error| io(error.into()))?
}

/// Whether the one before may only not be quite gone.
fn is_passing(error: &StartError) -> bool {
    matches!(error, StartError::Listen { .. } | StartError::DataDir(DataDirError::Held { .. }))
}

/// Does something that waits, on a thread that may wait. Nothing if it panicked.
async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Who panicked with the lock in hand has not left anything half done.
fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[allow(clippy::disallowed_methods, reason = "nobody tells when a port is free again; it is asked until a deadline")]
async fn pause() {
    tokio::time::sleep(TRY_EVERY).await;
}
