//! What sealing adds: records of one frame, and frames that share a record.

use super::{Bench, SCRATCH_BYTES};
use crate::Outcome;
use crate::table::{Table, figures, size};
use crate::timing::ns_per_unit;
use answerback_protocol::inbox::{Inbox, Scratch};
use answerback_protocol::limits::FRAME_BYTES_DEFAULT;
use answerback_protocol::sealed::{
    Channel, Entropy, Greeting, Key, KeyId, PLAIN_BYTES_MAX, Preamble, RECORD_EXTRA_BYTES, SECRET_BYTES, SealedWriter,
    Secret,
};
use std::hint::black_box;

/// Records between two looks at the clock.
const RECORDS_AT_ONCE: usize = 32;

/// Sealing and opening records of this many bytes, in place, and the handshake before them.
pub(super) fn records(bench: &Bench<'_>, bytes: usize, table: &mut Table) -> Outcome<()> {
    let bytes = bytes.min(PLAIN_BYTES_MAX);
    let (mut ours, mut theirs) = channels()?;
    let record = bytes + RECORD_EXTRA_BYTES;
    let mut sealed = vec![0; record * RECORDS_AT_ONCE];
    let mut row = |what: &str, work: &mut dyn FnMut()| {
        if what.contains(bench.only) {
            let ns = ns_per_unit(RECORDS_AT_ONCE as u64, bench.budget, work);
            table.row([size(bytes), what.to_owned(), figures(ns), figures(bytes as f64 / ns)]);
        }
    };
    row("seal", &mut || {
        for record in sealed.chunks_mut(record) {
            black_box(ours.sealer.seal(black_box(record)).is_ok());
        }
    });
    // What has been opened cannot be opened again, so each round seals anew.
    let (mut ours, _) = channels()?;
    row("seal, open", &mut || {
        for record in sealed.chunks_mut(record) {
            black_box(ours.sealer.seal(black_box(record)).is_ok() && theirs.opener.open(record).is_ok());
        }
    });
    Ok(())
}

/// Frames written to a sealed connection and read from one, a read's worth of them at once.
pub(super) fn frames(bench: &Bench<'_>, data: usize, stream: &super::Stream, table: &mut Table) -> Outcome<()> {
    let (ours, theirs) = channels()?;
    let (mut writer, mut scratch) = (SealedWriter::new(ours.sealer), Scratch::new(SCRATCH_BYTES));
    let mut inbox = Inbox::sealed(FRAME_BYTES_DEFAULT, theirs.opener);
    let mut through = || {
        let mut frames = 0;
        for piece in stream.bytes.chunks(SCRATCH_BYTES / 2) {
            writer.frames().extend_from_slice(piece);
            frames += usize::from(writer.finish().is_err());
            while !writer.is_empty() {
                let space = inbox.space(&mut scratch);
                let count = space.len().min(writer.len());
                space[..count].copy_from_slice(&writer.sealed()[..count]);
                writer.advance(count);
                inbox.received(&mut scratch, count);
                while let Ok(Some(frame)) = inbox.next(&mut scratch) {
                    frames += usize::from(!black_box(frame).head.is_empty());
                }
            }
        }
        frames
    };
    let came = through();
    if came != stream.frames {
        return Err(format!("of {} frames {came} came through the sealed channel", stream.frames).into());
    }
    bench.row(table, data, stream, "sealed: written, read by the inbox", || {
        black_box(through());
    });
    Ok(())
}

/// The handshake, and what refusing a stranger costs.
pub(super) fn handshakes(bench: &Bench<'_>, table: &mut Table) -> Outcome<()> {
    let key = key(7)?;
    let (_, bytes) = Greeting::new(&key, Entropy::new([1; 32]))?;
    let preamble = Preamble::peek(&bytes)?.ok_or("half a preamble")?;
    let wrong = self::key(8)?;
    let mut row = |what: &str, work: &mut dyn FnMut()| {
        if what.contains(bench.only) {
            table.row([what.to_owned(), figures(ns_per_unit(1, bench.budget, work) / 1_000.0)]);
        }
    };
    row("greet and answer, both ends", &mut || drop(black_box(channels())));
    row("the server's part", &mut || {
        black_box(preamble.accept(&key, Entropy::new([2; 32])).is_ok());
    });
    row("refuse a wrong key", &mut || {
        black_box(preamble.accept(&wrong, Entropy::new([2; 32])).is_ok());
    });
    row("refuse an unknown id", &mut || {
        black_box(preamble.reject_unknown(Entropy::new([2; 32])));
    });
    Ok(())
}

fn key(byte: u8) -> Outcome<Key> {
    Ok(Key { id: KeyId::new("bench")?, secret: Secret::new([byte; SECRET_BYTES]) })
}

/// Client and server after a handshake.
fn channels() -> Outcome<(Channel, Channel)> {
    let key = key(7)?;
    let (greeting, bytes) = Greeting::new(&key, Entropy::new([1; 32]))?;
    let (server, answer) = Preamble::peek(&bytes)?.ok_or("half a preamble")?.accept(&key, Entropy::new([2; 32]))?;
    Ok((greeting.read(&answer)?, server))
}
