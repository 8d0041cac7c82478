//! A call: one question, one answer.

use super::asked::Asked;
use super::options::Options;
use super::parts::Parts;
use crate::client::Client;
use crate::error::Error;
use crate::raw::decode_answer;
use crate::session::Info;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

macro_rules! says_when_and_how {
    ($kind:literal, $make:expr) => {
        /// The longest it may wait in the queue for a handler; zero fails at once unless one is free. Default: as long as the timeout allows.
        ///
        /// ```
        /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
        /// # use std::time::Duration;
        #[doc = concat!($make, ".ttl(Duration::from_millis(200)).await?;")]
        /// # Ok(())
        /// # }
        /// ```
        pub fn ttl(mut self, ttl: Duration) -> Self {
            self.options.ttl = Some(ttl);
            self
        }

        #[doc = concat!("The whole ", $kind, ", queue and work; what is left of it travels to the handler.")]
        ///
        /// ```
        /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
        /// # use std::time::Duration;
        #[doc = concat!($make, ".timeout(Duration::from_secs(2)).await?;")]
        /// # Ok(())
        /// # }
        /// ```
        pub fn timeout(mut self, timeout: Duration) -> Self {
            self.options.timeout = Some(timeout);
            self
        }

        /// W3C `traceparent`, passed to the handler untouched.
        ///
        /// ```
        /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
        #[doc = concat!($make, ".trace(\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\").await?;")]
        /// # Ok(())
        /// # }
        /// ```
        pub fn trace(mut self, traceparent: impl Into<String>) -> Self {
            self.options.trace = Some(traceparent.into().into());
            self
        }
    };
}

macro_rules! says_how_often {
    ($make:expr, $default:literal) => {
        #[doc = concat!("How many handlers may be given it, one after another, if the one that has it is lost: 1 to 1,000. Default ", $default, ".")]
        /// A server that has lost this client's session, because it was started again, counts as one, however many it had asked.
        ///
        /// ```
        /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
        #[doc = concat!($make, ".attempts(3).await?;")]
        /// # Ok(())
        /// # }
        /// ```
        pub fn attempts(mut self, handlers: u32) -> Self {
            self.options.attempts = Some(handlers);
            self
        }

        /// On disk before the broker accepts it. A server without a store refuses it as `unavailable`.
        ///
        /// ```
        /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
        #[doc = concat!($make, ".durable().await?;")]
        /// # Ok(())
        /// # }
        /// ```
        pub fn durable(mut self) -> Self {
            self.options.durable = true;
            self
        }

        /// Idempotency key: while it runs, a second one with the same key and data joins the first; later it gets the stored answer. Other data under the same
        /// key is a `conflict`.
        ///
        /// ```
        /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
        #[doc = concat!($make, ".key(\"order-1815\").await?;")]
        /// # Ok(())
        /// # }
        /// ```
        pub fn key(mut self, key: impl Into<String>) -> Self {
            self.options.key = Some(key.into().into());
            self
        }
    };
}

pub(super) use {says_how_often, says_when_and_how};

/// A call that is about to be made: awaiting it makes it, and dropping the future cancels it.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// use std::time::Duration;
///
/// let name: String = client.call("user.name", 7).ttl(Duration::from_millis(500)).attempts(2).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a call is made when it is awaited"]
pub struct Call<O> {
    client: Client,
    options: Options,
    output: PhantomData<fn() -> O>,
}

impl<O> Call<O> {
    pub(crate) fn new(client: Client, options: Options) -> Self {
        Self { client, options, output: PhantomData }
    }

    pub(crate) fn inherit(mut self, deadline: Instant, trace: Option<&str>) -> Self {
        self.options.inherit(Some(deadline), trace);
        self
    }

    says_when_and_how!("call", "let sum: i64 = client.call(\"math.sum\", (2, 3))");
    says_how_often!("let sum: i64 = client.call(\"math.sum\", (2, 3))", "1: at most once");

    /// Asks where the time went, too.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// let answer = client.call::<i64>("math.sum", (2, 3)).with_info().await?;
    /// println!("{} after {:?} in the queue", answer.value, answer.info.queued);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_info(mut self) -> CallWithInfo<O> {
        self.options.info = true;
        CallWithInfo(self)
    }

    /// For handlers that answer in several parts: each as it comes, the last one included.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// let mut numbers = client.call::<u32>("count.to", 3).stream();
    /// while let Some(number) = numbers.next().await {
    ///     println!("{}", number?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(self) -> Parts<O> {
        Parts::new(self.client, self.options)
    }
}

impl<O: DeserializeOwned + 'static> IntoFuture for Call<O> {
    type Output = Result<O, Error>;
    type IntoFuture = CallFuture<O>;

    fn into_future(self) -> CallFuture<O> {
        CallFuture { asked: Asked::new(self.client, self.options), output: PhantomData }
    }
}

impl<O> fmt::Debug for Call<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

/// A call that is being made; dropping it cancels the call, at the broker and at the handler.
///
/// ```
/// # async fn example(client: answerback::Client) {
/// use std::time::Duration;
///
/// let call = client.call::<u32>("slow", 1).into_future();
/// if tokio::time::timeout(Duration::from_millis(50), call).await.is_err() {
///     println!("the call was dropped, and with it the work");
/// }
/// # }
/// ```
#[must_use = "a call is made when it is awaited"]
pub struct CallFuture<O> {
    asked: Asked,
    output: PhantomData<fn() -> O>,
}

impl<O: DeserializeOwned + 'static> Future for CallFuture<O> {
    type Output = Result<O, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.asked.poll_end(context).map(|ending| decode_answer(ending?.result?))
    }
}

impl<O> fmt::Debug for CallFuture<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFuture").finish_non_exhaustive()
    }
}

/// A call whose answer says where the time went.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let call: answerback::CallWithInfo<i64> = client.call("math.sum", (2, 3)).with_info();
/// println!("{:?}", call.await?.info);
/// # Ok(())
/// # }
/// ```
#[must_use = "a call is made when it is awaited"]
#[derive(Debug)]
pub struct CallWithInfo<O>(Call<O>);

/// An answer, and where the time went.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let answer = client.call::<i64>("math.sum", (2, 3)).with_info().await?;
/// println!("{}, worked on for {:?} by {:?}", answer.value, answer.info.ran, answer.info.by);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer<O> {
    /// What the handler answered.
    pub value: O,
    /// Where the time went, as the broker measured it.
    pub info: Info,
}

impl<O: DeserializeOwned + 'static> IntoFuture for CallWithInfo<O> {
    type Output = Result<Answer<O>, Error>;
    type IntoFuture = InfoFuture<O>;

    fn into_future(self) -> InfoFuture<O> {
        InfoFuture(self.0.into_future())
    }
}

/// A call that is being made and asks where the time went.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let call = client.call::<i64>("math.sum", (2, 3)).with_info().into_future();
/// println!("{}", tokio::spawn(call).await.expect("it does not panic")?.value);
/// # Ok(())
/// # }
/// ```
#[must_use = "a call is made when it is awaited"]
#[derive(Debug)]
pub struct InfoFuture<O>(CallFuture<O>);

impl<O: DeserializeOwned + 'static> Future for InfoFuture<O> {
    type Output = Result<Answer<O>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.asked.poll_end(context).map(|ending| {
            let ending = ending?;
            let nothing_said = Info { queued: Duration::ZERO, ran: None, by: None };
            let info = ending.info.map_or(nothing_said, |info| *info);
            Ok(Answer { value: decode_answer(ending.result?)?, info })
        })
    }
}
