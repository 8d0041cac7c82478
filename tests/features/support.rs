//! What the tests share: waits that have an end, work that goes on for as long as a test likes, clients that can be killed.

use answerback::{Call, Client, Code, Error, Ran, Raw, Service};
use answerback_testing::{Settings, TestBroker};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};

/// The end of every wait: far longer than anything takes, so that it is reached only if something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that must come.
pub(crate) async fn soon<F: IntoFuture>(what: &str, coming: F) -> F::Output {
    let waited = tokio::time::timeout(PATIENCE, coming.into_future()).await;
    waited.unwrap_or_else(|_| panic!("waited too long for: {what}"))
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    soon(what, async {
        while !is_so() {
            pause(1).await;
        }
    })
    .await;
}

/// Waits until a client's question has the answer that is waited for.
pub(crate) async fn until_told(what: &str, client: &Client, action: &str, is_so: impl Fn(&Value) -> bool) {
    let asking = async {
        while !is_so(&client.call::<Value>(action, ()).await.unwrap()) {
            pause(1).await;
        }
    };
    soon(what, asking).await;
}

#[allow(clippy::disallowed_methods, reason = "between two looks at a condition, or as work that takes its time")]
pub(crate) async fn pause(milliseconds: u64) {
    tokio::time::sleep(ms(milliseconds)).await;
}

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Makes a call and goes on.
pub(crate) fn begin<O: DeserializeOwned + Send + 'static>(call: Call<O>) -> tokio::task::JoinHandle<Result<O, Error>> {
    tokio::spawn(call.into_future())
}

/// The parts of an error that programs act on.
pub(crate) fn told(error: &Error) -> (Code, Ran, bool) {
    (error.code(), error.ran(), error.is_safe_to_retry())
}

/// A broker that takes a client for lost soon.
pub(crate) async fn hasty_broker() -> TestBroker {
    broker_with(|settings| settings.broker.session_grace = ms(100)).await
}

pub(crate) async fn broker_with(change: impl FnOnce(&mut Settings)) -> TestBroker {
    let mut settings = Settings::default();
    change(&mut settings);
    TestBroker::with(settings).await
}

/// One broker and one client of it, which may both call and serve.
pub(crate) async fn one_client() -> (TestBroker, Client) {
    let broker = TestBroker::start().await;
    let client = broker.client("client").await;
    (broker, client)
}

/// Work whose end is in the hands of the test.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Inside>);

struct Inside {
    begun: AtomicUsize,
    inside: AtomicUsize,
    most: AtomicUsize,
    done: AtomicUsize,
    permits: Semaphore,
}

impl Default for Inside {
    fn default() -> Self {
        let zero = AtomicUsize::default;
        Self { begun: zero(), inside: zero(), most: zero(), done: zero(), permits: Semaphore::new(0) }
    }
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The work: begins, and is done when the test lets it go.
    pub(crate) async fn work(&self) {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        let inside = self.0.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(inside, Ordering::SeqCst);
        let _leaves = Leaves(&self.0);
        self.0.permits.acquire().await.unwrap().forget();
        self.0.done.fetch_add(1, Ordering::SeqCst);
    }

    /// Lets so much work be done.
    pub(crate) fn let_go(&self, works: usize) {
        self.0.permits.add_permits(works);
    }

    /// Work that has begun so far.
    pub(crate) fn begun(&self) -> usize {
        self.0.begun.load(Ordering::SeqCst)
    }

    /// Work that goes on now.
    pub(crate) fn inside(&self) -> usize {
        self.0.inside.load(Ordering::SeqCst)
    }

    /// The most that went on at once.
    pub(crate) fn most(&self) -> usize {
        self.0.most.load(Ordering::SeqCst)
    }

    /// Work that came to its end, and was not dropped.
    pub(crate) fn done(&self) -> usize {
        self.0.done.load(Ordering::SeqCst)
    }

    pub(crate) async fn until_begun(&self, works: usize) {
        until("work that begins", || self.begun() >= works).await;
    }

    pub(crate) async fn until_left(&self) {
        until("work that ends", || self.inside() == 0).await;
    }
}

/// Leaves also when the work is dropped.
struct Leaves<'a>(&'a Inside);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A client on a thread and a runtime of its own, so that it can be killed as a process is: it says no goodbye.
pub(crate) struct Mortal {
    kill: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Mortal {
    /// Begins its life; returns once `life` has set everything up.
    pub(crate) async fn begin<L>(life: impl FnOnce() -> L + Send + 'static) -> Self
    where
        L: Future<Output = Result<Client, Error>>,
    {
        let (kill, killed) = oneshot::channel::<()>();
        let (tell, ready) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let client = runtime.block_on(async {
                let client = life().await.unwrap();
                let _ = tell.send(());
                let _ = killed.await;
                client
            });
            // The runtime first: the client must not find anybody to say goodbye for it.
            drop(runtime);
            drop(client);
        });
        soon("a client that sets itself up", ready).await.unwrap();
        Self { kill: Some(kill), thread: Some(thread) }
    }

    /// Returns when nothing is left of it.
    pub(crate) async fn kill(mut self) {
        let thread = self.thread.take().unwrap();
        drop(self.kill.take());
        tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        drop(self.kill.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Serves an action with work that is done when the gate lets it go; it answers its own data.
pub(crate) async fn serve_gated(client: &Client, action: &str, concurrency: u32, gate: &Gate) -> Service {
    let gate = gate.clone();
    let work = move |data: Raw| {
        let gate = gate.clone();
        async move {
            gate.work().await;
            answerback::Ok(data)
        }
    };
    client.serve(action, work).concurrency(concurrency).await.unwrap()
}

/// Serves an action with work that takes its time; it answers its own data.
pub(crate) async fn serve_slow(client: &Client, action: &str, milliseconds: u64) {
    let work = move |data: Raw| async move {
        pause(milliseconds).await;
        answerback::Ok(data)
    };
    client.serve(action, work).await.unwrap();
}

/// Whether something takes at least so long; nothing is said about the most, since a busy machine is slower.
pub(crate) async fn takes_at_least<T>(least: Duration, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = soon("something that takes its time", work).await;
    assert!(begun.elapsed() >= least, "{:?} is less than {least:?}", begun.elapsed());
    done
}
