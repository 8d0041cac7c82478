//! Cuts the bytes of one direction of a sealed connection at the borders of its records, as anybody on the way can: lengths are in the clear.

/// Where bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

impl Way {
    pub(crate) const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];

    pub(crate) fn back(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// The first byte of a greeting, and of its answer.
const SEALED: u8 = 0xab;

/// Bytes before the id of a key: two fixed ones, the version, a length.
const BEFORE_ID: usize = 4;

const MESSAGE: usize = 48;

/// Two fixed bytes, the version, message 2.
const ANSWER: usize = 3 + MESSAGE;

/// What came and is not a whole piece yet. The first piece is the greeting, or the answer to it; then come records.
pub(crate) struct Cutter {
    way: Way,
    pending: Vec<u8>,
    greeted: bool,
}

impl Cutter {
    pub(crate) fn new(way: Way) -> Self {
        Self { way, pending: Vec::new(), greeted: false }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole piece.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let length = if self.greeted { self.record() } else { self.opening() }?;
        if self.pending.len() < length {
            return None;
        }
        self.greeted = true;
        Some(self.pending.drain(..length).collect())
    }

    /// What is left when the stream has ended.
    pub(crate) fn rest(self) -> Vec<u8> {
        self.pending
    }

    fn opening(&self) -> Option<usize> {
        match (self.way, *self.pending.first()?) {
            (Way::ToServer, SEALED) => Some(BEFORE_ID + usize::from(*self.pending.get(3)?) + MESSAGE),
            (Way::ToClient, SEALED) => Some(ANSWER),
            // Frames in the clear.
            _ => Some(4 + u32::from_be_bytes(*self.pending.first_chunk()?) as usize),
        }
    }

    fn record(&self) -> Option<usize> {
        Some(2 + usize::from(u16::from_be_bytes(*self.pending.first_chunk()?)))
    }
}

#[test]
fn pieces_are_the_same_however_they_come() {
    let greeting = [&[SEALED, b'S', 1, 2, b'a', b'b'][..], &[7; MESSAGE]].concat();
    let pieces = [greeting, vec![0, 3, 1, 2, 3], vec![0, 0], vec![0, 1, 9]];
    let bytes = pieces.concat();
    for step in [1, 2, 5, bytes.len()] {
        let (mut cutter, mut cut) = (Cutter::new(Way::ToServer), Vec::new());
        for piece in bytes.chunks(step) {
            cutter.add(piece);
            cut.extend(std::iter::from_fn(|| cutter.next()));
        }
        assert_eq!(cut, pieces);
        assert!(cutter.rest().is_empty());
    }
}
