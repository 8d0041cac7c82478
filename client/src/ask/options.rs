//! What may be said about a call, a send or a broadcast, until it is asked.

use crate::builder::Settings;
use crate::error::Error;
use crate::session::Ask;
use crate::shared::Shared;
use answerback_protocol::limits::{ATTEMPTS_MAX, KEY_BYTES_MAX, TRACE_BYTES_MAX};
use answerback_protocol::names::is_sound;
use answerback_protocol::{Code, Name, Ran};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;

/// Everything that was said so far.
#[derive(Debug)]
pub(crate) struct Options {
    action: Box<str>,
    data: Result<Bytes, serde_json::Error>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) attempts: Option<u32>,
    pub(crate) durable: bool,
    pub(crate) key: Option<Box<str>>,
    pub(crate) trace: Option<Box<str>>,
    pub(crate) info: bool,
    pub(crate) is_send: bool,
    pub(crate) broadcast: bool,
    /// Of the call for whose work this is asked.
    pub(crate) within: Option<Instant>,
}

impl Options {
    pub(crate) fn new(action: &str, data: Result<Bytes, serde_json::Error>) -> Self {
        Self {
            action: action.into(),
            data,
            ttl: None,
            timeout: None,
            attempts: None,
            durable: false,
            key: None,
            trace: None,
            info: false,
            is_send: false,
            broadcast: false,
            within: None,
        }
    }

    /// Bound to the time of the call for whose work it is asked, and part of its trace.
    pub(crate) fn inherit(&mut self, deadline: Option<Instant>, trace: Option<&str>) {
        self.within = deadline;
        self.trace = trace.map(Into::into);
    }

    /// Checks what was said.
    pub(crate) fn into_ask(self, settings: &Settings) -> Result<Ask, Error> {
        self.check()?;
        let timeout = self.timeout_within(settings)?;
        Ok(Ask {
            action: self.action,
            data: self.data.map_err(|error| Error::unencodable(&error))?,
            ttl: self.ttl,
            timeout,
            broadcast: self.broadcast,
            attempts: self.attempts,
            durable: self.durable,
            key: self.key,
            reply: !self.is_send,
            info: self.info,
            trace: self.trace,
            asked: Shared::now(),
        })
    }

    fn check(&self) -> Result<(), Error> {
        let mistake = if Name::new(&*self.action).is_err() {
            "the name of an action is 1 to 255 bytes without control characters"
        } else if self.key.as_deref().is_some_and(|key| !is_sound(key, KEY_BYTES_MAX)) {
            "key: 1 to 255 bytes without control characters"
        } else if self.trace.as_deref().is_some_and(|trace| !is_sound(trace, TRACE_BYTES_MAX)) {
            "trace: 1 to 255 bytes without control characters, such as a W3C traceparent"
        } else if self.attempts.is_some_and(|attempts| !(1..=ATTEMPTS_MAX).contains(&attempts)) {
            "attempts: 1 to 1000 handlers"
        } else if self.timeout == Some(Duration::ZERO) {
            "timeout: nothing is answered in no time; ttl 0 fails at once unless a handler is free"
        } else {
            return Ok(());
        };
        Err(Error::new(Code::BadRequest, Ran::No, format!("{}: {mistake}", self.action.escape_debug())))
    }

    /// The timeout that holds: its own or the default, but not beyond the call for whose work it is asked.
    fn timeout_within(&self, settings: &Settings) -> Result<Option<Duration>, Error> {
        let own = if self.is_send { self.timeout } else { Some(self.timeout.unwrap_or(settings.default_timeout)) };
        let Some(deadline) = self.within else { return Ok(own) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let message = format!("{}: the time of the call for which this is asked is up", self.action);
            return Err(Error::new(Code::Timeout, Ran::No, message));
        }
        Ok(Some(own.map_or(left, |own| own.min(left))))
    }
}
