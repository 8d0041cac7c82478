//! The handle that a program holds.

use crate::ask::{Broadcast, Call, Options, Send};
use crate::builder::Builder;
use crate::error::Error;
use crate::events::{Publish, Subscribe, To};
use crate::leave::{self, Drained};
use crate::raw::{Raw, encode};
use crate::serve::{Handler, Serve};
use crate::shared::Shared;
use crate::state::{State, StateWatch};
use bytes::Bytes;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Connects to the broker at `host:port` with default settings; [`Client::builder`] has the others.
///
/// ```no_run
/// # async fn example() -> Result<(), answerback::Error> {
/// let client = answerback::connect("127.0.0.1:7040").await?;
/// let sum: i64 = client.call("math.sum", (2, 3)).await?;
/// # Ok(())
/// # }
/// ```
pub async fn connect(address: impl Into<String>) -> Result<Client, Error> {
    Client::builder(address).connect().await
}

/// A connection to a broker that calls and serves. Cloning it is cheap; all clones are one client.
///
/// The client says goodbye when its last clone, its last [`Service`](crate::Service) and its last [`Subscription`](crate::Subscription) are dropped: what its handlers work on is dropped, and goes to others where
/// `attempts` allow. [`drain`](Self::drain) leaves in order. A handler that owns a clone keeps the client, which keeps the handler: such a client ends by `drain` or
/// `close` only. A handler that makes calls takes a [`Context`](crate::Context), which does not.
///
/// A goodbye takes a turn of the runtime: a `main` that ends right after the last clone is dropped may end before it is said, and the server then keeps the session
/// for its grace time. `close().await` at the end of `main` says it.
///
/// ```no_run
/// # async fn example() -> Result<(), answerback::Error> {
/// let client = answerback::connect("127.0.0.1:7040").await?;
/// let same = client.clone();
/// let greeting: String = same.call("hello", "Ada").await?;
/// client.close().await;
/// # Ok(())
/// # }
/// ```
pub struct Client {
    shared: Arc<Shared>,
    /// None in a context: a handler at work does not keep its client.
    handle: Option<Arc<Handle>>,
}

/// What all clones share. When it goes, the client leaves.
pub(crate) struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        leave::begin_closing(&self.shared);
    }
}

/// A clone keeps the client open, also one of a context's.
impl Clone for Client {
    fn clone(&self) -> Self {
        let handle = self.handle.clone().or_else(|| self.shared.handle());
        Self { shared: Arc::clone(&self.shared), handle }
    }
}

impl Client {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let handle = Arc::new(Handle { shared: Arc::clone(shared) });
        shared.set_handle(&handle);
        Self { shared: Arc::clone(shared), handle: Some(handle) }
    }

    /// For a context.
    pub(crate) fn that_keeps_nothing(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), handle: None }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// A client with settings of its own, which starts with [`connect`](Builder::connect) or [`start`](Builder::start).
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), answerback::Error> {
    /// let client = answerback::Client::builder("127.0.0.1:7040").name("shop-1").connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(address: impl Into<String>) -> Builder {
        Builder::new(address)
    }

    /// Calls an action with anything that is JSON by serde, and waits for the answer, which is of the type that the caller wants.
    /// Dropping the future cancels the call, at the broker and at the handler.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// use std::time::Duration;
    /// let sum: i64 = client.call("math.sum", (2, 3)).timeout(Duration::from_secs(1)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn call<O>(&self, action: &str, input: impl Serialize) -> Call<O> {
        Call::new(self.clone(), Options::new(action, encode(&input)))
    }

    /// Calls an action with JSON that is passed on as it is.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// let answer = client.call_raw("math.sum", "[2,3]").await?;
    /// assert_eq!(answer.as_bytes(), b"5");
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_raw(&self, action: &str, json: impl Into<Bytes>) -> Call<Raw> {
        Call::new(self.clone(), Options::new(action, Ok(json.into())))
    }

    /// Hands work over: done once the broker has it. Nobody hears how it ends.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// client.send("mail.send", ("ada@example.org", "hello")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(&self, action: &str, input: impl Serialize) -> Send {
        Send::new(self.clone(), Options::new(action, encode(&input)))
    }

    /// Calls every handler that serves the action now.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// let gathered = client.broadcast::<u64>("cache.clear", "users").gather().await?;
    /// println!("{} of {} caches are clear", gathered.counts.answered, gathered.counts.expected);
    /// # Ok(())
    /// # }
    /// ```
    pub fn broadcast<O>(&self, action: &str, input: impl Serialize) -> Broadcast<O> {
        Broadcast::new(self.clone(), Options::new(action, encode(&input)))
    }

    /// Serves an action with an async function of its input, or of a [`Context`](crate::Context) and its input. Done once the server has said that it knows;
    /// the service goes on until the client ends, also when what this returns is dropped.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// client.serve("math.sum", |(a, b): (i64, i64)| async move { answerback::Ok(a + b) }).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serve<H: Handler<A>, A: 'static>(&self, action: &str, handler: H) -> Serve {
        Serve::new(self.clone(), action, handler)
    }

    /// Publishes an event, anything that is JSON by serde, to whoever subscribes to the topic now. Nobody is waited for, and nothing is kept.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// client.publish("orders.new", ("bolt", 3)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish(&self, topic: &str, event: impl Serialize) -> Publish {
        Publish::new(self.clone(), topic, encode(&event))
    }

    /// Publishes JSON that is passed on as it is.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// client.publish_raw("orders.new", r#"{"item":"bolt"}"#).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish_raw(&self, topic: &str, json: impl Into<Bytes>) -> Publish {
        Publish::new(self.clone(), topic, Ok(json.into()))
    }

    /// Subscribes to a topic, or to all that fit a pattern: tokens between dots, of which `*` stands for any one and `>` at the end for all that are left. The stream has
    /// events whose data is of the type wanted; [`Raw`] is anything.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// let mut orders = client.subscribe::<(String, u32)>("orders.>").await?;
    /// while let Some(event) = orders.next().await {
    ///     println!("{:?}", event?.data);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe<T>(&self, pattern: &str) -> Subscribe<T> {
        Subscribe::new(self.clone(), pattern)
    }

    /// One client, by the public number that `$sessions` and `$events.client.connected` tell, to publish to it alone.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// client.to(7).publish("orders.yours", "bolt").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn to(&self, client: u64) -> To {
        To::new(self.clone(), client)
    }

    /// Where the client stands with its server.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// println!("{:?}", client.state());
    /// # }
    /// ```
    pub fn state(&self) -> State {
        self.shared().state()
    }

    /// Tells changes of the state.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// let mut watch = client.watch();
    /// println!("{:?}", watch.changed().await);
    /// # }
    /// ```
    pub fn watch(&self) -> StateWatch {
        StateWatch::new(self.shared().watch())
    }

    /// Breaks the connection and opens it again at once; or, between two tries, tries at once. Calls and work go on.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// client.reconnect();
    /// # }
    /// ```
    pub fn reconnect(&self) {
        self.shared().order_reconnect();
    }

    /// The client's name.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// println!("I am {}", client.name());
    /// # }
    /// ```
    pub fn name(&self) -> &str {
        &self.shared().settings.name
    }

    /// How many calls wait for their answers.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// assert_eq!(client.calls_waiting(), 0);
    /// # }
    /// ```
    pub fn calls_waiting(&self) -> usize {
        self.shared().lock().links.iter().map(|link| link.session.calls()).sum()
    }

    /// How many deliveries the client's handlers have and have not answered.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// assert_eq!(client.work_under_way(), 0);
    /// # }
    /// ```
    pub fn work_under_way(&self) -> usize {
        self.shared().lock().services.under_way()
    }

    /// Leaves in order: takes nothing new, hands back what was not started, lets what runs and what waits finish for as long as
    /// `deadline`, and says goodbye.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// let drained = client.drain(std::time::Duration::from_secs(10)).await;
    /// println!("{} finished, {} handed back, {} cut off", drained.finished, drained.handed_back, drained.cut_off);
    /// # }
    /// ```
    pub async fn drain(&self, deadline: Duration) -> Drained {
        leave::drain(self.shared(), deadline).await
    }

    /// Leaves at once: says goodbye, cancels calls that wait, and drops what its handlers work on, which goes to others where
    /// `attempts` allow. Done when the goodbye was said.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// client.close().await;
    /// # }
    /// ```
    pub async fn close(&self) {
        leave::close(self.shared()).await;
    }

    /// For services: runs until the process is asked to end (SIGTERM or SIGINT), then drains. A second signal ends the draining at once. Fails if the client closed before that.
    ///
    /// ```no_run
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// client.run_until_signal(std::time::Duration::from_secs(10)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(all(feature = "signals", unix))]
    pub async fn run_until_signal(&self, deadline: Duration) -> Result<Drained, Error> {
        crate::signals::run_until_signal(self, deadline).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("name", &self.name()).field("state", &self.state()).finish()
    }
}
