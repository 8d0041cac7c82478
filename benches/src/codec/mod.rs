//! `codec`: what it costs to make frames of bytes and bytes of frames.
//!
//! Reading goes through the inbox as in the server: bytes are put where a read would put them, cut into frames, and each
//! head becomes a type. The row "the copy alone" is what putting the bytes there costs in any case. Below it the same
//! heads are read with `serde_json`, so that having a reader of our own stands on a figure.

mod channel;
mod samples;
mod with_serde;

use crate::Outcome;
use crate::machine;
use crate::table::{Table, figures, size};
use crate::timing::ns_per_unit;
use crate::wire::shape;
use answerback_protocol::codec::FrameCodec;
use answerback_protocol::inbox::{Inbox, RawFrame, Scratch};
use answerback_protocol::limits::FRAME_BYTES_DEFAULT;
use answerback_protocol::{ClientFrame, ServerFrame};
use bytes::BytesMut;
use samples::Stream;
use std::hint::black_box;
use std::time::Duration;
use tokio_util::codec::{Decoder, Encoder};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Milliseconds for each figure
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    millis: u64,
    /// Bytes of data in each frame; may be said more than once
    #[arg(long = "size", default_values_t = [64, 1 << 10, 64 << 10])]
    sizes: Vec<usize>,
    /// Only rows in whose name this text stands, for a profiler
    #[arg(long, default_value = "")]
    only: String,
}

/// Heads read between two looks at the clock, which takes as long as reading a head.
const HEADS_AT_ONCE: u64 = 1_000;

/// What one read brings at most: the scratch of a thread.
const SCRATCH_BYTES: usize = 256 << 10;

/// Runs all of it and prints a table.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    println!("{}", machine::headline());
    let bench = Bench { budget: Duration::from_millis(arguments.millis), only: &arguments.only };
    let mut table = Table::new("frames", 2, &["data", "what", "ns/frame", "GB/s"]);
    for &bytes in &arguments.sizes {
        bench.reading(bytes, &mut table)?;
        bench.writing(bytes, &mut table)?;
        channel::frames(&bench, bytes, &samples::requests(bytes), &mut table)?;
    }
    println!("{table}");
    let mut table = Table::new("records", 2, &["plain", "what", "ns/record", "GB/s"]);
    for &bytes in &arguments.sizes {
        channel::records(&bench, bytes, &mut table)?;
    }
    println!("{table}");
    let mut table = Table::new("handshakes", 1, &["what", "us"]);
    channel::handshakes(&bench, &mut table)?;
    println!("{table}");
    let mut table = Table::new("heads alone", 2, &["head", "what", "ns/head"]);
    for (name, head) in samples::heads() {
        bench.heads(name, &head, &mut table)?;
    }
    println!("{table}");
    Ok(())
}

struct Bench<'a> {
    budget: Duration,
    only: &'a str,
}

impl Bench<'_> {
    fn reading(&self, data: usize, table: &mut Table) -> Outcome<()> {
        let stream = samples::requests(data);
        let mut reader = Reader::new();
        reader.check(&stream)?;
        let mut space = vec![0; SCRATCH_BYTES];
        self.row(table, data, &stream, "the copy alone", || copy(&stream.bytes, &mut space));
        self.row(table, data, &stream, "read: inbox, head", || {
            reader.through_inbox(&stream.bytes, |frame| black_box(ClientFrame::read(frame.head)).is_ok());
        });
        self.row(table, data, &stream, "read: inbox, head, data kept", || {
            reader.through_inbox(&stream.bytes, |frame| {
                black_box((ClientFrame::read(frame.head), frame.payload())).0.is_ok()
            });
        });
        self.row(table, data, &stream, "read: tokio codec, head", || {
            reader.through_tokio_codec(&stream.bytes);
        });
        Ok(())
    }

    fn writing(&self, data: usize, table: &mut Table) -> Outcome<()> {
        let payload = shape::data(data);
        let mut out = BytesMut::with_capacity(SCRATCH_BYTES + 2 * data);
        for (what, frame) in [("write: deliver", samples::deliver()?), ("write: reply", samples::reply()?)] {
            out.clear();
            frame.write(&payload, &mut out);
            let frames = (SCRATCH_BYTES / out.len()).max(1);
            let stream = Stream { bytes: out.repeat(frames), frames };
            self.row(table, data, &stream, what, || write_all(&frame, &payload, frames, &mut out));
            let with_codec = format!("{what}, tokio codec");
            self.row(table, data, &stream, &with_codec, || encode_all(&frame, &payload, frames, &mut out));
        }
        Ok(())
    }

    fn heads(&self, name: &str, head: &[u8], table: &mut Table) -> Outcome<()> {
        ClientFrame::read(head).map_err(|error| format!("{name}: {error}"))?;
        with_serde::flat(head)?;
        with_serde::tagged(head)?;
        self.head(table, name, head, "ClientFrame::read", |head| ClientFrame::read(head).is_ok());
        self.head(table, name, head, "serde_json, one struct for all", |head| with_serde::flat(head).is_ok());
        self.head(table, name, head, "serde_json, tagged enum", |head| with_serde::tagged(head).is_ok());
        Ok(())
    }

    fn row(&self, table: &mut Table, data: usize, stream: &Stream, what: &str, work: impl FnMut()) {
        if what.contains(self.only) {
            let ns = ns_per_unit(stream.frames as u64, self.budget, work);
            let bytes_per_frame = stream.bytes.len() as f64 / stream.frames as f64;
            table.row([size(data), what.to_owned(), figures(ns), figures(bytes_per_frame / ns)]);
        }
    }

    fn head(&self, table: &mut Table, name: &str, head: &[u8], what: &str, read: impl Fn(&[u8]) -> bool) {
        if what.contains(self.only) {
            let ns = ns_per_unit(HEADS_AT_ONCE, self.budget, || {
                for _ in 0..HEADS_AT_ONCE {
                    black_box(read(black_box(head)));
                }
            });
            table.row([format!("{name}, {} B", head.len()), what.to_owned(), figures(ns)]);
        }
    }
}

/// Both ways to cut bytes into frames. Their buffers live as long as a server's.
struct Reader {
    scratch: Scratch,
    inbox: Inbox,
    buffer: BytesMut,
}

impl Reader {
    fn new() -> Self {
        let buffer = BytesMut::with_capacity(SCRATCH_BYTES);
        Self { scratch: Scratch::new(SCRATCH_BYTES), inbox: Inbox::new(FRAME_BYTES_DEFAULT), buffer }
    }

    /// What is timed must do what it says.
    fn check(&mut self, stream: &Stream) -> Outcome<()> {
        let by_inbox = self.through_inbox(&stream.bytes, |frame| ClientFrame::read(frame.head).is_ok());
        let by_codec = self.through_tokio_codec(&stream.bytes);
        if (by_inbox, by_codec) == (stream.frames, stream.frames) {
            return Ok(());
        }
        Err(format!("of {} frames the inbox read {by_inbox} and the codec {by_codec}", stream.frames).into())
    }

    /// Frames for which `take` was content.
    fn through_inbox(&mut self, stream: &[u8], mut take: impl FnMut(RawFrame<'_>) -> bool) -> usize {
        let (mut rest, mut taken) = (stream, 0);
        while !rest.is_empty() {
            let space = self.inbox.space(&mut self.scratch);
            let (piece, later) = rest.split_at(space.len().min(rest.len()));
            space[..piece.len()].copy_from_slice(piece);
            rest = later;
            self.inbox.received(&mut self.scratch, piece.len());
            while let Ok(Some(frame)) = self.inbox.next(&mut self.scratch) {
                taken += usize::from(take(frame));
            }
        }
        taken
    }

    /// The same with one `BytesMut`, as `tokio_util`'s `FramedRead` does it.
    fn through_tokio_codec(&mut self, stream: &[u8]) -> usize {
        let (mut codec, mut taken) = (FrameCodec::new(FRAME_BYTES_DEFAULT), 0);
        for piece in stream.chunks(SCRATCH_BYTES) {
            self.buffer.extend_from_slice(piece);
            while let Ok(Some(frame)) = codec.decode(&mut self.buffer) {
                taken += usize::from(black_box(ClientFrame::read(&frame.head)).is_ok());
            }
        }
        taken
    }
}

fn copy(stream: &[u8], space: &mut [u8]) {
    for piece in stream.chunks(SCRATCH_BYTES) {
        space[..piece.len()].copy_from_slice(piece);
        black_box(&space);
    }
}

fn write_all(frame: &ServerFrame<'_>, data: &[u8], frames: usize, out: &mut BytesMut) {
    out.clear();
    for _ in 0..frames {
        black_box(frame).write(black_box(data), out);
    }
    black_box(&out);
}

fn encode_all(frame: &ServerFrame<'_>, data: &[u8], frames: usize, out: &mut BytesMut) {
    out.clear();
    let mut codec = FrameCodec::new(FRAME_BYTES_DEFAULT);
    for _ in 0..frames {
        // A codec wants the frame by value; cloning one whose texts are borrowed copies a few words.
        black_box(codec.encode((black_box(frame).clone(), black_box(data)), out).is_ok());
    }
    black_box(&out);
}
