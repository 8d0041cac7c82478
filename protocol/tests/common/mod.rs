//! What the tests of the wire share: the two sides of it as one thing, hex, and a small generator of numbers.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall stop")]

use answerback_protocol::envelope::Envelope;
use answerback_protocol::limits::{FRAME_BYTES_DEFAULT, PREFIX_BYTES, SERVER_EXTRA_BYTES};
use answerback_protocol::{ClientFrame, Malformed, ServerFrame};
use bytes::BytesMut;

/// Who sends a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Client,
    Server,
}

/// A frame of either side.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame<'a> {
    FromClient(ClientFrame<'a>),
    FromServer(ServerFrame<'a>),
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    pub fn from_word(word: &str) -> Self {
        match word {
            "client" | ">" => Self::Client,
            "server" | "<" => Self::Server,
            _ => panic!("not a side: {word}"),
        }
    }

    /// The most that the first length of a frame from this side may say.
    pub fn limit(self) -> u32 {
        match self {
            Self::Client => FRAME_BYTES_DEFAULT,
            Self::Server => FRAME_BYTES_DEFAULT + SERVER_EXTRA_BYTES,
        }
    }

    pub fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Client => ClientFrame::KINDS,
            Self::Server => ServerFrame::KINDS,
        }
    }

    pub fn read(self, head: &[u8]) -> Result<Frame<'_>, Malformed> {
        match self {
            Self::Client => ClientFrame::read(head).map(Frame::FromClient),
            Self::Server => ServerFrame::read(head).map(Frame::FromServer),
        }
    }
}

impl Frame<'_> {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FromClient(frame) => frame.kind(),
            Self::FromServer(frame) => frame.kind(),
        }
    }

    /// The whole frame as bytes.
    pub fn write(&self, data: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        match self {
            Self::FromClient(frame) => frame.write(data, &mut out),
            Self::FromServer(frame) => frame.write(data, &mut out),
        }
        out
    }

    /// The head as bytes.
    pub fn head(&self) -> Vec<u8> {
        self.write(b"").split_off(PREFIX_BYTES).to_vec()
    }
}

/// Head and data of a whole frame; panics if its lengths do not fit.
pub fn cut(frame: &[u8], side: Side) -> (&[u8], &[u8]) {
    let envelope = Envelope::peek(frame, side.limit()).unwrap().expect("a whole frame");
    assert_eq!(envelope.total(), frame.len());
    (&frame[PREFIX_BYTES..envelope.data_at()], &frame[envelope.data_at()..])
}

pub fn from_hex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "hex digits come in pairs");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// SplitMix64: the same seed gives the same numbers on every machine.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<'t, T>(&mut self, among: &'t [T]) -> &'t T {
        &among[self.below(among.len())]
    }

    /// A number below 2^53 of any size, often one at a border.
    pub fn count(&mut self) -> u64 {
        const END: u64 = 1 << 53;
        match self.below(4) {
            0 => *self.pick(&[0, 1, 255, 256, 65_535, END - 1]),
            _ => (self.roll() % END) >> self.below(53),
        }
    }
}
