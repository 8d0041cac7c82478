//! A stream of events.

use super::inbox::{Arrived, Inbox};
use crate::client::Client;
use crate::error::Error;
use crate::raw::decode;
use crate::session::Topic;
use answerback_protocol::{Code, Ran};
use futures_core::Stream;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Something that was published.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let mut orders = client.subscribe::<u64>("orders.>").await?;
/// while let Some(event) = orders.next().await {
///     let event = event?;
///     println!("{} from {}: {}", event.topic, event.from, event.data);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event<T> {
    /// The topic it was published to.
    pub topic: Arc<str>,
    /// The name of its publisher, behind that of its holder; of the broker's own events, the name of the server.
    pub from: Arc<str>,
    /// What was published.
    pub data: T,
    /// How many events this client missed right before this one: because this stream was not read in time, or because the client was away or slow. Those of other
    /// streams of the client are among the latter.
    pub missed: u64,
}

/// Events of a topic, as they come. It goes on over connections that break, and ends when the client does, or with an error when the server ends it, as `denied`. An event
/// that is not of the type wanted is an error as well, and others come after it.
///
/// Events are at most once and kept for nobody: what is published while the client is away is missed, and [counted](Event::missed) as far as the server still knows the
/// client. Dropping the stream unsubscribes.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let mut orders = client.subscribe::<answerback::Raw>("orders.>").await?;
/// let first = orders.next().await;
/// orders.unsubscribe().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it unsubscribes"]
pub struct Subscription<T> {
    client: Client,
    number: u64,
    topic: Topic,
    inbox: Arc<Inbox>,
    data: PhantomData<fn() -> T>,
}

impl<T> Subscription<T> {
    pub(super) fn new(client: Client, number: u64, topic: Topic, inbox: Arc<Inbox>) -> Self {
        Self { client, number, topic, inbox, data: PhantomData }
    }

    /// The topic or pattern that was subscribed to.
    ///
    /// ```
    /// # fn example(orders: answerback::Subscription<u64>) {
    /// println!("hearing of {}", orders.topic());
    /// # }
    /// ```
    pub fn topic(&self) -> &str {
        &self.topic.0
    }

    /// How many events were missed since it began: the sum of what [`Event::missed`] says, and those after the last event.
    ///
    /// ```
    /// # fn example(orders: answerback::Subscription<u64>) {
    /// println!("{} missed", orders.missed());
    /// # }
    /// ```
    pub fn missed(&self) -> u64 {
        self.inbox.missed_in_all()
    }

    /// Ends it, and waits until the server knows or there is none to know. Other streams of the same topic go on.
    ///
    /// ```
    /// # async fn example(orders: answerback::Subscription<u64>) {
    /// orders.unsubscribe().await;
    /// # }
    /// ```
    pub async fn unsubscribe(self) {
        let (client, topic) = (self.client.clone(), self.topic.clone());
        drop(self);
        let shared = client.shared();
        shared.bell.until(|| (!shared.is_subscribed(&topic)).then_some(())).await;
    }
}

impl<T: DeserializeOwned + 'static> Subscription<T> {
    /// The next event; nothing once it is over.
    ///
    /// ```
    /// # async fn example(mut orders: answerback::Subscription<u64>) {
    /// let next = orders.next().await;
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Result<Event<T>, Error>> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Option<Result<Event<T>, Error>>> {
        self.inbox.poll_next(context).map(|next| next.map(|arrived| arrived.and_then(read)))
    }
}

fn read<T: DeserializeOwned + 'static>(arrived: Arrived) -> Result<Event<T>, Error> {
    let Arrived { event, missed } = arrived;
    let wrong = |error: serde_json::Error| {
        let topic = event.topic.escape_debug();
        Error::new(
            Code::BadRequest,
            Ran::Yes,
            format!("an event of {topic} is not of the type that was asked for: {error}"),
        )
    };
    let data = decode(event.data).map_err(wrong)?;
    Ok(Event { topic: event.topic, from: event.from, data, missed })
}

impl<T: DeserializeOwned + 'static> Stream for Subscription<T> {
    type Item = Result<Event<T>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.client.shared().unsubscribe(self.number);
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("topic", &self.topic.0).finish_non_exhaustive()
    }
}
