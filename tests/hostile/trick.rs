//! What somebody on the way can do to a sealed connection without its key, one piece after the other.

use crate::cut::Way;
use crate::dice::Dice;

/// Bits of what stands in front of a record.
pub(crate) const LENGTH_BITS: usize = 16;

/// Bits of what stands at its end.
pub(crate) const TAG_BITS: usize = 128;

/// A bit of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bit {
    Length(usize),
    /// Of the first byte of the ciphertext; there is always one.
    First(usize),
    Middle(usize),
    Last(usize),
    Tag(usize),
    /// Counted from the beginning, whatever stands there.
    At(usize),
}

impl Bit {
    /// Every bit of every class.
    pub(crate) fn all() -> Vec<Self> {
        let bits = |count: usize, make: fn(usize) -> Self| (0..count).map(make);
        bits(LENGTH_BITS, Self::Length)
            .chain(bits(8, Self::First))
            .chain(bits(8, Self::Middle))
            .chain(bits(8, Self::Last))
            .chain(bits(TAG_BITS, Self::Tag))
            .collect()
    }

    fn flip(self, piece: &mut [u8]) {
        let (length, tag) = (piece.len(), TAG_BITS / 8);
        let (byte, bit) = match self {
            Self::Length(bit) => (bit / 8, bit % 8),
            Self::First(bit) => (2, bit),
            Self::Middle(bit) => (2 + (length - 2 - tag) / 2, bit),
            Self::Last(bit) => (length - tag - 1, bit),
            Self::Tag(bit) => (length - tag + bit / 8, bit % 8),
            Self::At(bit) => (bit / 8, bit % 8),
        };
        piece[byte] ^= 1 << bit;
    }
}

/// What is done to a connection, from one piece on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trick {
    /// One bit is another.
    Flip(Bit),
    /// It comes twice.
    Twice,
    /// It comes again when so many others have passed.
    Later(usize),
    /// The one behind it comes first.
    Swap,
    /// It does not come; the next one does.
    LeaveOut,
    /// Only a part of it comes, and then the next.
    Shorten,
    /// Only a part of it comes, and then nothing any more.
    CutWithin,
    /// The stream ends in front of it, as if it had been closed.
    CutBefore,
    /// In its place comes what its receiver said last.
    Reflect,
    /// In its place comes the piece with the same number of another connection under the same key.
    Move,
    /// In its place come bytes of the same number that mean nothing.
    Invent,
    /// In its place comes a record of this length, shorter than there are.
    Tiny(u16),
}

impl Trick {
    /// All that is no bit.
    pub(crate) const OTHERS: [Self; 13] = [
        Self::Twice,
        Self::Later(1),
        Self::Later(2),
        Self::Swap,
        Self::LeaveOut,
        Self::Shorten,
        Self::CutWithin,
        Self::CutBefore,
        Self::Reflect,
        Self::Move,
        Self::Invent,
        Self::Tiny(0),
        Self::Tiny(16),
    ];

    /// Whether the piece that it begins with arrives as it was said.
    pub(crate) fn lets_some_through(self) -> bool {
        matches!(self, Self::Twice | Self::Later(_))
    }

    /// Whether all that happens is that the stream ends, so that there is nothing wrong to be told.
    pub(crate) fn only_cuts(self) -> bool {
        matches!(self, Self::CutWithin | Self::CutBefore)
    }
}

/// What anybody on the way has seen, for the pieces that come from elsewhere.
pub(crate) struct Seen<'a> {
    /// How many pieces went this way before.
    pub(crate) number: usize,
    /// What the receiver said last.
    pub(crate) said_by_receiver: Option<&'a [u8]>,
    /// What went this way on another connection under the same key.
    pub(crate) elsewhere: &'a [Vec<u8>],
}

/// A trick under way.
pub(crate) struct Trickster {
    trick: Trick,
    dice: Dice,
    /// Kept for later.
    kept: Option<Vec<u8>>,
    /// Pieces that it has looked at.
    pieces: usize,
}

/// What goes on, and whether that is the end.
pub(crate) struct Passed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: bool,
}

impl Trickster {
    pub(crate) fn new(trick: Trick, seed: u64) -> Self {
        Self { trick, dice: Dice::new(seed), kept: None, pieces: 0 }
    }

    pub(crate) fn pass(&mut self, mut piece: Vec<u8>, seen: &Seen<'_>) -> Passed {
        let nth = self.pieces;
        self.pieces += 1;
        let mut ends = false;
        let bytes = match (self.trick, nth) {
            (Trick::Flip(bit), 0) => {
                bit.flip(&mut piece);
                piece
            }
            (Trick::Twice, 0) => [&piece[..], &piece].concat(),
            (Trick::Later(_), 0) => {
                self.kept = Some(piece.clone());
                piece
            }
            (Trick::Later(after), nth) if nth == after => [piece, self.kept.take().unwrap_or_default()].concat(),
            (Trick::Swap, 0) => {
                self.kept = Some(piece);
                Vec::new()
            }
            (Trick::Swap, 1) => [piece, self.kept.take().unwrap_or_default()].concat(),
            (Trick::LeaveOut, 0) => Vec::new(),
            (Trick::Shorten | Trick::CutWithin, 0) => {
                ends = self.trick == Trick::CutWithin;
                piece.truncate(1 + self.dice.below(piece.len() - 1));
                piece
            }
            (Trick::CutBefore, 0) => {
                ends = true;
                Vec::new()
            }
            (Trick::Reflect, 0) => seen.said_by_receiver.unwrap_or_default().to_vec(),
            (Trick::Move, 0) => seen.elsewhere.get(seen.number).cloned().unwrap_or_default(),
            (Trick::Invent, 0) => {
                let count = piece.len() - 2;
                [&piece[..2], &self.dice.bytes(count)].concat()
            }
            (Trick::Tiny(length), 0) => [&length.to_be_bytes()[..], &self.dice.bytes(usize::from(length))].concat(),
            _ => piece,
        };
        Passed { bytes, ends }
    }
}

/// Something that can be done to one direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) way: Way,
    pub(crate) trick: Trick,
    pub(crate) seed: u64,
}
