//! A send: work is handed over, and nobody waits for its end.

use super::asked::Asked;
use super::call::{says_how_often, says_when_and_how};
use super::options::Options;
use crate::client::Client;
use crate::error::Error;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Work that is about to be handed over; awaiting it does so, and is done once the broker has accepted it.
///
/// Without a timeout the broker keeps it for as long as its own setting says (24 h by default).
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// client.send("mail.send", "ada@example.org").key("welcome-ada").await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent before this is awaited"]
pub struct Send {
    client: Client,
    options: Options,
}

impl Send {
    pub(crate) fn new(client: Client, mut options: Options) -> Self {
        options.is_send = true;
        Self { client, options }
    }

    pub(crate) fn inherit(mut self, trace: Option<&str>) -> Self {
        self.options.inherit(None, trace);
        self
    }

    says_when_and_how!("send", "client.send(\"mail.send\", \"ada@example.org\")");
    says_how_often!("client.send(\"mail.send\", \"ada@example.org\")", "3");
}

impl IntoFuture for Send {
    type Output = Result<(), Error>;
    type IntoFuture = SendFuture;

    fn into_future(self) -> SendFuture {
        SendFuture(Asked::new(self.client, self.options))
    }
}

impl fmt::Debug for Send {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Send").finish_non_exhaustive()
    }
}

/// Work that is being handed over.
///
/// ```
/// # async fn example(client: answerback::Client) -> Result<(), answerback::Error> {
/// let handing_over = client.send("mail.send", "ada@example.org").into_future();
/// tokio::spawn(handing_over).await.expect("it does not panic")
/// # }
/// ```
#[must_use = "nothing is sent before this is awaited"]
#[derive(Debug)]
pub struct SendFuture(Asked);

impl Future for SendFuture {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_end(context).map(|ending| ending?.result.map(drop))
    }
}
