//! The one error type: why a call has no result, or why there is no connection.

use crate::fault::Fault;
use crate::obstacle::Obstacle;
use answerback_protocol::{Code, Ran};
use std::fmt;
use std::time::Duration;

/// Why something has no result, whether its work ran, and what to do.
///
/// Its text is one line for people: what happened, what to do next, the code, and whether the work ran.
///
/// ```
/// # use answerback::{Client, Code, Error};
/// # async fn example(client: &Client) -> Result<(), Error> {
/// match client.call::<u32>("stock.take", "bolt").await {
///     Ok(left) => println!("{left} left"),
///     Err(error) if error.fault().is_some_and(|fault| fault.code() == "out_of_stock") => println!("none left"),
///     Err(error) if error.is_safe_to_retry() => println!("later: {error}"),
///     Err(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Error(Box<Inside>);

#[derive(Clone)]
struct Inside {
    code: Code,
    message: Box<str>,
    ran: Ran,
    attempts: u32,
    retry_after: Option<Duration>,
    fault: Option<Fault>,
    obstacle: Option<Obstacle>,
}

impl Error {
    /// An error made here, not by the broker.
    pub(crate) fn new(code: Code, ran: Ran, message: impl Into<String>) -> Self {
        let message = message.into().into();
        Self(Box::new(Inside { code, message, ran, attempts: 0, retry_after: None, fault: None, obstacle: None }))
    }

    /// What the broker said.
    pub(crate) fn received(error: &answerback_protocol::frames::CallError<'_>, data: bytes::Bytes) -> Self {
        let fault = error.fault.as_ref();
        Self(Box::new(Inside {
            code: error.code,
            message: error.message.as_str().into(),
            ran: error.ran,
            attempts: error.attempts,
            retry_after: error.retry_after.map(Duration::from_millis),
            fault: fault.map(|fault| Fault::received(&fault.code, &fault.message, fault.retryable, data)),
            obstacle: None,
        }))
    }

    /// A handler's answer that is not what its caller expects. The work ran.
    pub(crate) fn undecodable(error: &serde_json::Error) -> Self {
        Self::new(Code::BadRequest, Ran::Yes, format!("the answer is not of the type that was asked for: {error}"))
    }

    /// Data that its owner's type cannot say as JSON.
    pub(crate) fn unencodable(error: &serde_json::Error) -> Self {
        Self::new(Code::BadRequest, Ran::No, format!("the data of this call cannot be JSON: {error}"))
    }

    #[must_use]
    pub(crate) fn with_ran(mut self, ran: Ran) -> Self {
        self.0.ran = ran;
        self
    }

    #[must_use]
    pub(crate) fn with_obstacle(mut self, obstacle: Obstacle) -> Self {
        self.0.obstacle = Some(obstacle);
        self
    }

    /// What happened, in one word.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// if let Err(error) = client.call::<u32>("stock.take", "bolt").await {
    ///     println!("{}", error.code() == answerback::Code::NoHandler);
    /// }
    /// # }
    /// ```
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What happened and what to do, for people, without code and `ran`.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// if let Err(error) = client.call::<u32>("stock.take", "bolt").await {
    ///     eprintln!("{}", error.message());
    /// }
    /// # }
    /// ```
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the work ran: [`Ran::No`] is a promise.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// if let Err(error) = client.call::<u32>("stock.take", "bolt").await {
    ///     println!("{}", error.ran() == answerback::Ran::No);
    /// }
    /// # }
    /// ```
    pub fn ran(&self) -> Ran {
        self.0.ran
    }

    /// How many handlers had been given it.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// if let Err(error) = client.call::<u32>("stock.take", "bolt").await {
    ///     println!("{} handlers had it", error.attempts());
    /// }
    /// # }
    /// ```
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// When a new try makes sense, if the broker said so.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// if let Err(error) = client.call::<u32>("stock.take", "bolt").await {
    ///     if let Some(pause) = error.retry_after() {
    ///         println!("again in {pause:?}");
    ///     }
    /// }
    /// # }
    /// ```
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The handler's own error, if that is what happened.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// if let Err(error) = client.call::<u32>("stock.take", "bolt").await {
    ///     println!("{}", error.fault().map_or("not the handler's", |fault| fault.code()));
    /// }
    /// # }
    /// ```
    pub fn fault(&self) -> Option<&Fault> {
        self.0.fault.as_ref()
    }

    /// Why there is no connection, if that is what happened and it is known.
    ///
    /// ```
    /// # async fn example() {
    /// if let Err(error) = answerback::connect("127.0.0.1:7040").await {
    ///     println!("{}", error.obstacle() == Some(answerback::Obstacle::Unreachable));
    /// }
    /// # }
    /// ```
    pub fn obstacle(&self) -> Option<Obstacle> {
        self.0.obstacle
    }

    /// Whether the same call may be made again: its work certainly did not run, or its handler said that it may succeed later; and it
    /// is not an error that would only come again.
    ///
    /// ```
    /// # async fn example(client: answerback::Client) {
    /// if let Err(error) = client.call::<u32>("stock.take", "bolt").await {
    ///     println!("{}", if error.is_safe_to_retry() { "again" } else { "not again" });
    /// }
    /// # }
    /// ```
    pub fn is_safe_to_retry(&self) -> bool {
        let in_vain = matches!(
            self.code(),
            Code::Denied | Code::BadRequest | Code::TooLarge | Code::Conflict | Code::VersionMismatch
        );
        let told_so = self.fault().is_some_and(Fault::is_retryable);
        told_so || self.ran() == Ran::No && !in_vain
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault() {
            Some(fault) => fault.fmt(f)?,
            None => f.write_str(self.message())?,
        }
        write!(f, " ({}, ran: {})", self.code(), self.ran())
    }
}

/// The same line: it is what people see when `main` returns an error, and when a test unwraps one.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_says_what_happened_and_whether_the_work_ran() {
        let error = Error::new(Code::Expired, Ran::No, "its ttl ended in the queue: raise ttl");
        assert_eq!(error.to_string(), "its ttl ended in the queue: raise ttl (expired, ran: no)");
    }

    #[test]
    fn safe_to_retry_is_what_did_not_run_and_may_succeed() {
        let rows = [
            (Code::NoHandler, Ran::No, true),
            (Code::Overloaded, Ran::No, true),
            (Code::Timeout, Ran::No, true),
            (Code::Timeout, Ran::Maybe, false),
            (Code::HandlerLost, Ran::Maybe, false),
            (Code::Conflict, Ran::No, false),
            (Code::Denied, Ran::No, false),
            (Code::BadRequest, Ran::No, false),
        ];
        for (code, ran, safe) in rows {
            assert_eq!(Error::new(code, ran, "").is_safe_to_retry(), safe, "{code} {ran}");
        }
    }
}
