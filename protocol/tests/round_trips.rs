//! Every kind of frame with random contents: what is written is read back as the same frame, and no head is over its
//! limit, whatever the text.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall stop")]

mod common;
#[path = "common/random.rs"]
mod random;

use answerback_protocol::frames::*;
use answerback_protocol::limits::{HEAD_BYTES_MAX, HOPS_MAX, NAME_BYTES_MAX};
use answerback_protocol::{ClientFrame, Code, DeliveryId, Name, NodeId, Ran, RequestId, ServerFrame, Text};
use common::{Dice, Frame, Side, cut};

const ROUNDS: u64 = 2_000;

#[test]
fn every_kind_with_random_contents_is_read_back_the_same() {
    for seed in 0..ROUNDS {
        let mut dice = Dice(seed);
        for kind in 0..ClientFrame::KINDS.len() {
            let frame = dice.client_frame(kind);
            assert_eq!(frame.kind(), ClientFrame::KINDS[kind]);
            there_and_back(Side::Client, &Frame::FromClient(frame), seed);
        }
        for kind in 0..ServerFrame::KINDS.len() {
            let frame = dice.server_frame(kind);
            assert_eq!(frame.kind(), ServerFrame::KINDS[kind]);
            there_and_back(Side::Server, &Frame::FromServer(frame), seed);
        }
    }
}

fn there_and_back(side: Side, frame: &Frame<'_>, seed: u64) {
    let bytes = frame.write(b"[1]");
    let (head, data) = cut(&bytes, side);
    assert_eq!(data, b"[1]");
    assert!(head.len() <= HEAD_BYTES_MAX, "seed {seed}: a head of {} bytes", head.len());
    assert_eq!(side.read(head).as_ref(), Ok(frame), "seed {seed}");
}

/// Every member of its greatest length, names all quotes and messages all control characters or quotes.
fn longest(message: &str) -> Vec<Frame<'static>> {
    let name = || Text::from("\"".repeat(NAME_BYTES_MAX));
    let text = || Text::from(message.to_owned());
    let fault = Fault { code: name(), message: text(), retryable: false };
    let error = CallError {
        code: Code::VersionMismatch,
        message: text(),
        ran: Ran::Maybe,
        attempts: u32::MAX,
        retry_after: Some(u64::MAX),
        fault: Some(fault),
    };
    let info = CallInfo { queued: u64::MAX, ran: Some(u64::MAX), by: Some(name()) };
    let gather = Gather { expected: u64::MAX, answered: u64::MAX, failed: u64::MAX, lost: u64::MAX };
    let (id, delivery) = (RequestId::truncated(u64::MAX), DeliveryId::truncated(u64::MAX));
    let answer_error = AnswerError { code: name(), message: text(), retryable: true };
    let about = Some(About::Topic(name()));
    let request = Request {
        ttl: Some(u64::MAX),
        timeout: Some(u64::MAX),
        broadcast: true,
        attempts: Some(u32::MAX),
        durable: true,
        key: Some(name()),
        reply: false,
        info: true,
        trace: Some(name()),
        again: true,
        via: Some(Box::new(Via {
            from: name(),
            path: vec![NodeId::truncated(u64::MAX); HOPS_MAX],
            attempt: u32::MAX,
            holder: Some(name()),
            home: Some(NodeId::truncated(u64::MAX)),
            cast: Some(id),
        })),
        ..Request::call(id, Name::new(name()).unwrap())
    };
    vec![
        Frame::FromServer(
            Reply {
                error: Some(Box::new(error)),
                part: true,
                seq: Some(u64::MAX),
                from: Some(name()),
                info: Some(Box::new(info)),
                gather: Some(Box::new(gather)),
                ..Reply::to(id)
            }
            .into(),
        ),
        Frame::FromServer(ErrorNotice { code: Code::VersionMismatch, message: text(), about, fatal: true }.into()),
        Frame::FromServer(Goaway { reason: text(), after: u64::MAX, elsewhere: vec![text(); 9] }.into()),
        Frame::FromServer(Goaway { reason: text(), after: 0, elsewhere: vec!["x".repeat(255).into(); 99] }.into()),
        Frame::FromClient(Answer { id: delivery, error: Some(answer_error), part: true, seq: Some(u64::MAX) }.into()),
        Frame::FromClient(request.into()),
        Frame::FromClient(Resume { holding: vec![delivery; 200], more: true }.into()),
    ]
}

#[test]
fn no_head_is_over_its_limit_whatever_the_text() {
    for text in ["\0", "\"", "\\", "x", "€", "😀", "\n", "\u{7f}", ""] {
        for frame in longest(&text.repeat(3_000)) {
            let length = frame.head().len();
            assert!(length <= HEAD_BYTES_MAX, "{} of {text:?}: {length} bytes", frame.kind());
        }
    }
}

/// A message that is too long is cut at a character, and the frame is still one that its reader takes.
#[test]
fn long_messages_are_cut_and_addresses_that_are_none_left_out() {
    for text in ["\0", "\"", "x", "€", "😀"] {
        let long = text.repeat(3_000);
        let goaway =
            Goaway { reason: long.clone().into(), after: 1, elsewhere: vec![long.into(), "a\nb".into(), "h:1".into()] };
        let head = Frame::FromServer(goaway.into()).head();
        let Ok(ServerFrame::Goaway(read)) = ServerFrame::read(&head) else { panic!("it is read back") };
        assert!(read.reason.len() <= 1_024 && read.reason.chars().all(|c| text.contains(c)));
        assert!(read.reason.len() * 6 >= 1_000, "no more is cut than must be: {}", read.reason.len());
        assert_eq!(read.elsewhere, ["h:1"]);
    }
}
