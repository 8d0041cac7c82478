//! The reader of heads against serde_json and the law in `common/law.rs`, on generated heads, sound and broken.
//!
//! What the reader accepts is JSON with the same values; what is not JSON it refuses; and what is JSON it accepts exactly
//! if the law does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall stop")]

mod common;
#[path = "common/law.rs"]
#[allow(unreachable_pub, reason = "a module of this test")]
mod law;
#[path = "common/random.rs"]
mod random;

use answerback_protocol::limits::HEAD_BYTES_MAX;
use answerback_protocol::{ClientFrame, Code, ServerFrame};
use common::{Dice, Frame, Side};
use law::{Tree, judge};
use std::collections::BTreeMap;

const SEEDS: u64 = 30_000;

/// Pieces that make a head wrong in an interesting way.
const PIECES: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "true",
    "-",
    "0",
    "1.0",
    "1e3",
    "-0",
    "01",
    "9007199254740991",
    "9007199254740992",
    "\\u0069",
    "\\ud800",
    "\\udc00",
    "\\n",
    "\n",
    " ",
    "\t",
    "\u{b}",
    "\0",
    "\u{85}",
    "é",
    "\u{feff}",
    "\"type\":\"ping\",",
    "\"id\":1,",
    "\"\\u0069d\":1,",
    "\"x\":{\"a\":1,\"a\":2},",
    "\"x\":[[[0]]],",
    "\"x\":[[[[]]]],",
    "\"error\":{},",
    "\"broadcast\":true,",
    "\"key\":\"k\",",
    "255",
];

/// Values of every kind, some at the borders of what is allowed.
const VALUES: [&str; 22] = [
    "0",
    "1",
    "-1",
    "1.0",
    "1e2",
    "-0",
    "null",
    "true",
    "\"\"",
    "\"a.*\"",
    "\"a..b\"",
    "[]",
    "[1,1]",
    "[2,1]",
    "[[[1]]]",
    "{}",
    "1000",
    "1001",
    "65535",
    "65536",
    "9007199254740991",
    "9007199254740992",
];

fn table(side: Side) -> &'static str {
    match side {
        Side::Client => law::CLIENT,
        Side::Server => law::SERVER,
    }
}

/// A sound head with random contents, as this crate writes it.
fn sound(dice: &mut Dice, side: Side) -> Vec<u8> {
    let kind = dice.below(side.kinds().len());
    match side {
        Side::Client => Frame::FromClient(dice.client_frame(kind)).head(),
        Side::Server => Frame::FromServer(dice.server_frame(kind)).head(),
    }
}

/// The members of a head in another order, and some that nobody knows.
fn shuffled(dice: &mut Dice, head: &[u8]) -> Vec<(String, Tree)> {
    let Tree::Object(mut members) = serde_json::from_slice(head).unwrap() else { panic!("a head is an object") };
    for at in (1..members.len()).rev() {
        members.swap(at, dice.below(at + 1));
    }
    for n in 0..dice.below(3) {
        let at = dice.below(members.len() + 1);
        let value = dice.pick(&["null", "-1.5e3", "[1,[2]]", "{\"a\":{\"b\":0}}", "\"\\ud83d\\ude00\""]);
        members.insert(at, (format!("new{n}"), serde_json::from_str(value).unwrap()));
    }
    members
}

/// Breaks a rule, or none, and leaves it JSON.
fn bend(dice: &mut Dice, members: &mut Vec<(String, Tree)>) {
    let at = dice.below(members.len());
    match dice.below(7) {
        0 => drop(members.remove(at)),
        1 => members.push(members[at].clone()),
        2 => {
            let value = dice.pick(&VALUES);
            members[at].1 = serde_json::from_str(value).unwrap();
        }
        3 => {
            for name in ["broadcast", "durable", "fatal", "part"] {
                members.retain(|(other, _)| other != name);
                members.push((name.to_owned(), Tree::Flag(dice.flag())));
            }
        }
        4 => members.extend((0..20 + dice.below(12)).map(|n| (format!("m{n}"), Tree::Null))),
        5 => members[at].1 = Tree::List(vec![members[at].1.clone()]),
        _ => members[at].1 = Tree::Object(vec![members[at].clone()]),
    }
}

/// The head with white space and escapes where they may be.
fn disguised(dice: &mut Dice, members: Vec<(String, Tree)>) -> Vec<u8> {
    let mut text = String::new();
    print(dice, &Tree::Object(members), &mut text);
    text.into_bytes()
}

fn space(dice: &mut Dice, text: &mut String) {
    if dice.one_in(6) {
        text.push(*dice.pick(&[' ', '\t', '\n', '\r']));
    }
}

fn print(dice: &mut Dice, value: &Tree, text: &mut String) {
    space(dice, text);
    match value {
        Tree::Null => text.push_str("null"),
        Tree::Flag(flag) => text.push_str(&flag.to_string()),
        Tree::Number(Some(number)) => text.push_str(&number.to_string()),
        Tree::Number(None) => text.push_str("-2.5E+1"),
        Tree::Text(value) => print_text(dice, value, text),
        Tree::List(elements) => print_all(dice, '[', ']', elements, text, print),
        Tree::Object(members) => print_all(dice, '{', '}', members, text, |dice, (name, value), text| {
            space(dice, text);
            print_text(dice, name, text);
            space(dice, text);
            text.push(':');
            print(dice, value, text);
        }),
    }
    space(dice, text);
}

fn print_all<T>(
    dice: &mut Dice,
    open: char,
    close: char,
    all: &[T],
    text: &mut String,
    mut each: impl FnMut(&mut Dice, &T, &mut String),
) {
    text.push(open);
    for (at, one) in all.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        each(dice, one, text);
    }
    text.push(close);
}

fn print_text(dice: &mut Dice, value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        if c < ' ' || c == '"' || c == '\\' || dice.one_in(12) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(c);
        }
    }
    text.push('"');
}

/// Breaks a head at one to three places, or leaves it.
fn break_it(dice: &mut Dice, head: &mut Vec<u8>) {
    for _ in 0..dice.below(4) {
        let (a, b) = (dice.below(head.len() + 1), dice.below(head.len() + 1));
        let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 40));
        match dice.below(6) {
            0 => drop(head.drain(from..to)),
            1 => {
                let piece = head[from..to].to_vec();
                let at = dice.below(head.len() + 1);
                head.splice(at..at, piece);
            }
            2 if !head.is_empty() => {
                let at = dice.below(head.len());
                head[at] = dice.roll() as u8;
            }
            3 => drop(head.splice(from..from, dice.pick(&PIECES).bytes())),
            4 => {
                // Behind a brace or a comma a piece is more likely to fit.
                let places: Vec<usize> = (0..head.len()).filter(|&at| matches!(head[at], b'{' | b',')).collect();
                if !places.is_empty() {
                    let at = dice.pick(&places) + 1;
                    head.splice(at..at, dice.pick(&PIECES).bytes());
                }
            }
            _ => break_a_value(dice, head),
        }
    }
}

/// Puts another value behind a colon.
fn break_a_value(dice: &mut Dice, head: &mut Vec<u8>) {
    let colons: Vec<usize> = (0..head.len()).filter(|&at| head[at] == b':').collect();
    if colons.is_empty() {
        return;
    }
    let start = dice.pick(&colons) + 1;
    let end = (start..head.len()).find(|&at| matches!(head[at], b',' | b'}' | b']')).unwrap_or(head.len());
    let values =
        ["0", "-1", "1.0", "1e2", "null", "true", "\"\"", "\"a.*\"", "[]", "[1,1]", "{}", "1000", "1001", "65536"];
    head.splice(start..end, dice.pick(&values).bytes());
}

/// What the reader understood, written again, stands in the head with the same value, or is the meaning of its absence.
fn same_values(written: &Tree, read: &Tree, head: &str) {
    for (name, value) in written.members() {
        match (read.get(name), value) {
            (Some(said), Tree::Object(_)) => same_values(value, said, head),
            (Some(Tree::Text(said)), Tree::Text(text)) => {
                let unknown =
                    name == "code" && text == "unknown" && !Code::ALL.iter().any(|code| code.as_str() == said);
                let promise = name == "ran" && text == "maybe" && said != "yes" && said != "no";
                let session = name == "session" && *text == said.to_ascii_lowercase();
                let cut = matches!(&name[..], "message" | "reason") && said.starts_with(text) && said.len() > 170;
                assert!(text == said || unknown || promise || session || cut, "{name} of {head}");
            }
            (Some(Tree::List(said)), Tree::List(_)) if name == "elsewhere" => assert!(!said.is_empty(), "{head}"),
            (Some(said), value) => assert_eq!(said, value, "{name} of {head}"),
            (None, Tree::Flag(false) | Tree::Number(Some(0))) => {}
            (None, Tree::Text(text)) if text.is_empty() || text == "maybe" => {}
            (None, value) => panic!("{name} is {value:?} out of nothing: {head}"),
        }
    }
}

/// No member that the table knows was lost, but those that say their default.
fn nothing_lost(written: &Tree, read: &Tree, side: Side, head: &str) {
    let kind = written.get("type").and_then(Tree::text).unwrap();
    let line = table(side).lines().map(str::trim).find(|line| line.split(' ').next() == Some(kind)).unwrap();
    let about = ["id", "action", "topic"];
    for name in line.split(' ').skip(1).map(|member| member.split(['!', ':']).next().unwrap()) {
        let one_of = kind == "error" && about.contains(&name) && about.iter().any(|other| written.get(other).is_some());
        match read.get(name) {
            None | Some(Tree::Flag(_)) => {}
            Some(Tree::List(_)) if name == "elsewhere" => {}
            Some(_) => assert!(written.get(name).is_some() || one_of, "{name} is lost: {head}"),
        }
    }
}

/// What happened to one head.
fn hold_against(side: Side, head: &[u8]) -> &'static str {
    let shown = String::from_utf8_lossy(head);
    let ours = side.read(head);
    let tree = match serde_json::from_slice::<Tree>(head) {
        Ok(tree) => tree,
        // serde_json wants to hold every number; the grammar does not.
        Err(error) if error.to_string().starts_with("number out of range") => return "a number beyond f64",
        Err(error) => {
            assert!(ours.is_err(), "serde_json: {error}; the reader takes it: {shown}");
            return "not JSON";
        }
    };
    match (ours, judge(&tree, table(side))) {
        (Ok(frame), Ok(())) => {
            let written: Tree = serde_json::from_slice(&frame.head()).unwrap();
            same_values(&written, &tree, &shown);
            nothing_lost(&written, &tree, side, &shown);
            "sound"
        }
        (Err(_), Err(reason)) => reason,
        (Ok(_), Err(reason)) => panic!("{reason}, but the reader takes it: {shown}"),
        (Err(error), Ok(())) => panic!("the law allows it, the reader says: {error}: {shown}"),
    }
}

#[test]
fn the_reader_agrees_with_serde_json_and_the_law() {
    let mut seen = BTreeMap::<&str, u32>::new();
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        for side in Side::BOTH {
            let mut head = sound(&mut dice, side);
            assert_eq!(hold_against(side, &head), "sound");
            if dice.flag() {
                let mut members = shuffled(&mut dice, &head);
                assert_eq!(hold_against(side, &disguised(&mut dice, members.clone())), "sound");
                bend(&mut dice, &mut members);
                head = disguised(&mut dice, members);
                *seen.entry(hold_against(side, &head)).or_default() += 1;
            }
            break_it(&mut dice, &mut head);
            head.truncate(HEAD_BYTES_MAX);
            *seen.entry(hold_against(side, &head)).or_default() += 1;
        }
    }
    for reason in [
        "sound",
        "not JSON",
        "twins",
        "too deep",
        "missing",
        "unknown type",
        "no type",
        "contradiction",
        "a member is not what it should be",
        "type is not text",
        "not an object",
    ] {
        assert!(seen.get(reason).is_some_and(|&count| count >= 20), "too few of `{reason}` to say anything: {seen:?}");
    }
}

/// The tables of the law have a line for each kind, in the order of the code.
#[test]
fn the_law_knows_every_kind() {
    for side in Side::BOTH {
        let kinds: Vec<&str> = table(side).lines().filter_map(|line| line.split_whitespace().next()).collect();
        let read = if side == Side::Client { ClientFrame::KINDS } else { ServerFrame::KINDS };
        assert_eq!(kinds, read);
    }
}
