//! What was wrong with a frame, for the peer to read and for a counter to count.

use crate::ids::RequestId;
use crate::text::Text;
use std::borrow::Cow;
use std::fmt;

/// A head that is not what `docs/PROTOCOL.md` allows. The frame's borders were sound, so the connection can go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub problem: Problem,
    /// The member that is wrong, or the object in which something is.
    pub member: Cow<'static, str>,
    /// The frame's `type`, where it could be read.
    pub kind: Option<Text<'static>>,
    /// The frame's `id`, where it could be read: the request it names is answered with the error.
    pub id: Option<RequestId>,
}

/// The ways in which a head can be wrong; each is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Problem {
    /// Not JSON by RFC 8259, at this byte.
    NotJson(u16),
    /// Bytes that are not UTF-8, or an escape that names half a character.
    NotUtf8,
    /// JSON, but not an object.
    NotAnObject,
    /// Deeper than four levels.
    TooDeep,
    /// More members than one object may have.
    TooManyMembers,
    /// A member that appears twice.
    Twice,
    /// A member that must be there and is not.
    Missing,
    /// Must be an unsigned integer below 2^53.
    NotAnId,
    /// Must be an unsigned integer; `least` to `most`.
    NotInRange {
        /// The smallest allowed.
        least: u64,
        /// The greatest allowed.
        most: u64,
    },
    /// Must be `true` or `false`.
    NotABoolean,
    /// Must be a string.
    NotAString,
    /// Must be a list of ids or names.
    NotAList {
        /// The most elements.
        most: usize,
    },
    /// A string of 1 to `most` bytes without control characters.
    NotAName {
        /// The most bytes.
        most: usize,
    },
    /// A name or topic whose tokens or wildcards are not as they should be.
    NotAPattern,
    /// 32 hex digits.
    NotASession,
    /// Both `[least, greatest]`.
    NotAVersionRange,
    /// A `type` that this end does not know.
    UnknownType,
    /// This member cannot stand beside another one that is there.
    Contradiction(&'static str),
}

/// What readers of pieces return: boxed, because a result that is large is copied at every step of the sound road.
pub(crate) type Wrong = Box<Malformed>;

impl Malformed {
    pub(crate) fn new(problem: Problem, member: impl Into<Cow<'static, str>>) -> Wrong {
        Box::new(Self { problem, member: member.into(), kind: None, id: None })
    }

    /// A short fixed word for counters and tests.
    pub fn word(&self) -> &'static str {
        self.problem.word()
    }
}

impl Problem {
    /// A short fixed word for counters and tests.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotJson(_) => "not_json",
            Self::NotUtf8 => "not_utf8",
            Self::NotAnObject => "not_an_object",
            Self::TooDeep => "too_deep",
            Self::TooManyMembers => "too_many_members",
            Self::Twice => "twice",
            Self::Missing => "missing",
            Self::NotAnId => "not_an_id",
            Self::NotInRange { .. } => "not_in_range",
            Self::NotABoolean => "not_a_boolean",
            Self::NotAString => "not_a_string",
            Self::NotAList { .. } => "not_a_list",
            Self::NotAName { .. } => "not_a_name",
            Self::NotAPattern => "not_a_pattern",
            Self::NotASession => "not_a_session",
            Self::NotAVersionRange => "not_a_version_range",
            Self::UnknownType => "unknown_type",
            Self::Contradiction(_) => "contradiction",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = self.member.escape_debug();
        match self.problem {
            Problem::NotJson(at) => write!(f, "the head is not JSON at byte {at}"),
            Problem::NotUtf8 => write!(f, "the head is not UTF-8"),
            Problem::NotAnObject => write!(f, "the head must be one JSON object"),
            Problem::TooDeep => write!(f, "the head is nested deeper than {} levels", crate::limits::DEPTH_MAX),
            Problem::TooManyMembers => {
                write!(f, "an object in the head has more than {} members", crate::limits::MEMBERS_MAX)
            }
            Problem::Twice => write!(f, "member `{member}` appears twice"),
            Problem::Missing => write!(f, "member `{member}` is missing"),
            Problem::NotAnId => write!(f, "`{member}` must be an integer from 0 to 2^53-1"),
            Problem::NotInRange { least, most } => {
                write!(f, "`{member}` must be an integer from {least} to {most}")
            }
            Problem::NotABoolean => write!(f, "`{member}` must be true or false"),
            Problem::NotAString => write!(f, "`{member}` must be a string"),
            Problem::NotAList { most } => write!(f, "`{member}` must be a list of at most {most} sound elements"),
            Problem::NotAName { most } => {
                write!(f, "`{member}` must be 1 to {most} bytes of UTF-8 without control characters")
            }
            Problem::NotAPattern => write!(
                f,
                "`{member}` must be at most 16 tokens between dots, none of them empty; wildcards, where allowed, are `*` for one token and a last `>` for the rest"
            ),
            Problem::NotASession => write!(f, "`{member}` must be 32 hex digits"),
            Problem::NotAVersionRange => write!(f, "`{member}` must be [least, greatest]"),
            Problem::UnknownType => write!(f, "type `{member}` is not known here"),
            Problem::Contradiction(other) => write!(f, "`{member}` cannot stand beside `{other}`"),
        }
    }
}

impl std::error::Error for Malformed {}
