//! What comes, for those who read into a buffer of their own; the server reads through [`crate::inbox`].

use super::record::{Opener, RECORD_LENGTH_BYTES, RecordError, TAG_BYTES};
use bytes::{Buf, BytesMut};

/// Opens the records of one connection.
#[derive(Debug)]
pub struct SealedReader {
    opener: Opener,
    /// As it came.
    sealed: BytesMut,
}

impl SealedReader {
    /// A reader that owns no buffer yet.
    pub fn new(opener: Opener) -> Self {
        Self { opener, sealed: BytesMut::new() }
    }

    /// Where reads are appended.
    pub fn sealed(&mut self) -> &mut BytesMut {
        &mut self.sealed
    }

    /// Opens every record that is whole and puts what is in it behind `frames`. Copied only if part of a frame is there already.
    pub fn open(&mut self, frames: &mut BytesMut) -> Result<(), RecordError> {
        while let Some(total) = self.opener.peek(&self.sealed)?.filter(|total| *total <= self.sealed.len()) {
            let mut record = self.sealed.split_to(total);
            self.opener.open(&mut record)?;
            record.truncate(total - TAG_BYTES);
            record.advance(RECORD_LENGTH_BYTES);
            if frames.is_empty() {
                *frames = record;
            } else {
                frames.extend_from_slice(&record);
            }
        }
        Ok(())
    }
}
