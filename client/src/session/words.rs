//! What goes into a session and what comes out of it.

use super::topics::Topic;
use crate::error::Error;
use crate::fault::Fault;
use answerback_protocol::{DeliveryId, SessionId};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who this client is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Its name, for people and for `from`: 1 to 255 bytes without control characters.
    pub(crate) name: Arc<str>,
    /// The session: a secret.
    pub(crate) session: SessionId,
}

/// What a session may grow to, and how long it waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Calls that wait for an answer at once, those being cancelled included.
    pub(crate) calls: usize,
    /// Bytes of data of those calls.
    pub(crate) bytes: usize,
    /// From `hello` to `welcome`.
    pub(crate) welcome_within: Duration,
    /// How much longer than its timeout a call that was said waits for the broker's own word on it.
    pub(crate) patience: Duration,
}

/// Who waits for the answer to a call.
pub(crate) trait Caller {
    /// One of several answers. `false`: no more are wanted, and the call is cancelled.
    fn part(&mut self, part: Part) -> bool;
    /// The last answer.
    fn end(self, ending: Ending);
    /// Whether nobody waits any more, although nobody has said so.
    fn is_gone(&self) -> bool;
}

/// One of several answers.
#[derive(Debug)]
pub(crate) struct Part {
    /// Of a broadcast: the handler whose part this is.
    pub(crate) from: Option<Box<str>>,
    /// Data, or the handler's fault.
    pub(crate) result: Result<Bytes, Error>,
}

/// How a call ended. `accepted` is `Ok` without data.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) result: Result<Bytes, Error>,
    pub(crate) info: Option<Box<Info>>,
    pub(crate) counts: Option<Counts>,
}

/// Where the time of a call went, as the broker measured it.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let info = client.call::<i64>("math.sum", (2, 3)).with_info().await?.info;
/// println!("{:?} in the queue, {:?} at work with {:?}", info.queued, info.ran, info.by);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// In the queue, up to the last delivery.
    pub queued: Duration,
    /// From the last delivery to the answer, if there was a delivery.
    pub ran: Option<Duration>,
    /// The name of the handler that was given it last.
    pub by: Option<Box<str>>,
}

/// How a broadcast ended: `expected` is the sum of the other three.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let counts = client.broadcast::<()>("cache.clear", "users").await?.counts;
/// println!("{} of {} answered", counts.answered + counts.failed, counts.expected);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Handlers it was meant for.
    pub expected: u64,
    /// Of them, those that answered with data.
    pub answered: u64,
    /// Those that answered with a fault.
    pub failed: u64,
    /// Those that did not answer in time, or were lost.
    pub lost: u64,
}

/// A call, a send or a broadcast, as it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// A sound name.
    pub(crate) action: Box<str>,
    /// JSON, or nothing.
    pub(crate) data: Bytes,
    pub(crate) ttl: Option<Duration>,
    /// The whole of it. `None` leaves it to the broker; only a send may.
    pub(crate) timeout: Option<Duration>,
    pub(crate) broadcast: bool,
    pub(crate) attempts: Option<u32>,
    pub(crate) durable: bool,
    /// Sound: 1 to 255 bytes without control characters. The same holds for `trace`.
    pub(crate) key: Option<Box<str>>,
    /// `false` is a send.
    pub(crate) reply: bool,
    pub(crate) info: bool,
    pub(crate) trace: Option<Box<str>>,
    /// When the application asked: ttl and timeout count from here.
    pub(crate) asked: Instant,
}

/// What a handler says to a delivery.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// One of several answers.
    Part(Bytes),
    /// The last answer, or the only one.
    Done(Bytes),
    /// Its own error.
    Fault(Fault),
}

/// A request that the broker gave to this client.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) id: DeliveryId,
    pub(crate) action: Box<str>,
    pub(crate) from: Box<str>,
    /// When its time is up.
    pub(crate) deadline: Instant,
    pub(crate) attempt: u32,
    pub(crate) trace: Option<Box<str>>,
    pub(crate) data: Bytes,
}

/// An event, as it came.
#[derive(Debug, Clone)]
pub(crate) struct TopicEvent {
    pub(crate) topic: Arc<str>,
    pub(crate) from: Arc<str>,
    /// The queue group for which this client was chosen.
    pub(crate) group: Option<Box<str>>,
    pub(crate) data: Bytes,
}

/// What the shell must know of.
#[derive(Debug)]
pub(crate) enum Event {
    /// The server has let this client in.
    Welcome { server: Box<str>, resumed: bool },
    /// The action is served from now on, with the server's word on it.
    Serving { action: Box<str> },
    /// The server refuses to have this action served by this client.
    ServeRefused { action: Box<str>, error: Error },
    /// No more deliveries of this action come.
    Unserved { action: Box<str> },
    /// A request to work on.
    Deliver(Delivery),
    /// Its caller has gone, or its time is up: stop, and still answer or release it.
    CancelDelivery(DeliveryId),
    /// Something was published that this client subscribes to.
    Topic(TopicEvent),
    /// Events for this client have not reached it.
    Missed(u64),
    /// The server knows of the subscription.
    Subscribed(Topic),
    /// The server refuses the subscription, or has ended it.
    SubscribeRefused { topic: Topic, error: Error },
    /// The server is about to leave: see PROTOCOL, Drain.
    Goaway { reason: Box<str>, after: Duration, elsewhere: Vec<Box<str>> },
}

/// Why the connection cannot go on.
#[derive(Debug)]
pub(crate) enum Broken {
    /// What came is not the protocol.
    Malformed(String),
    /// Nothing was heard for two heartbeats, or no welcome in time.
    Silent,
    /// The server said a fatal `error`.
    Fatal(Error),
    /// The server takes replies and never acknowledges them.
    Unacknowledged,
    /// This is another server than that of the session.
    Elsewhere,
}
