//! The test vectors of `protocol/vectors/`, which a client in any language can run, held against this crate.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall stop")]

mod common;

use answerback_protocol::RequestId;
use answerback_protocol::envelope::Envelope;
use answerback_protocol::limits::PREFIX_BYTES;
use common::{Side, cut, from_hex};
use serde_json::Value;
use std::collections::BTreeSet;

const VALID: &str = include_str!("../vectors/valid.jsonl");
const INVALID: &str = include_str!("../vectors/invalid.jsonl");

/// Every way in which a frame can be wrong.
const WORDS: [&str; 25] = [
    "contradiction",
    "frame_too_large",
    "frame_too_short",
    "head_beyond_frame",
    "head_too_large",
    "http",
    "missing",
    "not_a_boolean",
    "not_a_list",
    "not_a_name",
    "not_a_pattern",
    "not_a_session",
    "not_a_string",
    "not_a_version_range",
    "not_an_id",
    "not_an_object",
    "not_in_range",
    "not_json",
    "not_utf8",
    "sealed",
    "tls",
    "too_deep",
    "too_many_members",
    "twice",
    "unknown_type",
];

fn vectors(lines: &str) -> impl Iterator<Item = (String, Side, Vec<u8>, Value)> {
    lines.lines().map(|line| {
        let vector: Value = serde_json::from_str(line).unwrap();
        let text = |member: &str| vector[member].as_str().unwrap_or_else(|| panic!("no {member}: {line}"));
        (text("name").to_owned(), Side::from_word(text("side")), from_hex(text("hex")), vector.clone())
    })
}

#[test]
fn valid_vectors_are_read_as_they_say() {
    for (name, side, bytes, vector) in vectors(VALID) {
        let (head, data) = cut(&bytes, side);
        assert_eq!(std::str::from_utf8(data).unwrap(), vector["data"], "{name}");
        let frame = side.read(head).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = frame.head();
        assert_eq!(serde_json::from_slice::<Value>(&again).unwrap(), vector["head"], "{name}");
        assert_eq!(side.read(&again), Ok(frame.clone()), "{name}");
        if vector["exact"] == true {
            assert_eq!(frame.write(data), bytes, "{name} is what this crate writes");
        }
    }
}

#[test]
fn invalid_vectors_are_refused_with_their_word() {
    for (name, side, bytes, vector) in vectors(INVALID) {
        let word = match Envelope::peek(&bytes, side.limit()) {
            Err(error) => error.word(),
            Ok(None) => panic!("{name} is cut short"),
            Ok(Some(envelope)) => {
                assert_eq!(envelope.total(), bytes.len(), "{name}");
                let error = side.read(&bytes[PREFIX_BYTES..envelope.data_at()]).expect_err(&name);
                assert!(!error.to_string().is_empty());
                error.word()
            }
        };
        assert_eq!(word, vector["error"], "{name}");
    }
}

#[test]
fn every_kind_and_every_word_has_a_vector() {
    for side in Side::BOTH {
        let kinds: BTreeSet<String> = vectors(VALID)
            .filter(|vector| vector.1 == side)
            .map(|vector| vector.3["head"]["type"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(kinds, side.kinds().iter().map(|&kind| kind.to_owned()).collect(), "{side:?}");
    }
    let words: BTreeSet<String> =
        vectors(INVALID).map(|vector| vector.3["error"].as_str().unwrap().to_owned()).collect();
    assert_eq!(words, WORDS.iter().map(|&word| word.to_owned()).collect());
}

/// The id of a frame that is wrong elsewhere is found, so that whoever waits for it can be told.
#[test]
fn the_id_of_a_bad_request_is_salvaged() {
    let found = |head: &str| {
        let error = Side::Client.read(head.as_bytes()).unwrap_err();
        (error.kind.map(|kind| kind.to_string()), error.id.map(RequestId::get))
    };
    let request = Some("request".to_owned());
    assert_eq!(found(r#"{"type":"request","id":7}"#), (request.clone(), Some(7)));
    assert_eq!(found(r#"{"type":"request","action":1,"id":7}"#), (request.clone(), Some(7)));
    assert_eq!(found(r#"{"type":"request","id":7,"id":8}"#), (request.clone(), Some(7)));
    assert_eq!(found(r#"{"type":"request","id":7,"action":nul}"#), (request.clone(), Some(7)));
    assert_eq!(found(r#"{"type":"request","action":nul,"id":7}"#), (request.clone(), None));
    assert_eq!(found(r#"{"type":"request","id":"7"}"#), (request, None));
    assert_eq!(found(r#"{"id":7}"#), (None, Some(7)));
    assert_eq!(found("[7]"), (None, None));
}
