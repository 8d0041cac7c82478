//! The language of a system, as far as a lean client needs it.

use super::sealed::Seal;
use crate::Outcome;

/// Speaks on one connection.
pub(crate) trait Dialect: Send {
    /// The first message in `bytes` and how long it is, or nothing while it is not whole.
    fn hear<'b>(&mut self, bytes: &'b [u8]) -> Outcome<Option<(Heard<'b>, usize)>>;

    /// Writes a call.
    fn ask(&mut self, id: u64, data: &[u8], out: &mut Vec<u8>);

    /// Writes the answer to the call that was heard with this `reply_to`.
    fn answer(&mut self, reply_to: &[u8], data: &[u8], out: &mut Vec<u8>);

    /// All that one read brought has been heard, or the first calls have been made. What else there is to say, such as
    /// acknowledgements, is written now.
    fn end_of_batch(&mut self, out: &mut Vec<u8>);

    /// The channel that was made for this connection, if it is sealed. Asked for once.
    fn take_seal(&mut self) -> Option<Seal> {
        None
    }
}

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Heard<'b> {
    /// A call to be answered.
    Call {
        /// What its answer must name.
        reply_to: &'b [u8],
        /// Its data.
        data: &'b [u8],
    },
    /// The answer to a call of ours.
    Answer {
        /// Which call.
        id: u64,
        /// How much data came with it.
        data_bytes: usize,
    },
    /// A send of ours was taken.
    Accepted {
        /// Which send.
        id: u64,
    },
    /// Something that concerns the dialect alone.
    Nothing,
}
