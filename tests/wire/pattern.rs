//! What a script expects, held against what was heard.

use serde_json::Value;
use std::collections::BTreeMap;

/// Names and the JSON that they stand for.
pub(crate) type Bound = BTreeMap<String, String>;

/// Whether `heard` has all that `expected` has. `null` means absent, `$x` takes what stands there, and a text that ends
/// in `…` is a part of what is heard.
pub(crate) fn matches(expected: &Value, heard: &Value, bound: &mut Bound) -> bool {
    match (expected, heard) {
        (Value::String(name), heard) if name.starts_with('$') && name.len() == 2 => {
            bound.insert(name.clone(), heard.to_string());
            true
        }
        (Value::Object(expected), Value::Object(heard)) => expected.iter().all(|(name, value)| match heard.get(name) {
            None => value.is_null(),
            Some(heard) => matches(value, heard, bound),
        }),
        (Value::String(part), Value::String(heard)) if part.ends_with('…') => {
            heard.contains(part.trim_end_matches('…'))
        }
        _ => expected == heard,
    }
}

/// A head and the data behind it.
pub(crate) fn split(text: &str) -> (&str, &str) {
    let (mut depth, mut in_text, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '{' if !in_text => depth += 1,
            '}' if !in_text => depth -= 1,
            _ => {}
        }
        if depth == 0 && c == '}' && !in_text {
            return (&text[..=at], text[at + 1..].trim());
        }
    }
    (text, "")
}

/// Puts in what is known: `$x` becomes its value. What is not known becomes the text `"$x"`, so that the head is JSON.
pub(crate) fn fill(text: &str, bound: &Bound) -> String {
    let text = bound.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find(":$") {
        let end = at + 3;
        out.push_str(&format!("{}:\"{}\"", &rest[..at], &rest[at + 1..end]));
        rest = &rest[end..];
    }
    out + rest
}

#[test]
fn a_pattern_wants_what_it_says_and_nothing_more() {
    let mut bound = Bound::new();
    let heard: Value =
        serde_json::from_str(r#"{"type":"reply","id":7,"error":{"code":"x","message":"a b c"}}"#).unwrap();
    for (text, fits) in [
        (r#"{"type":"reply"}"#, true),
        (r#"{"type":"reply","data":null}"#, true),
        (r#"{"error":{"message":"b…"}}"#, true),
        (r#"{"id":$d}"#, true),
        (r#"{"id":8}"#, false),
        (r#"{"error":null}"#, false),
        (r#"{"part":true}"#, false),
    ] {
        let expected = serde_json::from_str(&fill(text, &bound)).unwrap();
        assert_eq!(matches(&expected, &heard, &mut bound), fits, "{text}");
    }
    assert_eq!(fill(r#"{"id":$d} [$d]"#, &bound), r#"{"id":7} [7]"#);
    assert_eq!(split(r#"{"a":"}","b":{}} {"c":1}"#), (r#"{"a":"}","b":{}}"#, r#"{"c":1}"#));
}
