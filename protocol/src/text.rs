//! Text that is borrowed from a received frame, owned, or shared with the broker's tables.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A string of a frame. Reading a frame borrows; building one shares what is there already.
#[derive(Clone)]
pub enum Text<'a> {
    /// A piece of the received head.
    Borrowed(&'a str),
    /// Made for this frame, for example because it stood there with escapes.
    Owned(Box<str>),
    /// Kept by many: the name of an action or of a client.
    Shared(Arc<str>),
}

impl<'a> Text<'a> {
    /// The characters.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
            Self::Shared(text) => text,
        }
    }

    /// The same text, free of what it was borrowed from.
    pub fn into_static(self) -> Text<'static> {
        match self {
            Self::Borrowed(text) => Text::Owned(text.into()),
            Self::Owned(text) => Text::Owned(text),
            Self::Shared(text) => Text::Shared(text),
        }
    }

    /// The same text, cut to at most `bytes` at a character.
    pub fn cut(self, bytes: usize) -> Text<'a> {
        if self.len() <= bytes { self } else { Text::Owned(self[..self.floor_char_boundary(bytes)].into()) }
    }
}

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text)
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Owned(text.into())
    }
}

impl From<Arc<str>> for Text<'_> {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text<'_> {}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
