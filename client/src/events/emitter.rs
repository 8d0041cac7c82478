//! Events under the names that programs know from emitters: `on`, `once`, `emit`, `remove_listener`.

use super::{Event, Publish, Subscription};
use crate::client::Client;
use crate::error::Error;
use crate::state::State;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

/// The topic of heartbeats.
const HEARTBEAT: &str = "<3";

/// Listeners by topic, over the events of a broker. Clones are one emitter; when the last is dropped, its listeners and heartbeats end.
///
/// A listener is called with one event after the other, in a task of its own, so it must not block. It may panic: that is logged, and it gets the next event.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// use answerback::{Emitter, Event};
///
/// let emitter = Emitter::new(&client);
/// let listener = emitter.on("orders.new", |order: Event<u64>| println!("order {}", order.data)).await?;
/// emitter.emit("orders.new", 7).await?;
/// emitter.remove_listener(listener);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Emitter {
    client: Client,
    tasks: Arc<Tasks>,
}

/// Names a listener, for [`Emitter::remove_listener`].
///
/// ```
/// # async fn example(emitter: answerback::Emitter) -> Result<(), answerback::Error> {
/// let listener: answerback::Listener = emitter.on("t", |event: answerback::Event<u64>| drop(event)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listener(u64);

/// What runs for an emitter. Dropping it ends it all.
#[derive(Default)]
struct Tasks(Mutex<Running>);

#[derive(Default)]
struct Running {
    next: u64,
    /// Each with its topic.
    all: BTreeMap<u64, (Box<str>, AbortHandle)>,
}

impl Emitter {
    /// An emitter without listeners. The client stays open for as long as a listener is there.
    ///
    /// ```
    /// # fn example(client: answerback::Client) {
    /// let emitter = answerback::Emitter::new(&client);
    /// # }
    /// ```
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), tasks: Arc::default() }
    }

    /// Calls `listener` for every event of a topic or pattern; `*` alone is every event there is. Done once the server knows.
    ///
    /// ```
    /// # async fn example(emitter: answerback::Emitter) -> Result<(), answerback::Error> {
    /// emitter.on("*", |event: answerback::Event<answerback::Raw>| println!("{}", event.topic)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn on<T: DeserializeOwned + Send + 'static>(
        &self,
        topic: &str,
        mut listener: impl FnMut(Event<T>) + Send + 'static,
    ) -> Result<Listener, Error> {
        self.listen(topic, move |event| {
            listener(event);
            ControlFlow::Continue(())
        })
        .await
    }

    /// Calls `listener` for the next event of a topic or pattern, and for no other.
    ///
    /// ```
    /// # async fn example(emitter: answerback::Emitter) -> Result<(), answerback::Error> {
    /// emitter.once("ready", |event: answerback::Event<String>| println!("{} is ready", event.data)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn once<T: DeserializeOwned + Send + 'static>(
        &self,
        topic: &str,
        listener: impl FnOnce(Event<T>) + Send + 'static,
    ) -> Result<Listener, Error> {
        let mut listener = Some(listener);
        self.listen(topic, move |event| {
            if let Some(listener) = listener.take() {
                listener(event);
            }
            ControlFlow::Break(())
        })
        .await
    }

    /// Publishes an event; see [`Client::publish`].
    ///
    /// ```
    /// # async fn example(emitter: answerback::Emitter) -> Result<(), answerback::Error> {
    /// emitter.emit("orders.new", 7).to_others().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn emit(&self, topic: &str, data: impl Serialize) -> Publish {
        self.client.publish(topic, data)
    }

    /// Ends a listener. Whether there was one.
    ///
    /// ```
    /// # fn example(emitter: answerback::Emitter, listener: answerback::Listener) {
    /// assert!(emitter.remove_listener(listener));
    /// # }
    /// ```
    pub fn remove_listener(&self, listener: Listener) -> bool {
        let removed = self.tasks.lock().all.remove(&listener.0);
        removed.is_some_and(|(_, task)| {
            task.abort();
            true
        })
    }

    /// Ends the listeners of one topic, as it was given to [`on`](Self::on), or all of them. How many those were.
    ///
    /// ```
    /// # fn example(emitter: answerback::Emitter) {
    /// emitter.remove_all_listeners(Some("orders.new"));
    /// emitter.remove_all_listeners(None);
    /// # }
    /// ```
    pub fn remove_all_listeners(&self, topic: Option<&str>) -> usize {
        let of_topic = |entry: &(Box<str>, AbortHandle)| topic.is_none_or(|topic| *entry.0 == *topic);
        let is_one = |entry: &(Box<str>, AbortHandle)| !entry.0.is_empty() && of_topic(entry);
        let removed: Vec<_> = self.tasks.lock().all.extract_if(.., |_, entry| is_one(entry)).collect();
        removed.iter().for_each(|(_, (_, task))| task.abort());
        removed.len()
    }

    /// How many listeners there are.
    ///
    /// ```
    /// # fn example(emitter: answerback::Emitter) {
    /// assert_eq!(emitter.listeners(), 0);
    /// # }
    /// ```
    pub fn listeners(&self) -> usize {
        self.tasks.lock().all.values().filter(|(topic, _)| !topic.is_empty()).count()
    }

    /// Publishes the name of a service to the topic `<3`, now and then at every interval, for as long as the emitter lives. Nothing is published while there is no
    /// connection: a heartbeat that comes late is none. Must be called within a tokio runtime.
    ///
    /// ```
    /// # fn example(emitter: answerback::Emitter) {
    /// emitter.heartbeat("billing", std::time::Duration::from_secs(60));
    /// # }
    /// ```
    pub fn heartbeat(&self, service: &str, interval: Duration) {
        let (client, service) = (self.client.clone(), service.to_owned());
        self.spawn("", |_, _| async move {
            let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let connected = matches!(client.state(), State::Connected { .. });
                if connected && client.publish(HEARTBEAT, &service).await.is_err() {
                    return;
                }
            }
        });
    }

    async fn listen<T: DeserializeOwned + Send + 'static>(
        &self,
        topic: &str,
        listener: impl FnMut(Event<T>) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Listener, Error> {
        let pattern = if topic == "*" { ">" } else { topic };
        let events = self.client.subscribe::<T>(pattern).await?;
        Ok(Listener(self.spawn(topic, |number, tasks| async move {
            hear(events, listener).await;
            if let Some(tasks) = tasks.upgrade() {
                tasks.lock().all.remove(&number);
            }
        })))
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(
        &self,
        topic: &str,
        work: impl FnOnce(u64, std::sync::Weak<Tasks>) -> F,
    ) -> u64 {
        // The lock is held until it is listed: its end takes it off the list.
        let mut running = self.tasks.lock();
        let number = running.next;
        running.next += 1;
        let task = tokio::spawn(work(number, Arc::downgrade(&self.tasks)));
        running.all.insert(number, (topic.into(), task.abort_handle()));
        number
    }
}

/// Calls the listener until it has had enough or nothing comes any more.
async fn hear<T: DeserializeOwned + 'static>(
    mut events: Subscription<T>,
    mut listener: impl FnMut(Event<T>) -> ControlFlow<()>,
) {
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(topic = %events.topic().escape_debug(), "a listener was not called: {error}");
                continue;
            }
        };
        match catch_unwind(AssertUnwindSafe(|| listener(event))) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return,
            Err(_panic) => tracing::error!(topic = %events.topic().escape_debug(), "a listener panicked"),
        }
    }
}

impl Tasks {
    /// Nothing that is done under the lock can leave things half done.
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.lock().all.values().for_each(|(_, task)| task.abort());
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").field("listeners", &self.listeners()).finish_non_exhaustive()
    }
}
