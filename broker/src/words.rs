//! What people read: what happened, whether the work ran, and what to do next. One line each.

use crate::request::{Request, State};
use crate::rights::{Right, is_reserved};
use crate::time::Time;
use answerback_protocol::frames::Fault;
use answerback_protocol::{Code, Ran};
use std::time::Duration;

pub(crate) fn draining() -> String {
    "this server is going away and takes no new work; it did not run; try another server".to_owned()
}

/// Says nothing about whether anybody has such a name.
pub(crate) fn denied(holder: &str, right: Right, name: &str) -> String {
    let (verb, grant) = match right {
        Right::Call => ("call", "call"),
        Right::Serve => ("serve", "serve"),
        Right::Publish => ("publish to", "publish"),
        Right::Subscribe => ("subscribe to", "subscribe"),
    };
    let admin = if is_reserved(name) { "admin = true, nor " } else { "" };
    format!("{holder} may not {verb} {name}: its key has no grant {admin}{grant} = [\"{name}\"]")
}

pub(crate) fn name_too_long(holder: &str, bytes: usize, most: usize) -> String {
    format!(
        "this client's name behind `{holder}/` is {bytes} bytes long, the most allowed is {most}; choose a shorter one"
    )
}

pub(crate) fn key_removed(holder: &str) -> String {
    format!("the key of this connection was removed from this server; connect with another key of `{holder}`")
}

/// Why what a server says is not believed.
pub(crate) fn no_server(holder: &str) -> String {
    format!("the key `{holder}` is not one of a server; it needs `peer = true` in the keys file")
}

pub(crate) fn holder_gone(holder: &str) -> String {
    format!(
        "`{holder}` has no key on this server any more; its session has ended; ask whoever runs the server for a new key"
    )
}

pub(crate) fn no_store() -> String {
    "this server has no store, so it cannot keep a durable request; it did not run; send it without `durable`"
        .to_owned()
}

pub(crate) fn disk_fails() -> String {
    "this server cannot write to its disk at the moment; it did not run; try again later, or send it without `durable`"
        .to_owned()
}

pub(crate) fn broadcast_was_lost() -> String {
    "the server was restarted while this broadcast was under way; it may have run; send it again only if twice does no harm"
        .to_owned()
}

pub(crate) fn no_time() -> String {
    "`timeout` left no time; it did not run; give it more".to_owned()
}

pub(crate) fn no_handler(action: &str, at_once: bool) -> String {
    let wait = if at_once { "and ttl 0 does not wait" } else { "and nobody came while it waited" };
    format!("nobody serves `{action}` {wait}; it did not run; start a handler or check the name")
}

pub(crate) fn nobody_free(action: &str) -> String {
    format!(
        "every handler of `{action}` is busy and ttl 0 does not wait; it did not run; give it a ttl, or add handlers"
    )
}

pub(crate) fn memory_full(bytes: usize) -> String {
    format!("this server holds {bytes} bytes of requests, the most allowed (--max-memory); it did not run; try later")
}

pub(crate) fn action_full_of_bytes(action: &str, bytes: usize) -> String {
    format!(
        "requests for `{action}` take {bytes} bytes, the most allowed (--max-queue-bytes); it did not run; try later"
    )
}

pub(crate) fn queue_full(action: &str, requests: usize) -> String {
    format!("{requests} requests wait for `{action}`, the most allowed (--max-queue); it did not run; try later")
}

pub(crate) fn wait_too_long(action: &str, wait: Duration, patience: Duration) -> String {
    format!(
        "the queue of `{action}` takes about {} ms and this request may wait {} ms; it did not run; try later or add handlers",
        wait.as_millis(),
        patience.as_millis()
    )
}

pub(crate) fn answer_not_kept() -> String {
    "it was answered while its caller was away, and the answer was too much to keep (--kept-reply-bytes, \
     --kept-reply-memory); call again only if twice does no harm"
        .to_owned()
}

pub(crate) fn refused_after_restart(code: Code) -> String {
    format!(
        "the server was restarted while this was under way and cannot take it again ({code}); it may have run; call again only if twice does no harm"
    )
}

pub(crate) fn announced_too_late() -> String {
    "the server was restarted while this was under way, and it was announced again too late to learn whether a handler has it (--session-grace); it may \
     have run; call again only if twice does no harm"
        .to_owned()
}

/// For who joined a call that runs, or says one again, and wanted it to be durable.
pub(crate) fn not_written_and_may_run() -> String {
    "this server cannot write to its disk at the moment, and the work may run all the same; call again only if twice does no harm".to_owned()
}

/// For a caller whose call others have joined.
pub(crate) const CANCELLED_FOR_ONE: &str = "cancelled by its caller; others wait for the same key, so it may run";

pub(crate) fn conflict() -> String {
    "this key was used with other data; it did not run; use a new key for a new request".to_owned()
}

pub(crate) fn fault(fault: &Fault<'_>) -> String {
    format!("the handler answered with an error of its own: {}", fault.message)
}

/// The text for a request that was held and has ended without an answer.
pub(crate) fn ended(code: Code, ran: Ran, action: &str, request: &Request, now: Time) -> String {
    let waited = request.received.millis_until(now);
    let ran = match ran {
        Ran::No => "it did not run",
        Ran::Maybe => "it may have run",
        Ran::Yes => "it ran",
    };
    match code {
        Code::NoHandler => no_handler(action, false),
        Code::Expired => {
            format!(
                "its ttl ended after {waited} ms in the queue of `{action}`; {ran}; give it a longer ttl, or add handlers"
            )
        }
        Code::Timeout if matches!(request.state, State::Delivered { .. }) => {
            format!("the handler of `{action}` did not answer within {waited} ms; {ran}; the handler was told to stop")
        }
        Code::Timeout => {
            format!("no handler of `{action}` was free within {waited} ms; {ran}; give it more time, or add handlers")
        }
        Code::HandlerLost => {
            let attempts = request.attempt;
            format!(
                "the handler of `{action}` was lost (attempts: {attempts}); {ran}; call again only if twice does no harm"
            )
        }
        Code::Cancelled => format!("cancelled by its caller; {ran}"),
        Code::Draining => draining(),
        Code::Unavailable => disk_fails(),
        _ => format!("`{action}` ended as {code}; {ran}"),
    }
}

pub(crate) fn no_builtin(name: &str) -> String {
    format!("the broker has no action `{name}`; it has $echo, $actions, $stats, $sessions and $explain")
}

pub(crate) fn not_waiting(id: u64) -> String {
    format!("no request {id} of this client waits: it has been answered, or was never announced")
}

pub(crate) fn client_not_there(client: u64, topic: &str) -> String {
    format!("client {client} is not here, or does not subscribe to `{topic}`; it got nothing")
}

pub(crate) fn no_client(client: u64) -> String {
    format!("no client {client} is here; `$sessions` lists who is")
}
