//! The text of scripts: heads, data behind them, names that are bound, rights.

use answerback_broker::Rights;
use answerback_protocol::names::Pattern;
use serde_json::Value;
use std::collections::BTreeMap;

/// `call=a.*,b publish=c admin`
pub(crate) fn rights(text: &str) -> Rights {
    let mut rights = Rights::default();
    for word in text.split_whitespace() {
        let (right, list) = word.split_once('=').unwrap_or((word, ""));
        let patterns = || list.split(',').map(|pattern| Pattern::new(pattern).unwrap()).collect();
        match right {
            "call" => rights.call = patterns(),
            "serve" => rights.serve = patterns(),
            "publish" => rights.publish = patterns(),
            "subscribe" => rights.subscribe = patterns(),
            "admin" => rights.admin = true,
            "peer" => rights.peer = true,
            _ => panic!("no right is called `{right}`"),
        }
    }
    rights
}

/// A head and the data behind it.
pub(crate) fn split(text: &str) -> (String, String) {
    let mut depth = 0i32;
    let mut in_text = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '{' if !in_text => depth += 1,
            '}' if !in_text => depth -= 1,
            _ => {}
        }
        if depth == 0 && !in_text && c == '}' {
            return (text[..=at].to_owned(), text[at + 1..].trim().to_owned());
        }
    }
    (text.to_owned(), String::new())
}

/// `$x` that nothing is known of becomes the text "$x", so that the head is JSON.
pub(crate) fn quote_unbound(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(":$") {
        let end = rest[at + 2..].find(|c: char| !c.is_alphanumeric()).map_or(rest.len(), |end| at + 2 + end);
        out.push_str(&rest[..=at]);
        out.push_str(&format!("\"{}\"", &rest[at + 1..end]));
        rest = &rest[end..];
    }
    out + rest
}

/// Whether `heard` has all that `expected` has. Members that are expected to be `null` must be absent.
pub(crate) fn matches(expected: &Value, heard: &Value, bound: &mut BTreeMap<String, String>) -> bool {
    match (expected, heard) {
        (Value::String(name), heard) if name.starts_with('$') && name.len() < 4 => {
            bound.insert(name.clone(), heard.to_string());
            true
        }
        (Value::Object(expected), Value::Object(heard)) => expected.iter().all(|(name, value)| match heard.get(name) {
            None => value.is_null(),
            Some(heard) => matches(value, heard, bound),
        }),
        (Value::String(start), Value::String(heard)) if start.ends_with('…') => {
            heard.contains(start.trim_end_matches('…'))
        }
        _ => expected == heard,
    }
}
