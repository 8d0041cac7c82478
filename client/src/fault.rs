//! A handler's own error: what it says when it cannot do what was asked, and what its caller sees of it.

use answerback_protocol::limits::{FAULT_CODE_BYTES_MAX, MESSAGE_BYTES_MAX};
use answerback_protocol::names::is_sound;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// The error of a handler: a code of its own, a text for people, details if it likes, and whether the same call may
/// succeed later.
///
/// Errors become faults through [`From`], so `?` works on them in a handler that returns `Result<_, Fault>`: those of the standard library, of serde_json, of tokio and of
/// calls, texts, and boxed errors (`anyhow` with that feature). On any other error `.map_err(|error| Fault::of(&error))?` does, or a handler that returns
/// `Result<_, Box<dyn Error + Send + Sync>>`. An error type of one's own says once what fault it is, and a handler may return it:
///
/// ```
/// use answerback::Fault;
///
/// enum OrderError { OutOfStock { item: u32 } }
///
/// impl From<OrderError> for Fault {
///     fn from(error: OrderError) -> Fault {
///         match error {
///             OrderError::OutOfStock { item } => {
///                 Fault::new("out_of_stock", "none left").retryable().with_data(&item)
///             }
///         }
///     }
/// }
///
/// let fault = Fault::from(OrderError::OutOfStock { item: 7 });
/// assert_eq!(fault.code(), "out_of_stock");
/// assert_eq!(fault.data::<u32>()?, 7);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Fault {
    code: Box<str>,
    message: Box<str>,
    retryable: bool,
    data: Bytes,
}

/// The code of a fault that was made of an error without a code of its own.
const PLAIN_CODE: &str = "error";

impl Fault {
    /// A fault with this code, for programs, and this message, for people.
    ///
    /// A code is 1 to 255 bytes without control characters; anything else is taken as `error`. A message is cut at 1,024 bytes
    /// on its way.
    ///
    /// ```
    /// let fault = answerback::Fault::new("not_found", "no user has this id");
    /// assert_eq!(fault.to_string(), "not_found: no user has this id");
    /// ```
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        let (code, mut message): (String, String) = (code.into(), message.into());
        let code = if is_sound(&code, FAULT_CODE_BYTES_MAX) { code } else { PLAIN_CODE.to_owned() };
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        Self { code: code.into(), message: message.into(), retryable: false, data: Bytes::new() }
    }

    /// A fault of any error: its text, and the texts of what caused it.
    ///
    /// ```
    /// let error = "x".parse::<u8>().unwrap_err();
    /// assert_eq!(answerback::Fault::of(&error).message(), "invalid digit found in string");
    /// ```
    pub fn of(error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self::new(PLAIN_CODE, message)
    }

    /// Says that the same call may succeed later.
    ///
    /// ```
    /// assert!(answerback::Fault::new("busy", "ask again in a minute").retryable().is_retryable());
    /// ```
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Adds details, which travel as JSON. Details that cannot be JSON are left out.
    ///
    /// ```
    /// let fault = answerback::Fault::new("too_many", "the cart is full").with_data(&[1, 2, 3]);
    /// assert_eq!(fault.data::<Vec<u8>>()?, [1, 2, 3]);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn with_data(mut self, data: &impl Serialize) -> Self {
        self.data = serde_json::to_vec(data).map(Bytes::from).unwrap_or_default();
        self
    }

    /// The handler's code.
    ///
    /// ```
    /// assert_eq!(answerback::Fault::new("busy", "").code(), "busy");
    /// ```
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The handler's text for people.
    ///
    /// ```
    /// assert_eq!(answerback::Fault::new("busy", "ask again").message(), "ask again");
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the handler says that the same call may succeed later.
    ///
    /// ```
    /// assert!(!answerback::Fault::new("not_found", "").is_retryable());
    /// ```
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// The handler's details, as the type that they are.
    ///
    /// ```
    /// let fault = answerback::Fault::new("limit", "too long").with_data(&140);
    /// assert_eq!(fault.data::<u32>()?, 140);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.raw_data())
    }

    /// The handler's details as they travelled: JSON, `null` if there are none.
    ///
    /// ```
    /// assert_eq!(answerback::Fault::new("busy", "").raw_data(), b"null");
    /// ```
    pub fn raw_data(&self) -> &[u8] {
        if self.data.is_empty() { b"null" } else { &self.data }
    }

    /// As it came over the wire.
    pub(crate) fn received(code: &str, message: &str, retryable: bool, data: Bytes) -> Self {
        Self { code: code.into(), message: message.into(), retryable, data }
    }

    /// Its details, as bytes to send; empty if there are none.
    pub(crate) fn into_data(self) -> Bytes {
        self.data
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() { f.write_str(&self.code) } else { write!(f, "{}: {}", self.code, self.message) }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Fault");
        shown.field("code", &self.code).field("message", &self.message).field("retryable", &self.retryable);
        shown.field("data_bytes", &self.data.len()).finish()
    }
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::new(PLAIN_CODE, message)
    }
}

impl From<&str> for Fault {
    fn from(message: &str) -> Self {
        Self::new(PLAIN_CODE, message)
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for Fault {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self::of(&*error)
    }
}

impl From<std::convert::Infallible> for Fault {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// A call that a handler made for its work has failed: the fault has the same code and text. It does not say that a new try is safe, because what the handler did
/// before it asked is done; only its author can say that, with [`Fault::retryable`].
impl From<crate::Error> for Fault {
    fn from(error: crate::Error) -> Self {
        Self::new(error.code().as_str(), error.to_string())
    }
}

#[cfg(feature = "anyhow")]
impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Self::of(&*error)
    }
}

macro_rules! plain_errors {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::of(&error)
            }
        })*
    };
}

plain_errors!(
    std::io::Error,
    fmt::Error,
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::num::TryFromIntError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    std::time::SystemTimeError,
    serde_json::Error,
    tokio::task::JoinError,
    tokio::time::error::Elapsed,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_cannot_travel_becomes_a_plain_one() {
        for wrong in ["", "a\nb", &"x".repeat(256)] {
            assert_eq!(Fault::new(wrong, "m").code(), "error", "{wrong:?}");
        }
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        assert_eq!(Fault::new("c", "é".repeat(600)).message().len(), 1024);
    }

    #[test]
    fn details_are_not_printed() {
        let fault = Fault::new("c", "m").with_data(&"a payload");
        assert!(!format!("{fault:?} {fault}").contains("payload"));
    }
}
