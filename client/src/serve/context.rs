//! What a handler may know of the call it works on, and what it may do meanwhile.

use super::control::Control;
use crate::ask::{Broadcast, Call, Send};
use crate::client::Client;
use crate::error::Error;
use crate::link::LinkNumber;
use crate::raw::encode;
use crate::session::{Delivery, Verdict};
use answerback_protocol::{Code, DeliveryId, Ran};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The call that a handler works on: who asked, how long it may take, and whether anybody still waits.
///
/// Calls made through it inherit deadline and trace; they are cancelled when the handler is dropped.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// use answerback::{Context, Fault};
///
/// client
///     .serve("order.place", |ctx: Context, item: u32| async move {
///         let price: u64 = ctx.call("price.of", item).await?;
///         Ok::<_, Fault>(price * 2)
///     })
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    link: LinkNumber,
    id: DeliveryId,
    action: Box<str>,
    caller: Box<str>,
    deadline: Instant,
    attempt: u32,
    trace: Option<Box<str>>,
    control: Arc<Control>,
}

impl Context {
    pub(super) fn new(client: Client, link: LinkNumber, delivery: Delivery, control: Arc<Control>) -> Self {
        let Delivery { id, action, from: caller, deadline, attempt, trace, data: _ } = delivery;
        let deadline = deadline.into();
        Self { inner: Arc::new(Inner { client, link, id, action, caller, deadline, attempt, trace, control }) }
    }

    /// The action that was called.
    ///
    /// ```
    /// # fn example(ctx: answerback::Context) {
    /// println!("{} was called", ctx.action());
    /// # }
    /// ```
    pub fn action(&self) -> &str {
        &self.inner.action
    }

    /// The name of the client that called.
    ///
    /// ```
    /// # fn example(ctx: answerback::Context) {
    /// println!("{} asks", ctx.caller());
    /// # }
    /// ```
    pub fn caller(&self) -> &str {
        &self.inner.caller
    }

    /// When the call's time is up.
    ///
    /// ```
    /// # fn example(ctx: answerback::Context) {
    /// let deadline: tokio::time::Instant = ctx.deadline();
    /// # }
    /// ```
    pub fn deadline(&self) -> Instant {
        self.inner.deadline
    }

    /// How much of the call's time is left.
    ///
    /// ```
    /// # fn example(ctx: answerback::Context) {
    /// if ctx.left() < std::time::Duration::from_millis(50) {
    ///     println!("there is no time for the long way");
    /// }
    /// # }
    /// ```
    pub fn left(&self) -> Duration {
        self.inner.deadline.saturating_duration_since(Instant::now())
    }

    /// The how-manieth handler this is that was given the call, from 1.
    ///
    /// ```
    /// # fn example(ctx: answerback::Context) {
    /// assert_eq!(ctx.attempt(), 1);
    /// # }
    /// ```
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// The W3C `traceparent` of the call, if its caller gave one.
    ///
    /// ```
    /// # fn example(ctx: answerback::Context) {
    /// println!("{}", ctx.trace().unwrap_or("not traced"));
    /// # }
    /// ```
    pub fn trace(&self) -> Option<&str> {
        self.inner.trace.as_deref()
    }

    /// Whether nobody waits for the answer any more.
    ///
    /// ```
    /// # fn example(ctx: answerback::Context) {
    /// assert!(!ctx.is_cancelled());
    /// # }
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.inner.control.is_stopped()
    }

    /// Waits until nobody waits for the answer any more. A handler is dropped then, unless its service has a [grace](crate::Serve::cancel_grace).
    ///
    /// ```
    /// # async fn example(ctx: answerback::Context) {
    /// tokio::select! {
    ///     () = ctx.cancelled() => println!("cleaning up"),
    ///     () = std::future::pending() => {}
    /// }
    /// # }
    /// ```
    pub async fn cancelled(&self) {
        self.inner.control.stopped().await;
    }

    /// The client that serves, for what the call has nothing to do with.
    ///
    /// ```
    /// # fn example(ctx: answerback::Context) {
    /// println!("served by {}", ctx.client().name());
    /// # }
    /// ```
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// Calls another action within the time of this call, and with its trace.
    ///
    /// ```
    /// # async fn example(ctx: answerback::Context) -> Result<(), answerback::Error> {
    /// let name: String = ctx.call("user.name", 7).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn call<O>(&self, action: &str, input: impl Serialize) -> Call<O> {
        self.inner.client.call(action, input).inherit(self.inner.deadline, self.trace())
    }

    /// Hands work over, with the trace of this call. It is not bound to this call's time, since nobody waits for it.
    ///
    /// ```
    /// # async fn example(ctx: answerback::Context) -> Result<(), answerback::Error> {
    /// ctx.send("mail.send", "ada@example.org").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(&self, action: &str, input: impl Serialize) -> Send {
        self.inner.client.send(action, input).inherit(self.trace())
    }

    /// Calls every handler of another action within the time of this call, and with its trace.
    ///
    /// ```
    /// # async fn example(ctx: answerback::Context) -> Result<(), answerback::Error> {
    /// ctx.broadcast::<()>("cache.clear", "users").gather().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn broadcast<O>(&self, action: &str, input: impl Serialize) -> Broadcast<O> {
        self.inner.client.broadcast(action, input).inherit(self.inner.deadline, self.trace())
    }

    /// Answers in part: the caller's [stream](crate::Call::stream) gets it at once. What the handler returns is the last answer. Waits while the server
    /// is behind in taking answers.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// use answerback::{Context, Fault};
    ///
    /// client
    ///     .serve("count.to", |ctx: Context, last: u32| async move {
    ///         for number in 1..last {
    ///             ctx.part(number).await?;
    ///         }
    ///         Ok::<_, Fault>(last)
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn part(&self, value: impl Serialize) -> Result<(), Error> {
        let data = encode(&value).map_err(|error| Error::unencodable(&error))?;
        let Inner { client, link, id, .. } = &*self.inner;
        let shared = client.shared();
        let gone = || Error::new(Code::Cancelled, Ran::Maybe, "this call was answered or given up already");
        let mut data = Some(data);
        let given = shared.bell.until(|| {
            let mut inside = shared.lock();
            let Some(link) = inside.link(*link) else { return Some(false) };
            if !link.session.has_room_for_parts() {
                return None;
            }
            link.rouse();
            Some(data.take().is_some_and(|data| link.session.answer(*id, Verdict::Part(data))))
        });
        if given.await { Ok(()) } else { Err(gone()) }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { action, caller, attempt, .. } = &*self.inner;
        let mut shown = f.debug_struct("Context");
        shown.field("action", action).field("caller", caller).field("attempt", attempt).finish_non_exhaustive()
    }
}
