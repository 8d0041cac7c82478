//! Walks over JSON text: finds where each piece ends and refuses what is not allowed. Decodes nothing but strings.
//!
//! What runs once per member is always inlined: handing a piece over through memory costs more than reading it. That and
//! boxed errors took the reading of a typical request from 270 to 145 ns. What is rare is kept out of that road.

use crate::limits::{DEPTH_MAX, MEMBERS_MAX};
use crate::malformed::{Malformed, Problem, Wrong};
use crate::text::Text;

/// A place in a head. The text is known to be UTF-8.
#[derive(Clone)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// What stands where a value is expected. Objects and arrays are held as their text, already checked.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// The text of a number.
    Number(&'a str),
    Text(Text<'a>),
    Array(&'a str),
    Object(&'a str),
}

/// Names of the members of one object, to find twins. Most objects have fewer than ten, each with another bit.
pub(super) struct Seen {
    bits: u64,
    count: usize,
    /// Where the quoted names start in the text.
    starts: [u16; MEMBERS_MAX],
}

impl Seen {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { bits: 0, count: 0, starts: [0; MEMBERS_MAX] }
    }
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// The error for whatever stands here.
    pub(super) fn not_json(&self) -> Wrong {
        Malformed::new(Problem::NotJson(u16::try_from(self.at).unwrap_or(u16::MAX)), "")
    }

    /// The next byte that is not white space, without taking it.
    pub(super) fn look(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes().get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes `byte`, with the white space before it, if it is next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.look() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Wrong> {
        if self.take(byte) { Ok(()) } else { Err(self.not_json()) }
    }

    /// Nothing but white space may be left.
    pub(super) fn end(&mut self) -> Result<(), Wrong> {
        if self.look().is_none() { Ok(()) } else { Err(self.not_json()) }
    }

    /// The name of a member and its colon; refuses a twin of one already seen.
    #[inline(always)]
    pub(super) fn member_name(&mut self, seen: &mut Seen) -> Result<Text<'a>, Wrong> {
        self.look();
        let start = self.at;
        let name = self.string()?;
        self.note(&name, start, seen)?;
        self.expect(b':')?;
        Ok(name)
    }

    #[inline(always)]
    fn note(&self, name: &Text<'a>, start: usize, seen: &mut Seen) -> Result<(), Wrong> {
        let first = name.as_bytes().first().copied().unwrap_or(0);
        let bit = 1u64 << ((usize::from(first) ^ (name.len() << 3)) & 63);
        if seen.bits & bit != 0 && self.is_twin(name, seen) {
            return Err(Malformed::new(Problem::Twice, name.to_string()));
        }
        if seen.count == MEMBERS_MAX {
            return Err(Malformed::new(Problem::TooManyMembers, ""));
        }
        seen.bits |= bit;
        seen.starts[seen.count] = start as u16;
        seen.count += 1;
        Ok(())
    }

    #[inline(never)]
    fn is_twin(&self, name: &Text<'a>, seen: &Seen) -> bool {
        seen.starts[..seen.count].iter().any(|&start| {
            let mut earlier = Scanner { text: self.text, at: usize::from(start) };
            earlier.string().is_ok_and(|earlier| earlier == *name)
        })
    }

    /// A value inside an object or array that is `depth` levels down.
    #[inline(always)]
    pub(super) fn value(&mut self, depth: usize) -> Result<Value<'a>, Wrong> {
        match self.look() {
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(b'{') => self.object(depth + 1).map(Value::Object),
            Some(b'[') => self.array(depth + 1).map(Value::Array),
            _ => Err(self.not_json()),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Wrong> {
        if !self.bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.not_json());
        }
        self.at += word.len();
        Ok(value)
    }

    #[inline(never)]
    fn object(&mut self, depth: usize) -> Result<&'a str, Wrong> {
        let start = self.at;
        deeper(depth)?;
        self.expect(b'{')?;
        if !self.take(b'}') {
            let mut seen = Seen::new();
            loop {
                self.member_name(&mut seen)?;
                self.value(depth)?;
                if !self.take(b',') {
                    break self.expect(b'}')?;
                }
            }
        }
        Ok(&self.text[start..self.at])
    }

    #[inline(never)]
    fn array(&mut self, depth: usize) -> Result<&'a str, Wrong> {
        let start = self.at;
        deeper(depth)?;
        self.expect(b'[')?;
        if !self.take(b']') {
            loop {
                self.value(depth)?;
                if !self.take(b',') {
                    break self.expect(b']')?;
                }
            }
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        while self.bytes().get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.not_json()) }
    }

    fn skip(&mut self, any_of: &[u8]) -> bool {
        let found = self.bytes().get(self.at).is_some_and(|byte| any_of.contains(byte));
        self.at += usize::from(found);
        found
    }

    /// A number by the grammar of RFC 8259: no plus, no leading zero, digits around a point.
    #[inline(always)]
    fn number(&mut self) -> Result<&'a str, Wrong> {
        // Nearly every number here is a plain integer.
        let start = self.at;
        let rest = &self.bytes()[start..];
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        let plain = digits > 0 && rest[0] != b'0' && !matches!(rest.get(digits), Some(b'.' | b'e' | b'E'));
        if plain {
            self.at += digits;
            return Ok(&self.text[start..self.at]);
        }
        self.any_number()
    }

    #[inline(never)]
    fn any_number(&mut self) -> Result<&'a str, Wrong> {
        let start = self.at;
        self.skip(b"-");
        if !self.skip(b"0") {
            self.digits()?;
        }
        if self.skip(b".") {
            self.digits()?;
        }
        if self.skip(b"eE") {
            self.skip(b"+-");
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// A string: borrowed if it stands there as it is, owned if it holds escapes.
    #[inline(always)]
    fn string(&mut self) -> Result<Text<'a>, Wrong> {
        if self.bytes().get(self.at) != Some(&b'"') {
            return Err(self.not_json());
        }
        self.at += 1;
        let start = self.at;
        loop {
            match self.bytes().get(self.at) {
                Some(b'"') => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Text::Borrowed(text));
                }
                Some(b'\\') => return self.escaped_string(start).map(Text::from),
                Some(0x20..) => self.at += 1,
                _ => return Err(self.not_json()),
            }
        }
    }

    /// The rest of a string whose first escape stands here.
    #[inline(never)]
    fn escaped_string(&mut self, start: usize) -> Result<String, Wrong> {
        let mut text = String::from(&self.text[start..self.at]);
        let mut plain = self.at;
        loop {
            match self.bytes().get(self.at) {
                Some(b'"') => {
                    text.push_str(&self.text[plain..self.at]);
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    text.push_str(&self.text[plain..self.at]);
                    self.at += 1;
                    text.push(self.escape()?);
                    plain = self.at;
                }
                Some(0x20..) => self.at += 1,
                _ => return Err(self.not_json()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Wrong> {
        let Some(&letter) = self.bytes().get(self.at) else { return Err(self.not_json()) };
        self.at += 1;
        match letter {
            b'"' | b'\\' | b'/' => Ok(char::from(letter)),
            b'b' => Ok('\u{8}'),
            b'f' => Ok('\u{c}'),
            b'n' => Ok('\n'),
            b'r' => Ok('\r'),
            b't' => Ok('\t'),
            b'u' => self.unicode_escape(),
            _ => Err(self.not_json()),
        }
    }

    /// `\uXXXX`, two of them for a character beyond the first 65,536. Half a pair is not a character.
    fn unicode_escape(&mut self) -> Result<char, Wrong> {
        let first = self.hex4()?;
        let code = match first {
            0xd800..=0xdbff => {
                if !(self.skip(b"\\") && self.skip(b"u")) {
                    return Err(half_a_character());
                }
                match self.hex4()? {
                    second @ 0xdc00..=0xdfff => 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => return Err(half_a_character()),
                }
            }
            other => other,
        };
        char::from_u32(code).ok_or_else(half_a_character)
    }

    fn hex4(&mut self) -> Result<u32, Wrong> {
        let digits = self.bytes().get(self.at..self.at + 4).ok_or_else(|| self.not_json())?;
        let mut code = 0;
        for &digit in digits {
            code = code << 4 | char::from(digit).to_digit(16).ok_or_else(|| self.not_json())?;
        }
        self.at += 4;
        Ok(code)
    }
}

fn deeper(depth: usize) -> Result<(), Wrong> {
    if depth > DEPTH_MAX { Err(Malformed::new(Problem::TooDeep, "")) } else { Ok(()) }
}

fn half_a_character() -> Wrong {
    Malformed::new(Problem::NotUtf8, "")
}

/// The text of an integer from 0 to `u64::MAX`, as a number. JSON has other ways to write integers (`1e3`, `1.0`); on
/// this wire they are not integers.
pub(super) fn unsigned(number: &str) -> Option<u64> {
    let mut value = 0u64;
    for digit in number.bytes() {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    Some(value)
}

/// The elements of an array whose text was checked already.
pub(super) fn elements<'a>(array: &'a str) -> impl Iterator<Item = Value<'a>> {
    let mut scanner = Scanner::new(array);
    scanner.take(b'[');
    std::iter::from_fn(move || {
        if scanner.look() == Some(b']') {
            return None;
        }
        let value = scanner.value(0).ok()?;
        scanner.take(b',');
        Some(value)
    })
}
