//! A question that was asked: it waits for its end, and who drops it cancels it.

use super::{Options, Waiter};
use crate::client::Client;
use crate::error::Error;
use crate::session::Ending;
use answerback_protocol::{Code, Ran, RequestId};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// A question that is asked when it is first polled.
#[derive(Debug)]
pub(crate) struct Asked {
    client: Client,
    stage: Stage,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "moving it once costs less than an allocation for each call")]
enum Stage {
    Unasked(Options),
    Waiting(Waiting),
    Over,
}

/// Waits for the end.
#[derive(Debug)]
struct Waiting {
    id: Option<RequestId>,
    end: oneshot::Receiver<Ending>,
}

impl Asked {
    pub(crate) fn new(client: Client, options: Options) -> Self {
        Self { client, stage: Stage::Unasked(options) }
    }

    /// Asks with a waiter of one's own, and waits.
    pub(crate) fn with(
        client: Client,
        options: Options,
        waiter: Waiter,
        end: oneshot::Receiver<Ending>,
    ) -> Result<Self, Error> {
        let ask = options.into_ask(&client.shared().settings)?;
        let id = client.shared().ask(ask, waiter);
        Ok(Self { client, stage: Stage::Waiting(Waiting { id, end }) })
    }

    pub(crate) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<Ending, Error>> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Unasked(options) => {
                    let ask = match options.into_ask(&self.client.shared().settings) {
                        Ok(ask) => ask,
                        Err(error) => return Poll::Ready(Err(error)),
                    };
                    let (waiter, end) = Waiter::one();
                    let id = self.client.shared().ask(ask, waiter);
                    self.stage = Stage::Waiting(Waiting { id, end });
                }
                Stage::Waiting(mut waiting) => match Pin::new(&mut waiting.end).poll(context) {
                    Poll::Ready(ending) => return Poll::Ready(ending.map_err(|_| dropped())),
                    Poll::Pending => {
                        self.stage = Stage::Waiting(waiting);
                        return Poll::Pending;
                    }
                },
                Stage::Over => return Poll::Ready(Err(dropped())),
            }
        }
    }

    /// Whether its end was seen.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Stage::Waiting(Waiting { id: Some(id), .. }) = &self.stage {
            self.client.shared().cancel(*id);
        }
    }
}

/// The session has let go of who waits: its answers were not read, or it is over.
fn dropped() -> Error {
    let message = "answers came faster than they were read, and the call was cancelled: read them faster";
    Error::new(Code::Cancelled, Ran::Maybe, message)
}
