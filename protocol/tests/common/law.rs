//! The law of heads once more, as plain as can be: serde_json decides what is JSON, a table says what each kind has.
//!
//! It shares nothing with the reader of this crate but the numbers of its limits, so that one can be held against the other.

use answerback_protocol::limits::*;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// A JSON value that keeps what the law is about: twins, order, and whether a number was written as an integer.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    Null,
    Flag(bool),
    /// An unsigned integer, if it is one.
    Number(Option<u64>),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    pub fn members(&self) -> &[(String, Self)] {
        if let Self::Object(members) = self { members } else { &[] }
    }

    pub fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn number(&self) -> Option<u64> {
        if let Self::Number(number) = self { *number } else { None }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Builder)
    }
}

struct Builder;

impl<'de> Visitor<'de> for Builder {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Flag(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(Some(value)))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Number(None))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Number(None))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Tree::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Object(members))
    }
}

/// Each kind with its members; `!` marks those that must be there.
pub const CLIENT: &str = "
    hello protocol!versions name!name session!session agent:name node:id
    serve action!name credit!credit
    unserve action!name
    request id!id action!name ttl:count timeout:count broadcast:flag attempts:attempts durable:flag key:name reply:flag info:flag trace:name again:flag via:via
    cancel id!id
    reply id!id error:handler_error part:flag seq:seq
    release id!id
    resume holding!ids more:flag
    publish topic!topic id:id to:count others:flag
    subscribe topic!pattern group:name path:path
    unsubscribe topic!pattern group:name
    ack replies!count
    ping
    pong
    bye
    offer action!name credit!busy_or_credit path!path
";

/// The same for the server.
pub const SERVER: &str = "
    welcome protocol!version server!name session!session resumed:flag restarted:flag max_frame!u32 heartbeat!count node:id
    serving action!name
    unserved action!name
    accepted id!id
    subscribed topic!pattern group:name events:count
    unsubscribed topic!pattern group:name
    deliver id!id action!name from!name left!count attempt!attempts trace:name
    reply id!id error:call_error part:flag seq:seq from:name info:info gather:gather
    cancel id!id
    event topic!topic from!name group:name course:course
    ack replies!count
    error code!name message:text id:id action:name topic:name fatal:flag
    goaway reason!text after!count elsewhere:addresses
    ping
    pong
";

/// Objects inside heads.
const OBJECTS: &str = "
    handler_error code!name message:text retryable:flag
    call_error code!name message:text ran:text attempts:attempts_so_far retry_after:count fault:handler_error
    info queued!count ran:count by:name
    course cast!id hops!count been!been
    via from!name path!path attempt!attempts holder:name home:id cast:id
    gather expected:count answered:count failed:count lost:count
";

/// Why a head is refused, in a few words; nothing if it is sound.
pub fn judge(head: &Tree, table: &str) -> Result<(), &'static str> {
    let Tree::Object(_) = head else { return Err("not an object") };
    shape(head, 1)?;
    let kind = head.get("type").ok_or("no type")?.text().ok_or("type is not text")?;
    members(head, line(table, kind).ok_or("unknown type")?)?;
    let says = |name: &str| head.get(name) == Some(&Tree::Flag(true));
    let tried = head.get("attempts").and_then(Tree::number).unwrap_or(1);
    if kind == "request" && says("broadcast") && (says("durable") || head.get("key").is_some() || tried > 1) {
        return Err("contradiction");
    }
    Ok(())
}

fn line<'t>(table: &'t str, kind: &str) -> Option<&'t str> {
    table.lines().map(str::trim).find(|line| !kind.is_empty() && line.split(' ').next() == Some(kind))
}

/// Depth, number of members, twins.
fn shape(value: &Tree, depth: usize) -> Result<(), &'static str> {
    let nested = matches!(value, Tree::List(_) | Tree::Object(_));
    if nested && depth > DEPTH_MAX {
        return Err("too deep");
    }
    if let Tree::List(elements) = value {
        elements.iter().try_for_each(|element| shape(element, depth + 1))?;
    }
    let members = value.members();
    let names: BTreeSet<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() < members.len() {
        return Err("twins");
    }
    if members.len() > MEMBERS_MAX {
        return Err("too many members");
    }
    members.iter().try_for_each(|(_, value)| shape(value, depth + 1))
}

fn members(object: &Tree, line: &str) -> Result<(), &'static str> {
    let Tree::Object(_) = object else { return Err("not an object") };
    for member in line.split(' ').skip(1) {
        let (name, what) = member.split_once(['!', ':']).unwrap();
        match object.get(name) {
            Some(value) => is(value, what)?,
            None if member.contains('!') => return Err("missing"),
            None => {}
        }
    }
    Ok(())
}

fn is(value: &Tree, what: &str) -> Result<(), &'static str> {
    let number = |least: u64, most: u64| value.number().is_some_and(|number| number >= least && number <= most);
    let name = |value: &Tree| {
        value.text().is_some_and(|text| (1..=255).contains(&text.len()) && !text.chars().any(char::is_control))
    };
    let list = |most: usize, each: &dyn Fn(&Tree) -> bool| match value {
        Tree::List(elements) => elements.len() <= most && elements.iter().all(each),
        _ => false,
    };
    let sound = match what {
        "id" | "count" => number(0, ID_END - 1),
        "seq" => number(1, ID_END - 1),
        "credit" => number(1, CREDIT_MAX.into()),
        "busy_or_credit" => number(0, CREDIT_MAX.into()),
        "attempts" => number(1, ATTEMPTS_MAX.into()),
        "attempts_so_far" => number(0, ATTEMPTS_MAX.into()),
        "version" => number(1, u32::MAX.into()),
        "u32" => number(0, u32::MAX.into()),
        "flag" => matches!(value, Tree::Flag(_)),
        "text" => value.text().is_some(),
        "name" => name(value),
        "pattern" => name(value) && is_pattern(value, true),
        "topic" => name(value) && is_pattern(value, false),
        "session" => value.text().is_some_and(|t| t.len() == 32 && t.bytes().all(|b| b.is_ascii_hexdigit())),
        "ids" => list(HOLDING_MAX, &|id| id.number().is_some_and(|id| id < ID_END)),
        "been" => list(BEEN_MAX, &|id| id.number().is_some_and(|id| id < ID_END)),
        "path" => list(HOPS_MAX, &|id| id.number().is_some_and(|id| id < ID_END)),
        "addresses" => list(ELSEWHERE_MAX, &|address| name(address)),
        "versions" => is_range(value),
        object => return members(value, line(OBJECTS, object).unwrap_or_else(|| panic!("no line for {object}"))),
    };
    if sound { Ok(()) } else { Err("a member is not what it should be") }
}

fn is_pattern(value: &Tree, wildcards: bool) -> bool {
    let tokens: Vec<&str> = value.text().unwrap_or("").split('.').collect();
    let last = tokens.len() - 1;
    tokens.iter().enumerate().all(|(at, &token)| match token {
        "" => false,
        "*" => wildcards,
        ">" => wildcards && at == last,
        _ => true,
    })
}

fn is_range(value: &Tree) -> bool {
    let Tree::List(elements) = value else { return false };
    let numbers: Vec<u64> = elements.iter().filter_map(Tree::number).filter(|&n| u32::try_from(n).is_ok()).collect();
    elements.len() == 2 && numbers.len() == 2 && numbers[0] <= numbers[1]
}
