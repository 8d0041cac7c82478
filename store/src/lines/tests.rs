//! Lines against items at random, and against what people do to lines.

use super::*;
use crate::testing::{Dice, random_item, small_request};
use answerback_broker::{SavedRequest, SavedStored};
use answerback_protocol::Payload;

/// What lines may say of it, by the protocol: random items of this crate know no such bounds.
fn fit(item: Item) -> Item {
    let name = |text: &str| format!("n{text}").replace(char::is_control, "-");
    match item {
        Item::Request(mut request) => {
            (request.action, request.from) = (name(&request.action).into(), name(&request.from).into());
            request.key = request.key.map(|key| name(&key).into());
            request.trace = request.trace.map(|trace| name(&trace).into());
            request.attempts = request.attempts % 1_000 + 1;
            Item::Request(request)
        }
        Item::Kept(mut kept) => {
            kept.name = name(&kept.name).into();
            Item::Kept(kept)
        }
        Item::Stored(mut stored) => {
            (stored.action, stored.key) = (name(&stored.action).into(), name(&stored.key).into());
            Item::Stored(stored)
        }
    }
}

fn with_data(data: &[u8]) -> Item {
    let Item::Request(request) = small_request(7) else { unreachable!() };
    Item::Request(Box::new(SavedRequest { data: Payload::copy_of(data), ..*request }))
}

#[test]
fn every_item_comes_back_and_keeps_to_one_plain_line() {
    let mut dice = Dice::new(1);
    for number in 1..2_000 {
        let line = Line::Item(ItemId(number), fit(random_item(&mut dice)));
        let text = line.write();
        assert!(!text.chars().any(is_control), "{text}");
        assert_eq!(Line::read(&text).as_ref(), Ok(&line), "{text}");
    }
}

/// On a server with keys an idempotency key stands behind its holder.
#[test]
fn keys_of_holders_come_back() {
    let Item::Request(request) = small_request(7) else { unreachable!() };
    for key in ["k", "shop\u{1f}k"] {
        let item = Item::Request(Box::new(SavedRequest { key: Some(key.into()), ..(*request).clone() }));
        let line = Line::Item(ItemId(1), item);
        let text = line.write();
        assert!(!text.chars().any(is_control), "{text}");
        assert_eq!(Line::read(&text).as_ref(), Ok(&line), "{text}");
    }
    let line = Line::Item(ItemId(1), Item::Request(Box::new(SavedRequest { key: Some("k\nl".into()), ..*request })));
    assert!(Line::read(&line.write()).unwrap_err().to_string().contains("\"key\" has 1 to 255 bytes"));
}

#[test]
fn data_comes_back_byte_for_byte() {
    let digits = br#"{"n":18446744073709551616.10e+400,"n": [ 1 ,2]}"#;
    for (data, member) in [
        (&digits[..], r#""data":{"n":18446744073709551616.10e+400,"n": [ 1 ,2]}"#),
        (b"null", r#""data":null"#),
        ("\"größe\"".as_bytes(), r#""data":"größe""#),
        (br#""\ud800 \u0000""#, r#""data":"\ud800 \u0000""#),
        // A line break between tokens, a space around it, a control character, another order of reading, no JSON, no UTF-8.
        (b"[1,\n2]", r#""data_base64":"WzEsCjJd""#),
        (b" 1", r#""data_base64":"IDE=""#),
        ("\"\u{9b}\"".as_bytes(), r#""data_base64":"IsKbIg==""#),
        ("\"\u{202e}\"".as_bytes(), r#""data_base64":"IuKAriI=""#),
        (b"{", r#""data_base64":"ew==""#),
        (b"\"\xff\"", r#""data_base64":"Iv8i""#),
    ] {
        let line = Line::Item(ItemId(1), with_data(data));
        let text = line.write();
        assert!(text.ends_with(&format!("{member}}}}}")), "{text}");
        assert_eq!(Line::read(&text), Ok(line), "{text}");
    }
    let text = Line::Item(ItemId(1), with_data(b"")).write();
    assert!(!text.contains("data"), "{text}");
    let deep = [b"[".repeat(20_000), b"]".repeat(20_000)].concat();
    let line = Line::Item(ItemId(1), with_data(&deep));
    assert_eq!(Line::read(&line.write()), Ok(line));
}

#[test]
fn first_and_last_lines() {
    for line in [Line::Head, Line::End { clean: true }, Line::End { clean: false }] {
        assert_eq!(Line::read(&line.write()), Ok(line));
    }
    let newer = Line::read(r#"{"answerback_store":2,"more":1}"#).unwrap_err().to_string();
    assert!(newer.contains("form 2") && newer.contains("form 1"), "{newer}");
}

/// What scripts do to lines: other spaces, other orders, escapes.
#[test]
fn lines_may_be_written_by_others() {
    let line = Line::Item(ItemId(5), with_data(b"[1]"));
    let text = line.write();
    let (first, rest) = (r#"{"item":5,"#, text.strip_prefix(r#"{"item":5,"#).unwrap());
    assert!(text.starts_with(first));
    let other = format!(" {{ {}, \"item\" : 5 }} ", rest.strip_suffix('}').unwrap().replace("mail", "\\u006dail"));
    assert_eq!(Line::read(&other), Ok(line), "{other}");
}

#[test]
fn wrong_lines_say_what_is_wrong_and_no_secrets() {
    let mut dice = Dice::new(3);
    let stored = loop {
        let Item::Stored(stored) = fit(random_item(&mut dice)) else { continue };
        break Item::Stored(Box::new(SavedStored { data: Payload::copy_of(b"[1]"), error: None, ..*stored }));
    };
    let stored = Line::Item(ItemId(1), stored).write();
    let sent = Line::Item(ItemId(1), with_data(b"[1]")).write();
    let called = sent.replace(r#""durable":true"#, r#""durable":true,"caller":{"session":"SECRET","id":1}"#);
    for (text, words) in [
        (String::new(), "EOF"),
        ("x".to_owned(), "expected value, at column 1"),
        ("{}".to_owned(), "missing field `item`"),
        (r#"{"item":1}"#.to_owned(), "one of"),
        (r#"{"end":false,"clean":true}"#.to_owned(), "always true"),
        (r#"{"answerback_store":1}"#.to_owned(), "missing field `version`"),
        (sent.replace("\"item\":1", "\"item\":0"), "from 1 to"),
        (sent.replace("mail.send", "$stats"), "broker's own"),
        (sent.replace("mail.send", ""), "\"action\" has 1 to 255 bytes"),
        (sent.replace("shop-1", "a\\nb"), "\"from\" has 1 to 255 bytes"),
        (sent.replace("\"attempts\":3", "\"attempts\":0"), "\"attempts\" is from 1 to 1000"),
        (sent.replace("\"attempts\":3", "\"attempts\":3,\"new\":1"), "unknown field `new`"),
        (sent.replace("\"never\"", "\"soon\""), "a time is written like"),
        (sent.replace("\"data\"", "\"data_base64\":\"\",\"data\""), "either"),
        (sent.replace("\"data\":[1]", "\"data_base64\":\"*\""), "not base64"),
        (sent.replace("\"origin\":\"0", "\"origin\":\"x"), "16 hex digits"),
        (stored.replace("\"fingerprint\":\"", "\"fingerprint\":\"0"), "32 hex digits"),
        (format!("{sent} 7"), "trailing characters"),
        (called, "\"session\" is 32 hex digits"),
    ] {
        let error = Line::read(&text).unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains("SECRET"), "{text}: {error}");
    }
}

/// A line may come from anywhere, also cut or changed at any byte.
#[test]
fn no_text_panics() {
    let mut dice = Dice::new(2);
    for _ in 0..300 {
        let text = Line::Item(ItemId(9), fit(random_item(&mut dice))).write();
        for _ in 0..20 {
            let mut bytes = text.clone().into_bytes();
            let place = dice.below(bytes.len());
            if dice.one_in(2) {
                bytes.truncate(place);
            } else {
                bytes[place] = dice.next() as u8;
            }
            let _ = Line::read(&String::from_utf8_lossy(&bytes));
        }
    }
}
