//! The members of an object, one after the other, each asked for what it should be.

use super::scanner::{Scanner, Seen, Value, elements, unsigned};
use crate::ids::{RequestId, SessionId};
use crate::limits::ID_END;
use crate::malformed::{Malformed, Problem, Wrong};
use crate::names::{Name, Pattern, bounded};
use crate::text::Text;

/// Reads an object member by member. Every member is checked, also those that nobody asks for.
pub(crate) struct Members<'a> {
    scanner: Scanner<'a>,
    seen: Seen,
    depth: usize,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    First,
    Later,
    Over,
}

/// One member: its name, and its value to be taken as something.
pub(crate) struct Member<'a> {
    pub(crate) name: Text<'a>,
    value: Value<'a>,
    depth: usize,
}

impl<'a> Members<'a> {
    /// The members of a head.
    #[inline(always)]
    pub(crate) fn of_head(head: &'a [u8]) -> Result<Self, Wrong> {
        let text = std::str::from_utf8(head).map_err(|_| Malformed::new(Problem::NotUtf8, ""))?;
        Self::open(text, 1)
    }

    #[inline(always)]
    fn open(text: &'a str, depth: usize) -> Result<Self, Wrong> {
        let mut scanner = Scanner::new(text);
        if scanner.take(b'{') {
            Ok(Self { scanner, seen: Seen::new(), depth, state: State::First })
        } else if scanner.value(0).is_ok() && scanner.end().is_ok() {
            Err(Malformed::new(Problem::NotAnObject, ""))
        } else {
            Err(scanner.not_json())
        }
    }

    /// The next member; after the last one, that nothing follows the object. After an error there are no more: what
    /// stands behind it cannot be told, and the first error is the one to report.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<Member<'a>>, Wrong> {
        let more = match std::mem::replace(&mut self.state, State::Over) {
            State::First => self.scanner.look() != Some(b'}'),
            State::Later => self.scanner.take(b','),
            State::Over => return Ok(None),
        };
        if !more {
            self.scanner.expect(b'}')?;
            self.scanner.end()?;
            return Ok(None);
        }
        let name = self.scanner.member_name(&mut self.seen)?;
        let value = self.scanner.value(self.depth)?;
        self.state = State::Later;
        Ok(Some(Member { name, value, depth: self.depth }))
    }
}

impl<'a> Member<'a> {
    fn wrong(&self, problem: Problem) -> Wrong {
        Malformed::new(problem, self.name.to_string())
    }

    /// Any string.
    pub(crate) fn text(self) -> Result<Text<'a>, Wrong> {
        match self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.wrong(Problem::NotAString)),
        }
    }

    /// A string of 1 to `most` bytes without control characters.
    pub(crate) fn bounded(self, most: usize) -> Result<Text<'a>, Wrong> {
        self.checked(|text| bounded(text, most))
    }

    /// The name of an action.
    pub(crate) fn name(self) -> Result<Name<'a>, Wrong> {
        self.checked(Name::new)
    }

    /// A topic or a pattern of topics.
    pub(crate) fn pattern(self) -> Result<Pattern<'a>, Wrong> {
        self.checked(Pattern::new)
    }

    /// A topic to publish to.
    pub(crate) fn topic(self) -> Result<Pattern<'a>, Wrong> {
        self.checked(Pattern::topic)
    }

    /// The id of a session.
    pub(crate) fn session(self) -> Result<SessionId, Wrong> {
        self.checked(|text| SessionId::parse(&text).ok_or(Problem::NotASession))
    }

    fn checked<T>(self, check: impl FnOnce(Text<'a>) -> Result<T, Problem>) -> Result<T, Wrong> {
        let Member { name, value, .. } = self;
        match value {
            Value::Text(text) => check(text),
            _ => Err(Problem::NotAString),
        }
        .map_err(|problem| Malformed::new(problem, name.to_string()))
    }

    /// `true` or `false`.
    pub(crate) fn boolean(self) -> Result<bool, Wrong> {
        match self.value {
            Value::Bool(value) => Ok(value),
            _ => Err(self.wrong(Problem::NotABoolean)),
        }
    }

    /// An integer from `least` to `most`.
    pub(crate) fn integer(self, least: u64, most: u64) -> Result<u64, Wrong> {
        let problem = Problem::NotInRange { least, most };
        self.unsigned().filter(|value| (least..=most).contains(value)).ok_or_else(|| self.wrong(problem))
    }

    /// A number below 2^53 that counts something or measures milliseconds.
    pub(crate) fn count(self) -> Result<u64, Wrong> {
        self.integer(0, ID_END - 1)
    }

    /// The number of a part, counted from 1.
    pub(crate) fn part_number(self) -> Result<u64, Wrong> {
        self.integer(1, ID_END - 1)
    }

    /// The number of an id; its type is the caller's to choose.
    pub(crate) fn id<I>(self, make: impl FnOnce(u64) -> Option<I>) -> Result<I, Wrong> {
        self.unsigned().and_then(make).ok_or_else(|| self.wrong(Problem::NotAnId))
    }

    fn unsigned(&self) -> Option<u64> {
        match self.value {
            Value::Number(number) => unsigned(number),
            _ => None,
        }
    }

    /// A list of at most `most` ids.
    pub(crate) fn ids<I>(self, most: usize, make: impl Fn(u64) -> Option<I>) -> Result<Vec<I>, Wrong> {
        self.list(most, |element| match element {
            Value::Number(number) => unsigned(number).and_then(&make),
            _ => None,
        })
    }

    /// A list of at most `most` strings of 1 to `bytes` bytes without control characters.
    pub(crate) fn names(self, most: usize, bytes: usize) -> Result<Vec<Text<'a>>, Wrong> {
        self.list(most, |element| match element {
            Value::Text(text) => bounded(text, bytes).ok(),
            _ => None,
        })
    }

    fn list<T>(self, most: usize, take: impl Fn(Value<'a>) -> Option<T>) -> Result<Vec<T>, Wrong> {
        let problem = Problem::NotAList { most };
        let Value::Array(array) = self.value else { return Err(self.wrong(problem)) };
        let taken: Option<Vec<T>> = elements(array).map(take).collect();
        taken.filter(|taken| taken.len() <= most).ok_or_else(|| self.wrong(problem))
    }

    /// `[least, greatest]`.
    pub(crate) fn version_range(self) -> Result<(u32, u32), Wrong> {
        let wrong = || self.wrong(Problem::NotAVersionRange);
        let Value::Array(array) = self.value else { return Err(wrong()) };
        let mut range = elements(array).map(|element| match element {
            Value::Number(number) => unsigned(number).and_then(|number| u32::try_from(number).ok()),
            _ => None,
        });
        match (range.next(), range.next(), range.next()) {
            (Some(Some(least)), Some(Some(greatest)), None) if least <= greatest => Ok((least, greatest)),
            _ => Err(wrong()),
        }
    }

    /// The members of an object in this member.
    pub(crate) fn object(self) -> Result<Members<'a>, Wrong> {
        match self.value {
            Value::Object(text) => Members::open(text, self.depth + 1),
            _ => Err(self.wrong(Problem::NotAnObject)),
        }
    }
}

/// The value of a member that must be there.
pub(crate) fn required<T>(name: &'static str, value: Option<T>) -> Result<T, Wrong> {
    value.ok_or_else(|| Malformed::new(Problem::Missing, name))
}

/// The `id` of a frame that is wrong elsewhere, so that whoever waits for that id can be answered.
pub(crate) fn salvage_id(head: &[u8]) -> Option<RequestId> {
    let mut members = Members::of_head(head).ok()?;
    while let Some(member) = members.next().ok()? {
        if member.name == "id" {
            return member.id(RequestId::new).ok();
        }
    }
    None
}
