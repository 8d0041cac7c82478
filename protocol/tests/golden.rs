//! Holds `docs/PROTOCOL.md` against the code: its hex dumps are decoded and encoded again, its tables name every code and
//! every limit, and its client is the file beside it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall stop")]

mod common;

use answerback_protocol::sealed::{Entropy, Greeting, Key, KeyId, Preamble, Secret};
use answerback_protocol::{Code, limits, sealed};
use common::{Side, cut, from_hex};
use std::collections::BTreeSet;
use std::fmt::Write;

const PAGE: &str = include_str!("../../docs/PROTOCOL.md");
const CLIENT: &str = include_str!("../../docs/minimal_client.py");

/// A block tagged `hexdump`: what it says it is, and its bytes.
struct Dump {
    side: Side,
    head: String,
    data: String,
    bytes: Vec<u8>,
    text: String,
}

/// The contents of the fenced blocks with this tag.
fn blocks(tag: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        if let Some(found) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if found == tag {
                blocks.push(block.join("\n") + "\n");
            }
        }
    }
    blocks
}

fn dumps() -> Vec<Dump> {
    blocks("hexdump").iter().map(|block| parse(block)).collect()
}

fn parse(text: &str) -> Dump {
    let said = |what: &str| text.lines().find_map(|line| line.strip_prefix(what)).unwrap_or("").to_owned();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with(['>', '<'])).collect();
    let hex: String = rows.iter().flat_map(|row| row[8..8 + 47].split_whitespace()).collect();
    let side = Side::from_word(&rows.first().expect("a dump has rows")[..1]);
    Dump { side, head: said("head "), data: said("data "), bytes: from_hex(&hex), text: text.to_owned() }
}

/// The block as it must stand on the page.
fn block(side: Side, head: &str, data: &str, bytes: &[u8]) -> String {
    let mut text = format!("head {head}\n");
    if !data.is_empty() {
        writeln!(text, "data {data}").unwrap();
    }
    for (row, piece) in bytes.chunks(16).enumerate() {
        let sign = if side == Side::Client { '>' } else { '<' };
        let hex: Vec<String> = piece.iter().map(|byte| format!("{byte:02x}")).collect();
        let ascii: String =
            piece.iter().map(|&b| if (0x20..0x7f).contains(&b) { char::from(b) } else { '.' }).collect();
        writeln!(text, "{sign} {:04x}  {:47}  |{ascii}|", row * 16, hex.join(" ")).unwrap();
    }
    text
}

#[test]
fn dumps_decode_to_what_is_said_beside_them_and_encode_to_the_same_bytes() {
    for dump in dumps() {
        let (head, data) = cut(&dump.bytes, dump.side);
        assert_eq!(std::str::from_utf8(head).unwrap(), dump.head, "{}", dump.text);
        assert_eq!(std::str::from_utf8(data).unwrap(), dump.data, "{}", dump.text);
        let frame = dump.side.read(head).unwrap_or_else(|error| panic!("{error}\n{}", dump.text));
        let written = frame.write(data);
        assert_eq!(written, dump.bytes, "it should be\n{}", block(dump.side, &dump.head, &dump.data, &written));
    }
}

#[test]
fn dumps_have_the_fixed_form() {
    for dump in dumps() {
        assert_eq!(dump.text, block(dump.side, &dump.head, &dump.data, &dump.bytes));
    }
}

/// The dumps of the sealed channel, each its word and its bytes: greeting, answer and first record.
fn sealed_dumps() -> Vec<(String, Vec<u8>)> {
    let blocks = blocks("sealed");
    let parsed = blocks.iter().map(|block| (block.lines().next().expect("a word").to_owned(), parse(block).bytes));
    parsed.collect()
}

#[test]
fn dumps_of_the_sealed_channel_are_what_two_ends_say() {
    let dumps = sealed_dumps();
    let words: Vec<&str> = dumps.iter().map(|(word, _)| word.as_str()).collect();
    assert_eq!(words, ["greeting", "answer", "record"]);
    let counting = |from: u8| std::array::from_fn(|at| from + at as u8);
    let key = Key { id: KeyId::new("billing").unwrap(), secret: Secret::new(counting(0)) };
    let (greeting, bytes) = Greeting::new(&key, Entropy::new(counting(0x20))).unwrap();
    assert_eq!(dumps[0].1, bytes);
    let (mut server, answer) =
        Preamble::peek(&bytes).unwrap().unwrap().accept(&key, Entropy::new(counting(0x40))).unwrap();
    assert_eq!(dumps[1].1, answer);
    greeting.read(&answer).unwrap();
    let hello = server.opener.open(&mut dumps[2].1.clone()).unwrap().to_vec();
    assert!(self::dumps().iter().any(|dump| dump.bytes == hello), "what is in the record stands beside it");
}

#[test]
fn every_kind_of_frame_is_among_the_dumps() {
    let dumps = dumps();
    for side in Side::BOTH {
        let shown: BTreeSet<&str> = dumps
            .iter()
            .filter(|dump| dump.side == side)
            .map(|dump| side.read(cut(&dump.bytes, side).0).unwrap().kind())
            .collect();
        assert_eq!(shown, side.kinds().iter().copied().collect(), "{side:?}");
    }
}

/// Every head in a transcript is one that its side may send.
#[test]
fn transcripts_are_sound() {
    let mut frames = 0;
    for line in blocks("").concat().lines().filter(|line| line.starts_with(['>', '<'])) {
        let (side, rest) = (Side::from_word(&line[..1]), &line[2..]);
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde_json::Value>();
        assert!(values.next().expect("a head").is_ok(), "{line}");
        let head = &rest[..values.byte_offset()];
        let frame = side.read(head.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(String::from_utf8(frame.head()).unwrap(), head);
        assert!(values.all(|value| value.is_ok()), "{line}");
        frames += 1;
    }
    assert!(frames > 20, "the page has a transcript");
}

#[test]
fn the_page_shows_the_client_that_lies_beside_it() {
    assert_eq!(blocks("python"), [CLIENT]);
}

#[test]
fn every_code_has_a_row() {
    for code in Code::ALL {
        assert!(PAGE.contains(&format!("\n| `{code}` | ")), "{code} has no row in a table of docs/PROTOCOL.md");
    }
}

#[test]
fn the_table_of_limits_is_that_of_the_code() {
    let grouped = |number: u64| {
        let digits = number.to_string();
        let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap()).collect();
        groups.join(",")
    };
    for (row, numbers) in [
        ("first length `n`, to the server", vec![limits::FRAME_BYTES_DEFAULT.into()]),
        ("first length `n`, to the server", vec![limits::FRAME_BYTES_LEAST.into(), limits::FRAME_BYTES_MOST.into()]),
        ("first length `n`, to the client", vec![limits::SERVER_EXTRA_BYTES.into()]),
        ("head `h`", vec![limits::HEAD_BYTES_MAX as u64]),
        ("depth of a head", vec![limits::DEPTH_MAX as u64]),
        ("members of one object in a head", vec![limits::MEMBERS_MAX as u64]),
        ("action, topic, pattern, group", vec![limits::NAME_BYTES_MAX as u64]),
        ("client name, agent, server name", vec![limits::CLIENT_NAME_BYTES_MAX as u64]),
        ("`key`, `trace`, code of a fault", vec![limits::KEY_BYTES_MAX as u64, limits::TRACE_BYTES_MAX as u64]),
        ("`key`, `trace`, code of a fault", vec![limits::FAULT_CODE_BYTES_MAX as u64]),
        ("`message`, `reason`", vec![limits::MESSAGE_BYTES_MAX as u64]),
        ("`credit`", vec![limits::CREDIT_MAX.into()]),
        ("`attempts`", vec![limits::ATTEMPTS_MAX.into()]),
        ("a duration", vec![limits::WAIT_MS_MAX]),
        ("`holding` of one `resume`", vec![limits::HOLDING_MAX as u64]),
        ("`elsewhere` of `goaway`", vec![limits::ELSEWHERE_MAX as u64]),
        ("time until `hello`", vec![limits::HANDSHAKE_MS]),
        ("id of a key", vec![sealed::KEY_ID_BYTES_MAX as u64]),
        ("frames in one record", vec![sealed::PLAIN_BYTES_MAX as u64]),
        ("records under one key", vec![sealed::REKEY_AFTER_RECORDS]),
        ("ack after", vec![limits::ACK_AFTER_REPLIES, limits::ACK_AFTER_BYTES]),
        ("ack within", vec![limits::ACK_WITHIN_MS]),
        ("replies kept for one session", vec![limits::KEPT_REPLIES_MAX as u64, limits::KEPT_REPLY_BYTES_MAX as u64]),
    ] {
        let start = format!("| {row} |");
        let line = PAGE.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no row {row}"));
        for number in numbers {
            let number = grouped(number);
            let found = line.split(|c: char| !c.is_ascii_digit() && c != ',').any(|w| w.trim_matches(',') == number);
            assert!(found, "{row} does not say {number}");
        }
    }
    assert_eq!(limits::ID_END, 1 << 53);
}
