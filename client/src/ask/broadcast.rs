//! A broadcast: one question to every handler of an action, and all their answers.

use super::call::says_when_and_how;
use super::options::Options;
use super::parts::{Coming, Next};
use crate::client::Client;
use crate::error::Error;
use crate::raw::decode_answer;
use crate::session::{Counts, Ending, Part};
use answerback_protocol::{Code, Ran};
use futures_core::Stream;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// A question to every handler that serves the action now. Awaiting it [gathers](Self::gather) the answers.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let gathered = client.broadcast::<u64>("cache.size", ()).await?;
/// let sizes: Vec<u64> = gathered.replies.iter().filter_map(|reply| reply.result.as_ref().ok()).copied().collect();
/// println!("{sizes:?}, and {} did not answer", gathered.counts.lost);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is asked before this is awaited"]
pub struct Broadcast<O> {
    client: Client,
    options: Options,
    output: PhantomData<fn() -> O>,
}

/// One handler's answer to a broadcast.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// for reply in client.broadcast::<u64>("cache.size", ()).gather().await?.replies {
///     println!("{}: {:?}", reply.from, reply.result);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Tagged<O> {
    /// The name of the handler's client.
    pub from: String,
    /// Its answer, or its fault.
    pub result: Result<O, Error>,
}

/// All answers to a broadcast.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let gathered = client.broadcast::<()>("cache.clear", ()).gather().await?;
/// assert_eq!(gathered.counts.answered as usize, gathered.replies.iter().filter(|reply| reply.result.is_ok()).count());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Gathered<O> {
    /// Each as it came.
    pub replies: Vec<Tagged<O>>,
    /// How many there should have been, and what became of them.
    pub counts: Counts,
}

impl<O> Broadcast<O> {
    pub(crate) fn new(client: Client, mut options: Options) -> Self {
        options.broadcast = true;
        Self { client, options, output: PhantomData }
    }

    pub(crate) fn inherit(mut self, deadline: Instant, trace: Option<&str>) -> Self {
        self.options.inherit(Some(deadline), trace);
        self
    }

    says_when_and_how!("broadcast", "let gathered = client.broadcast::<u64>(\"cache.size\", ())");

    /// Each answer as it comes; the counts after the last.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// let mut replies = client.broadcast::<u64>("cache.size", ()).stream();
    /// while let Some(reply) = replies.next().await {
    ///     let reply = reply?;
    ///     println!("{}: {:?}", reply.from, reply.result);
    /// }
    /// println!("{:?}", replies.counts());
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(self) -> Replies<O> {
        Replies { coming: Coming::new(self.client, self.options), counts: None, output: PhantomData }
    }
}

impl<O: DeserializeOwned + 'static> Broadcast<O> {
    /// All answers, once every handler has answered or the time is up. Fails if the action has no handler at all.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// let gathered = client.broadcast::<u64>("cache.size", ()).gather().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn gather(self) -> Result<Gathered<O>, Error> {
        let mut coming = self.stream();
        let mut replies = Vec::new();
        while let Some(reply) = coming.next().await {
            replies.push(reply?);
        }
        Ok(Gathered { replies, counts: coming.counts().unwrap_or_default() })
    }

    /// The first answer that is not an error; the others are cancelled. If none comes, the last error.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// let nearest: String = client.broadcast("node.where", ()).first().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn first(self) -> Result<O, Error> {
        let mut coming = self.stream();
        let mut why = Error::new(Code::Timeout, Ran::Maybe, "no handler answered in time");
        while let Some(reply) = coming.next().await {
            match reply?.result {
                Ok(value) => return Ok(value),
                Err(error) => why = error,
            }
        }
        Err(why)
    }
}

impl<O: DeserializeOwned + Send + 'static> IntoFuture for Broadcast<O> {
    type Output = Result<Gathered<O>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.gather())
    }
}

impl<O> fmt::Debug for Broadcast<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast").finish_non_exhaustive()
    }
}

/// The answers to a broadcast as they come. An error ends it. Dropping it cancels what has not answered.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let mut replies = client.broadcast::<u64>("cache.size", ()).stream();
/// let first = replies.next().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is asked before the stream is read"]
pub struct Replies<O> {
    coming: Coming,
    counts: Option<Counts>,
    output: PhantomData<fn() -> O>,
}

impl<O> Replies<O> {
    /// How it ended, once the last answer was read.
    ///
    /// ```
    /// # fn example(replies: answerback::Replies<u64>) {
    /// assert!(replies.counts().is_none(), "nothing was read yet");
    /// # }
    /// ```
    pub fn counts(&self) -> Option<Counts> {
        self.counts
    }
}

impl<O: DeserializeOwned + 'static> Replies<O> {
    /// The next answer; nothing after the last. An error means that the broadcast itself failed.
    ///
    /// ```
    /// # async fn example(mut replies: answerback::Replies<u64>) {
    /// while let Some(Ok(reply)) = replies.next().await {
    ///     println!("{}", reply.from);
    /// }
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Result<Tagged<O>, Error>> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Tagged<O>, Error>>> {
        self.coming.poll_next(context).map(|next| match next {
            Next::Part(Part { from, result }) => {
                let from = from.map(String::from).unwrap_or_default();
                Some(Ok(Tagged { from, result: result.and_then(decode_answer) }))
            }
            Next::End(Ok(Ending { result: Ok(_), counts, .. })) => {
                self.counts = Some(counts.unwrap_or_default());
                None
            }
            Next::End(Ok(Ending { result: Err(error), .. }) | Err(error)) => Some(Err(error)),
            Next::Nothing => None,
        })
    }
}

impl<O: DeserializeOwned + 'static> Stream for Replies<O> {
    type Item = Result<Tagged<O>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl<O> fmt::Debug for Replies<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").field("counts", &self.counts).finish_non_exhaustive()
    }
}
