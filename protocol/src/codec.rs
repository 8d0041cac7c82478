//! Framing for programs that use tokio: [`FrameCodec`] with `tokio_util::codec::Framed`.
//!
//! The broker itself reads through [`crate::inbox`], which shares one buffer among all connections.

use crate::envelope::{Envelope, EnvelopeError};
use crate::limits::{FRAME_BYTES_DEFAULT, PREFIX_BYTES, SERVER_EXTRA_BYTES};
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;
use std::io;
use tokio_util::codec::{Decoder, Encoder};

/// Cuts a byte stream into frames and joins frames into a byte stream.
#[derive(Debug, Clone, Copy)]
pub struct FrameCodec {
    limit: u32,
}

/// A frame's head and data, as slices of the received bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadAndData {
    /// The JSON of the head.
    pub head: Bytes,
    /// One JSON value, or nothing.
    pub data: Bytes,
}

/// Why a stream could not be cut into frames.
#[derive(Debug)]
pub enum CodecError {
    /// Lengths that cannot be.
    Envelope(EnvelopeError),
    /// The connection failed or ended inside a frame.
    Io(io::Error),
}

impl FrameCodec {
    /// Takes frames whose first length says at most `limit`.
    pub fn new(limit: u32) -> Self {
        Self { limit }
    }

    /// For the client's side of a connection to a server with the default limit.
    pub fn for_client() -> Self {
        Self::new(FRAME_BYTES_DEFAULT + SERVER_EXTRA_BYTES)
    }
}

impl Decoder for FrameCodec {
    type Item = HeadAndData;
    type Error = CodecError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<HeadAndData>, CodecError> {
        match Envelope::peek(bytes, self.limit).map_err(CodecError::Envelope)? {
            Some(envelope) if envelope.total() <= bytes.len() => {
                let mut frame = bytes.split_to(envelope.total()).freeze();
                let data = frame.split_off(envelope.data_at());
                Ok(Some(HeadAndData { head: frame.slice(PREFIX_BYTES..), data }))
            }
            _ => Ok(None),
        }
    }
}

/// Frames are encoded by their types; here they only pass through.
impl Encoder<Bytes> for FrameCodec {
    type Error = CodecError;

    fn encode(&mut self, frame: Bytes, out: &mut BytesMut) -> Result<(), CodecError> {
        out.put(frame);
        Ok(())
    }
}

macro_rules! encoder_of {
    ($side:ident) => {
        impl Encoder<(crate::$side<'_>, &[u8])> for FrameCodec {
            type Error = CodecError;

            fn encode(&mut self, frame: (crate::$side<'_>, &[u8]), out: &mut BytesMut) -> Result<(), CodecError> {
                frame.0.write(frame.1, out);
                Ok(())
            }
        }
    };
}

encoder_of!(ClientFrame);
encoder_of!(ServerFrame);

impl From<io::Error> for CodecError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Envelope(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CodecError {}
