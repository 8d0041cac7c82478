//! Heads of replies, as the protocol writes and reads them: what a reply may say is known in one place only.

use super::Damaged;
use super::bytes::put_long;
use ::bytes::BytesMut;
use answerback_protocol::frames::{CallError, CallInfo, Fault, Reply};
use answerback_protocol::limits::PREFIX_BYTES;
use answerback_protocol::{RequestId, ServerFrame, Text};

pub(super) fn put_reply(reply: &Reply<'static>, into: &mut Vec<u8>) {
    put_long(frame_of(reply).get(PREFIX_BYTES..).unwrap_or_default(), into);
}

/// The head as the text that it is.
pub(crate) fn reply_text(reply: &Reply<'static>) -> String {
    String::from_utf8_lossy(frame_of(reply).get(PREFIX_BYTES..).unwrap_or_default()).into_owned()
}

fn frame_of(reply: &Reply<'static>) -> BytesMut {
    let mut frame = BytesMut::with_capacity(256);
    ServerFrame::Reply(reply.clone()).write_head(0, &mut frame);
    frame
}

pub(crate) fn read_reply(head: &[u8]) -> Result<Reply<'static>, Damaged> {
    match ServerFrame::read(head) {
        Ok(ServerFrame::Reply(reply)) => Ok(owned(reply)),
        _ => Err(Damaged { what: "the head of a reply in it is not one" }),
    }
}

/// A fault stands as a reply to nobody; nothing if there is none.
pub(super) fn put_error(error: Option<&CallError<'static>>, into: &mut Vec<u8>) {
    match error {
        None => put_long(&[], into),
        Some(error) => put_reply(&reply_with(error), into),
    }
}

/// A fault as the text of a reply to nobody.
pub(crate) fn error_text(error: &CallError<'static>) -> String {
    reply_text(&reply_with(error))
}

fn reply_with(error: &CallError<'static>) -> Reply<'static> {
    Reply { error: Some(Box::new(error.clone())), ..Reply::to(RequestId::truncated(0)) }
}

pub(super) fn read_error(head: &[u8]) -> Result<Option<Box<CallError<'static>>>, Damaged> {
    if head.is_empty() {
        return Ok(None);
    }
    let error = read_reply(head)?.error;
    if error.is_none() { Err(Damaged { what: "a fault in it says nothing" }) } else { Ok(error) }
}

fn owned(reply: Reply<'_>) -> Reply<'static> {
    let Reply { id, error, part, seq, from, info, gather } = reply;
    Reply {
        id,
        error: error.map(|error| Box::new(owned_error(*error))),
        part,
        seq,
        from: from.map(Text::into_static),
        info: info
            .map(|info| Box::new(CallInfo { queued: info.queued, ran: info.ran, by: info.by.map(Text::into_static) })),
        gather,
    }
}

fn owned_error(error: CallError<'_>) -> CallError<'static> {
    let CallError { code, message, ran, attempts, retry_after, fault } = error;
    let fault = fault.map(|fault| Fault {
        code: fault.code.into_static(),
        message: fault.message.into_static(),
        retryable: fault.retryable,
    });
    CallError { code, message: message.into_static(), ran, attempts, retry_after, fault }
}
