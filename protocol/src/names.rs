//! Names of actions and topics, and patterns over them, checked once when they are read.

use crate::limits::{NAME_BYTES_MAX, TOKENS_MAX};
use crate::malformed::Problem;
use crate::text::Text;

/// The name of an action: 1 to 255 bytes of UTF-8 without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name<'a>(Text<'a>);

impl<'a> Name<'a> {
    /// Takes `text` as a name, if it is one.
    pub fn new(text: impl Into<Text<'a>>) -> Result<Self, Problem> {
        bounded(text.into(), NAME_BYTES_MAX).map(Self)
    }

    /// Its characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it belongs to the broker: such names start with `$`.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }

    /// Its characters, as they are held.
    pub fn into_text(self) -> Text<'a> {
        self.0
    }
}

/// A topic, or a pattern of topics: tokens between dots, none of them empty. In a pattern the token `*` stands for any
/// one token, and a last token `>` for one or more. A wildcard in first place does not match what starts with `$`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern<'a>(Text<'a>);

impl<'a> Pattern<'a> {
    /// Takes `text` as a pattern, if it is one.
    pub fn new(text: impl Into<Text<'a>>) -> Result<Self, Problem> {
        let text = bounded(text.into(), NAME_BYTES_MAX)?;
        let well_formed = {
            let mut tokens = text.split('.').peekable();
            let mut good = text.split('.').count() <= TOKENS_MAX;
            while let Some(token) = tokens.next() {
                good &= !token.is_empty() && (token != ">" || tokens.peek().is_none());
            }
            good
        };
        if well_formed { Ok(Self(text)) } else { Err(Problem::NotAPattern) }
    }

    /// Takes `text` as a topic to publish to: a pattern without wildcards.
    pub fn topic(text: impl Into<Text<'a>>) -> Result<Self, Problem> {
        let pattern = Self::new(text)?;
        if pattern.has_wildcards() { Err(Problem::NotAPattern) } else { Ok(pattern) }
    }

    /// Its characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same pattern, free of what it was borrowed from.
    pub fn into_static(self) -> Pattern<'static> {
        Pattern(self.0.into_static())
    }

    /// Its tokens, in order.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether one of its tokens is a wildcard.
    pub fn has_wildcards(&self) -> bool {
        self.tokens().any(|token| token == "*" || token == ">")
    }

    /// Its characters, as they are held.
    pub fn into_text(self) -> Text<'a> {
        self.0
    }
}

/// Whether a topic fits a pattern: `*` is any token, a last `>` all that are left, and in first place neither stands for what starts with `$`.
pub fn topic_fits(pattern: &str, topic: &str) -> bool {
    (!topic.starts_with('$') || pattern.starts_with('$')) && matches_pattern(pattern, topic)
}

/// Whether a name fits a pattern: `*` is any token, and `>` at the end all that are left.
pub fn matches_pattern(pattern: &str, topic: &str) -> bool {
    let (mut wanted, mut tokens) = (pattern.split('.'), topic.split('.'));
    loop {
        match (wanted.next(), tokens.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(want), Some(token)) if want == token => {}
            _ => return false,
        }
    }
}

/// Whether `text` has 1 to `most` bytes and no control characters: what every name, key and code on the wire must be. Writers do not check it.
pub fn is_sound(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most && !has_control(text)
}

/// Takes `text` if it is [sound](is_sound).
pub(crate) fn bounded(text: Text<'_>, most: usize) -> Result<Text<'_>, Problem> {
    if is_sound(&text, most) { Ok(text) } else { Err(Problem::NotAName { most }) }
}

/// Control characters are C0, DEL and C1. C1 in UTF-8 is `C2 80` to `C2 9F`.
fn has_control(text: &str) -> bool {
    text.bytes().any(|b| b < 0x20 || b == 0x7f || b == 0xc2) && text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_1_to_255_bytes_without_control_characters() {
        for good in ["a", "user.get", "größe", "a b", "$stats", "é£", &"x".repeat(255)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for wrong in ["", "a\nb", "\u{7f}", "\u{85}", &"x".repeat(256)] {
            assert_eq!(Name::new(wrong), Err(Problem::NotAName { most: 255 }), "{wrong:?}");
        }
    }

    #[test]
    fn a_topic_fits_a_pattern_token_by_token() {
        for (pattern, topic) in
            [("a.b", "a.b"), ("a.*", "a.b"), ("a.>", "a.b.c"), (">", "a"), ("$events.>", "$events.x")]
        {
            assert!(topic_fits(pattern, topic), "{pattern} {topic}");
        }
        for (pattern, topic) in [("a", "a.b"), ("a.*", "a"), ("a.>", "a"), (">", "$events.x"), ("*.x", "$events.x")] {
            assert!(!topic_fits(pattern, topic), "{pattern} {topic}");
        }
    }

    #[test]
    fn patterns_are_tokens_between_dots() {
        for good in ["a", "a.b", "*", ">", "a.*.c", "a.>", "*.>", "a*b", "$events.>"] {
            assert!(Pattern::new(good).is_ok(), "{good}");
        }
        for wrong in [".", "a.", ".a", "a..b", ">.a", "a.>.b", "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17"] {
            assert_eq!(Pattern::new(wrong), Err(Problem::NotAPattern), "{wrong}");
        }
        assert!(Pattern::topic("a.b").is_ok());
        assert!(Pattern::topic("a.*").is_err());
    }
}
