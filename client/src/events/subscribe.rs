//! Beginning to hear of a topic.

use super::inbox::Inbox;
use super::subscription::Subscription;
use crate::client::Client;
use crate::error::Error;
use crate::session::Topic;
use answerback_protocol::{Code, Name, Pattern, Ran};
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;

/// Events that wait for the reader of a stream: what comes in a moment, and not what a reader that hangs would let pile up.
const BUFFER: usize = 8_192;

/// How a topic is to be subscribed to; awaiting it begins, and gives the [`Subscription`] once the server knows.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let mut orders = client.subscribe::<u64>("orders.>").group("billing").await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is heard before this is awaited"]
pub struct Subscribe<T> {
    client: Client,
    topic: Topic,
    buffer: usize,
    data: PhantomData<fn() -> T>,
}

impl<T> Subscribe<T> {
    pub(crate) fn new(client: Client, pattern: &str) -> Self {
        Self { client, topic: (pattern.into(), None), buffer: BUFFER, data: PhantomData }
    }

    /// Shares the events with all that subscribe with the same group: of those that the event is for, one gets it.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// let mut mine = client.subscribe::<u64>("orders.>").group("billing").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn group(mut self, group: &str) -> Self {
        self.topic.1 = Some(group.into());
        self
    }

    /// How many events wait for a reader that is slow, at least 1. Beyond them, or beyond 64 MiB, the oldest are dropped, and the next one says how many.
    /// Default 8,192.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// let mut latest = client.subscribe::<f64>("temperature").buffer(1).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn buffer(mut self, events: usize) -> Self {
        self.buffer = events.max(1);
        self
    }

    fn check(&self) -> Result<(), Error> {
        let (pattern, group) = &self.topic;
        let mistake = if Pattern::new(&**pattern).is_err() {
            "a pattern is 1 to 255 bytes, 1 to 16 tokens between dots, none of them empty, and `>` only as the last"
        } else if group.as_deref().is_some_and(|group| Name::new(group).is_err()) {
            "group: 1 to 255 bytes without control characters"
        } else {
            return Ok(());
        };
        Err(Error::new(Code::BadRequest, Ran::No, format!("{}: {mistake}", pattern.escape_debug())))
    }
}

impl<T: DeserializeOwned + 'static> IntoFuture for Subscribe<T> {
    type Output = Result<Subscription<T>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            self.check()?;
            let inbox = Inbox::new(self.buffer);
            let (number, word) = self.client.shared().subscribe(&self.topic, &inbox)?;
            // From here on it unsubscribes when it is dropped.
            let subscription = Subscription::new(self.client, number, self.topic, inbox);
            let closed = || Error::new(Code::Disconnected, Ran::No, "this client was closed");
            word.await.unwrap_or_else(|_| Err(closed()))?;
            Ok(subscription)
        })
    }
}

impl<T> fmt::Debug for Subscribe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe").field("topic", &self.topic).finish_non_exhaustive()
    }
}
