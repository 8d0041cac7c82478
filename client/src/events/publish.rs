//! Publishing: an event is handed to the link and forgotten, or the server's word on it is awaited.

use crate::ask::Waiter;
use crate::client::Client;
use crate::error::Error;
use crate::raw::encode;
use crate::session::{Caller as _, Ending, Publish as Event};
use crate::shared::Shared;
use answerback_protocol::{Code, Pattern, Ran, RequestId};
use bytes::Bytes;
use serde::Serialize;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

/// An event that is about to be published; awaiting it does so.
///
/// It is done when the event is on its way: nothing says whether the server got it. Events wait for a connection if there is none; while more wait than
/// [`max_publish_bytes`](crate::Builder::max_publish_bytes) allow, this waits for room. [`confirmed`](Self::confirmed) waits for the server's word.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// client.publish("orders.new", ("bolt", 3)).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is published before this is awaited"]
pub struct Publish {
    client: Client,
    topic: Box<str>,
    data: Result<Bytes, serde_json::Error>,
    to: Option<u64>,
    others: bool,
    confirmed: bool,
}

impl Publish {
    pub(crate) fn new(client: Client, topic: &str, data: Result<Bytes, serde_json::Error>) -> Self {
        Self { client, topic: topic.into(), data, to: None, others: false, confirmed: false }
    }

    /// Waits until the server has taken the event and handed it to those who subscribe. If the connection breaks meanwhile, that fails with `ran: maybe`, and the event
    /// is not published again: nobody gets an event twice.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// client.publish("orders.new", 7).confirmed().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn confirmed(mut self) -> Self {
        self.confirmed = true;
        self
    }

    /// Not to this client itself, should it subscribe to the topic.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// client.publish("cache.changed", "users").to_others().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn to_others(mut self) -> Self {
        self.others = true;
        self
    }

    fn begin(self) -> Result<(Client, Event<Waiter>, Option<oneshot::Receiver<Ending>>), Error> {
        if Pattern::topic(&*self.topic).is_err() {
            let message = format!(
                "{}: a topic is 1 to 255 bytes, 1 to 16 tokens between dots, none of them empty, `*` or `>`",
                self.topic.escape_debug()
            );
            return Err(Error::new(Code::BadRequest, Ran::No, message));
        }
        let data = self.data.map_err(|error| Error::unencodable(&error))?;
        let (waiter, end) = Waiter::one();
        // The id comes with the place in the queue.
        let confirm = self.confirmed.then(|| (RequestId::truncated(0), waiter));
        let end = self.confirmed.then_some(end);
        Ok((self.client, Event { topic: self.topic, data, to: self.to, others: self.others, confirm }, end))
    }
}

impl IntoFuture for Publish {
    type Output = Result<(), Error>;
    type IntoFuture = PublishFuture;

    fn into_future(self) -> PublishFuture {
        PublishFuture(match self.begin() {
            Ok((client, event, end)) => Stage::Unsaid { client, event: Some(event), end, room: None },
            Err(error) => Stage::Over(Err(error)),
        })
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// An event that is being published.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let publishing = client.publish("orders.new", 7).into_future();
/// tokio::spawn(publishing).await.expect("it does not panic")
/// # }
/// ```
#[must_use = "nothing is published before this is awaited"]
pub struct PublishFuture(Stage);

#[allow(clippy::large_enum_variant, reason = "moving it once costs less than an allocation for each event")]
enum Stage {
    Unsaid {
        client: Client,
        event: Option<Event<Waiter>>,
        end: Option<oneshot::Receiver<Ending>>,
        /// Rings when there may be room.
        room: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    },
    Said(oneshot::Receiver<Ending>),
    Over(Result<(), Error>),
}

impl Future for PublishFuture {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                Stage::Unsaid { client, event, end, room } => {
                    if let Some(waiting) = room {
                        ready!(waiting.as_mut().poll(context));
                        *room = None;
                    }
                    match event.take().map(|event| client.shared().publish(event)) {
                        Some(Ok(Some(unsaid))) => {
                            *room = Some(Box::pin(has_room(Arc::clone(client.shared()), unsaid.cost())));
                            *event = Some(unsaid);
                        }
                        Some(Err(error)) => self.0 = Stage::Over(Err(error)),
                        Some(Ok(None)) | None => {
                            self.0 = end.take().map_or(Stage::Over(Ok(())), Stage::Said);
                        }
                    }
                }
                Stage::Said(end) => {
                    let ending = ready!(Pin::new(end).poll(context));
                    let lost = || {
                        Error::new(Code::Disconnected, Ran::Maybe, "the client ended before the event was confirmed")
                    };
                    return Poll::Ready(ending.map_or_else(|_| Err(lost()), |ending| ending.result.map(drop)));
                }
                Stage::Over(over) => return Poll::Ready(std::mem::replace(over, Ok(()))),
            }
        }
    }
}

async fn has_room(shared: Arc<Shared>, cost: usize) {
    shared.bell.until(|| shared.lock().has_room_for_event(&shared, cost).then_some(())).await;
}

impl fmt::Debug for PublishFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishFuture").finish_non_exhaustive()
    }
}

impl Shared {
    /// Takes an event, or gives it back because too many wait.
    fn publish(&self, mut event: Event<Waiter>) -> Result<Option<Event<Waiter>>, Error> {
        let mut inside = self.lock();
        if let Some(error) = &inside.closed {
            let error = error.clone().with_ran(Ran::No);
            if let Some((_, waiter)) = event.confirm.take() {
                waiter.end(Ending { result: Err(error.clone()), info: None, counts: None });
            }
            return Err(error);
        }
        if !inside.has_room_for_event(self, event.cost()) {
            return Ok(Some(event));
        }
        if let Some((id, _)) = &mut event.confirm {
            *id = RequestId::truncated(inside.next_request());
        }
        // While it is not closed, there is a link.
        if let Some(link) = inside.links.last_mut() {
            link.session.publish(event);
            link.rouse();
        }
        Ok(None)
    }
}

impl crate::shared::Inside {
    /// Whether an event may wait. One always may, however large it is. A client that is closed has room: it says why it takes nothing.
    fn has_room_for_event(&self, shared: &Shared, cost: usize) -> bool {
        let bytes = self.links.last().map_or(0, |link| link.session.publish_bytes());
        bytes == 0 || bytes.saturating_add(cost) <= shared.settings.max_publish_bytes || self.closed.is_some()
    }
}

/// One client, as the one to publish to.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// client.to(7).publish("orders.yours", "bolt").confirmed().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct To {
    client: Client,
    number: u64,
}

impl To {
    pub(crate) fn new(client: Client, number: u64) -> Self {
        Self { client, number }
    }

    /// Publishes an event to that client alone. It gets it if it is connected and subscribes to the topic; else a [confirmed](Publish::confirmed) one fails as
    /// `no_handler`.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// client.to(7).publish("orders.yours", "bolt").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish(&self, topic: &str, event: impl Serialize) -> Publish {
        Publish { to: Some(self.number), ..Publish::new(self.client.clone(), topic, encode(&event)) }
    }

    /// The same with JSON that is passed on as it is.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// client.to(7).publish_raw("orders.yours", r#"{"id":7}"#).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish_raw(&self, topic: &str, json: impl Into<Bytes>) -> Publish {
        Publish { to: Some(self.number), ..Publish::new(self.client.clone(), topic, Ok(json.into())) }
    }
}
