//! Beginning to serve an action, and ending it.

use super::handler::{Erase, Erased, Handler};
use super::services::Plan;
use crate::client::Client;
use crate::error::Error;
use answerback_protocol::limits::CREDIT_MAX;
use answerback_protocol::{Code, Name, Ran};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// 64 calls at once: handlers mostly wait for something else. One that only computes wants as many as there are processors.
const CONCURRENCY: u32 = 64;

/// How an action is to be served; awaiting it begins.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let service = client.serve("report.make", |year: u16| async move { answerback::Ok(year) }).concurrency(2).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is served before this is awaited"]
pub struct Serve {
    client: Client,
    action: Box<str>,
    handler: Arc<dyn Erased>,
    plan: Plan,
}

impl Serve {
    pub(crate) fn new<H: Handler<A>, A: 'static>(client: Client, action: &str, handler: H) -> Self {
        let plan = Plan { concurrency: CONCURRENCY, pace: None, cancel_grace: Duration::ZERO };
        Self { client, action: action.into(), handler: Arc::new(Erase::new(handler)), plan }
    }

    /// How many calls are worked on at once: the credit that the broker gets, 1 to 65,535. Default 64.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// client.serve("one.at.a.time", |n: u8| async move { answerback::Ok(n) }).concurrency(1).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn concurrency(mut self, calls: u32) -> Self {
        self.plan.concurrency = calls;
        self
    }

    /// The least time between the starts of two calls, for work that must not come too fast. Default none.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// use std::time::Duration;
    /// client.serve("mail.send", |to: String| async move { answerback::Ok(to) }).pace(Duration::from_millis(100)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn pace(mut self, between: Duration) -> Self {
        self.plan.pace = Some(between).filter(|pace| !pace.is_zero());
        self
    }

    /// How long a handler may go on after its call was cancelled, to clean up; it learns of it by [`Context::cancelled`](crate::Context::cancelled). Default: it is
    /// dropped at once, wherever it awaits.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// use std::time::Duration;
    /// client.serve("file.write", |name: String| async move { answerback::Ok(name) }).cancel_grace(Duration::from_secs(1)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.plan.cancel_grace = grace;
        self
    }

    async fn begin(self) -> Result<Service, Error> {
        let mistake = |message: &str| {
            Err(Error::new(Code::BadRequest, Ran::No, format!("{}: {message}", self.action.escape_debug())))
        };
        if Name::new(&*self.action).is_err() {
            return mistake("the name of an action is 1 to 255 bytes without control characters");
        }
        if !(1..=CREDIT_MAX).contains(&self.plan.concurrency) {
            return mistake("concurrency is 1 to 65535");
        }
        let number = self.client.shared().serve(&self.action, self.handler, self.plan).await?;
        Ok(Service { client: self.client, action: self.action, number })
    }
}

impl IntoFuture for Serve {
    type Output = Result<Service, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.begin())
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("action", &self.action).field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// An action that is served. It is served on when this is dropped.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let service = client.serve("echo", |data: answerback::Raw| async move { answerback::Ok(data) }).await?;
/// service.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Service {
    client: Client,
    action: Box<str>,
    /// An action may be served anew; this handle is of the service that it began.
    number: u64,
}

impl Service {
    /// The action.
    ///
    /// ```
    /// # fn example(service: answerback::Service) {
    /// println!("serving {}", service.action());
    /// # }
    /// ```
    pub fn action(&self) -> &str {
        &self.action
    }

    /// Takes no more calls of this action: done once the server knows. Calls that were started go on; those that were not are handed back.
    ///
    /// ```
    /// # async fn example(service: answerback::Service) {
    /// service.stop().await;
    /// # }
    /// ```
    pub async fn stop(self) {
        self.client.shared().unserve(&self.action, self.number).await;
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("action", &self.action).finish_non_exhaustive()
    }
}
