//! Words of a keys file in messages: what may be repeated there, and which word somebody may have meant.

use std::borrow::Cow;

/// So many characters of base32 in a row are taken for a piece of a secret, wherever they stand.
const SECRET_LIKE: usize = 20;

/// The longest word that is repeated.
const SHOWN_BYTES_MAX: usize = 64;

/// The word in a form that can be shown: one line, and nothing that may be a key, which people do paste into the wrong place.
pub(super) fn shown(word: &str) -> Cow<'_, str> {
    let (mut run, mut longest) = (0, 0);
    for c in word.chars() {
        run = if matches!(c.to_ascii_lowercase(), 'a'..='z' | '2'..='7') { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    if longest >= SECRET_LIKE || word.contains("abk") || word.len() > SHOWN_BYTES_MAX {
        return Cow::Borrowed("(not shown: it may be a key)");
    }
    // What has to be written out there moves the cursor, or is not seen at all.
    let quoted = format!("{word:?}");
    if word.is_empty() || quoted.len() > word.len() + 2 { Cow::Owned(quoted) } else { Cow::Borrowed(word) }
}

/// The word that was meant, if one is near.
pub(super) fn meant<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    if word.len() > SHOWN_BYTES_MAX {
        return None;
    }
    if let Some((_, meant)) = OTHER_WORDS.iter().find(|(other, _)| *other == word) {
        return known.iter().copied().find(|known| known == meant);
    }
    let near = known.iter().map(|known| (distance(&word, known), *known)).min();
    near.filter(|(distance, known)| *distance <= known.len() / 3).map(|(_, known)| known)
}

/// What other brokers call it.
const OTHER_WORDS: [(&str, &str); 7] = [
    ("cert", "certificate"),
    ("subject", "certificate"),
    ("secret", "keys"),
    ("pub", "publish"),
    ("sub", "subscribe"),
    ("request", "call"),
    ("handle", "serve"),
];

/// How many characters must be added, taken away or exchanged.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, c) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, wanted) in other.iter().enumerate() {
            let exchanged = diagonal + usize::from(c != *wanted);
            diagonal = row[column + 1];
            row[column + 1] = exchanged.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shown_unless_they_may_be_keys() {
        for word in ["billing", "mail.eu", "größe", "a b", "1.2.3"] {
            assert_eq!(shown(word), word);
        }
        for (word, told) in [("", "\"\""), ("a\n", "\"a\\n\""), ("a\u{202e}b", "\"a\\u{202e}b\"")] {
            assert_eq!(shown(word), told);
        }
        for word in ["abk1:a:b", "aaaqeayeaudaocajbifq", "AAAQEAYEAUDAOCAJBIFQ", &"a.".repeat(40)] {
            assert_eq!(shown(word), "(not shown: it may be a key)");
        }
    }

    #[test]
    fn a_near_word_was_meant() {
        let known = ["keys", "call", "serve", "publish", "subscribe", "admin", "peer", "certificate"];
        for (word, expected) in [
            ("key", Some("keys")),
            ("calls", Some("call")),
            ("SERVE", Some("serve")),
            ("subscribes", Some("subscribe")),
            ("certifcate", Some("certificate")),
            ("cert", Some("certificate")),
            ("sub", Some("subscribe")),
            ("x", None),
            ("rights", None),
        ] {
            assert_eq!(meant(word, &known), expected, "{word}");
        }
        assert_eq!((distance("", "abc"), distance("abc", ""), distance("call", "clal")), (3, 3, 2));
    }
}
