//! Several answers to one question, as a stream.

use super::asked::Asked;
use super::options::Options;
use super::waiter::{PartsOut, Waiter};
use crate::client::Client;
use crate::error::Error;
use crate::raw::decode_answer;
use crate::session::{Ending, Part};
use futures_core::Stream;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Parts as they come, and then the end. Asked when it is first polled; dropping it cancels.
pub(super) struct Coming {
    stage: Stage,
}

#[allow(clippy::large_enum_variant, reason = "there is one for each stream, not for each part")]
enum Stage {
    Unasked(Client, Options),
    Coming { asked: Asked, parts: PartsOut },
    Over,
}

/// What comes next.
pub(super) enum Next {
    Part(Part),
    /// The last answer; nothing comes after it.
    End(Result<Ending, Error>),
    Nothing,
}

impl Coming {
    pub(super) fn new(client: Client, options: Options) -> Self {
        Self { stage: Stage::Unasked(client, options) }
    }

    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Unasked(client, options) => {
                    let (waiter, parts, end) = Waiter::many();
                    match Asked::with(client, options, waiter, end) {
                        Ok(asked) => self.stage = Stage::Coming { asked, parts },
                        Err(error) => return Poll::Ready(Next::End(Err(error))),
                    }
                }
                Stage::Coming { mut asked, mut parts } => {
                    let next = match parts.poll_next(context) {
                        Poll::Ready(Some(part)) => Poll::Ready(Next::Part(part)),
                        // The sender of parts goes with the call: all are read.
                        Poll::Ready(None) => asked.poll_end(context).map(Next::End),
                        Poll::Pending => Poll::Pending,
                    };
                    if !asked.is_over() {
                        self.stage = Stage::Coming { asked, parts };
                    }
                    return next;
                }
                Stage::Over => return Poll::Ready(Next::Nothing),
            }
        }
    }
}

/// The parts of an answer, each as it comes; the last one is what the handler returned. An error ends it. Dropping it cancels the call.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let mut lines = client.call::<String>("file.read", "notes").stream();
/// while let Some(line) = lines.next().await {
///     println!("{}", line?);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a call is made when its stream is read"]
pub struct Parts<O> {
    coming: Coming,
    output: PhantomData<fn() -> O>,
}

impl<O> Parts<O> {
    pub(super) fn new(client: Client, options: Options) -> Self {
        Self { coming: Coming::new(client, options), output: PhantomData }
    }
}

impl<O: DeserializeOwned + 'static> Parts<O> {
    /// The next part; nothing after the last.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
    /// let mut numbers = client.call::<u32>("count.to", 3).stream();
    /// let first = numbers.next().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Result<O, Error>> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<O, Error>>> {
        self.coming.poll_next(context).map(|next| match next {
            Next::Part(part) => Some(part.result.and_then(decode_answer)),
            Next::End(ending) => Some(ending.and_then(|ending| ending.result).and_then(decode_answer)),
            Next::Nothing => None,
        })
    }
}

impl<O: DeserializeOwned + 'static> Stream for Parts<O> {
    type Item = Result<O, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl<O> fmt::Debug for Parts<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}
