//! Moves bytes from one socket to another, in one of two ways that measure differently:
//!
//! - through one large buffer that all connections share: two calls and two copies, which is the fastest for messages of a few KiB;
//! - through a pipe with `splice(2)`: more calls and no copy, which is worth it when a socket has much more to give than a buffer holds.
//!
//! A flow begins with the buffer, and goes over to the pipe once it has filled the buffer a few times in a row. What the other end does not take
//! stays in the buffer, or pipe, which the flow then keeps until it is empty: that is the most that is held for one direction. An idle flow keeps
//! nothing.

use mio::net::TcpStream;
use rustix::fd::OwnedFd;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::io::{self, ErrorKind, Read, Write};

/// The buffer that all connections share, in bytes. Larger ones leave the processor's cache.
pub(crate) const BUFFER_BYTES: usize = 64 << 10;

/// What a pipe should hold, in bytes. The system may give less.
const PIPE_BYTES: usize = 1 << 20;

/// Buffers and pipes kept for those that need one next.
const SPARES_MAX: usize = 16;

/// So many full buffers in a row, and a flow is bulk.
const BULK_AFTER: u8 = 4;

/// A flow whose pipe gets less than this at once is bulk no more.
const BULK_BYTES_LEAST: usize = 16 << 10;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The buffer, and the pipe for bulk.
    Auto,
    Buffer,
    Splice,
}

impl Way {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "buffer" => Some(Self::Buffer),
            "splice" => Some(Self::Splice),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// Bytes on their way that the sink has not taken yet.
#[derive(Debug, Default)]
enum Held {
    #[default]
    Nothing,
    Buffer {
        bytes: Vec<u8>,
        from: usize,
        to: usize,
    },
    Pipe {
        pipe: Pipe,
        count: usize,
    },
}

/// One direction of a pair.
#[derive(Debug, Default)]
pub(super) struct Flow {
    held: Held,
    /// The source may have something.
    pub(super) readable: bool,
    /// The sink may take something.
    pub(super) writable: bool,
    /// The source was told to have ended, so it is read until that is seen.
    pub(super) ending: bool,
    /// The source has ended.
    ended: bool,
    /// The sink was told so: this direction is over.
    pub(super) over: bool,
    full_reads: u8,
}

/// What all flows share.
#[derive(Debug)]
pub(super) struct Copier {
    way: Way,
    buffer: Vec<u8>,
    spare_buffers: Vec<Vec<u8>>,
    spare_pipes: Vec<Pipe>,
    pub(super) held_bytes: usize,
    pub(super) spliced_bytes: u64,
}

/// Bytes a flow may move in one turn: then others have theirs.
const TURN_BYTES: usize = 1 << 20;

/// How a turn of a flow ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved {
    pub(super) bytes: u64,
    /// There may be more without anybody saying so again.
    pub(super) again: bool,
}

impl Flow {
    /// A flow whose sink has room, as far as is known.
    pub(super) fn new() -> Self {
        Self { writable: true, ..Self::default() }
    }

    /// The sink gets these bytes first.
    pub(super) fn begin_with(&mut self, bytes: Vec<u8>) {
        let to = bytes.len();
        self.held = Held::Buffer { bytes, from: 0, to };
    }

    fn held(&self) -> usize {
        match &self.held {
            Held::Nothing => 0,
            Held::Buffer { from, to, .. } => to - from,
            Held::Pipe { count, .. } => *count,
        }
    }
}

impl Copier {
    pub(super) fn new(way: Way) -> Self {
        Self {
            way,
            buffer: vec![0; BUFFER_BYTES],
            spare_buffers: Vec::new(),
            spare_pipes: Vec::new(),
            held_bytes: 0,
            spliced_bytes: 0,
        }
    }

    /// Moves what can be moved now. An error is the end of the pair.
    pub(super) fn run(&mut self, flow: &mut Flow, source: &TcpStream, sink: &TcpStream) -> io::Result<Moved> {
        let held = flow.held();
        let moved = self.move_on(flow, source, sink);
        self.held_bytes = (self.held_bytes + flow.held()).saturating_sub(held);
        moved
    }

    fn move_on(&mut self, flow: &mut Flow, source: &TcpStream, sink: &TcpStream) -> io::Result<Moved> {
        let mut bytes = 0;
        loop {
            if !matches!(flow.held, Held::Nothing) && !self.flush(flow, sink)? {
                return Ok(Moved { bytes, again: false });
            }
            if flow.ended && !std::mem::replace(&mut flow.over, true) {
                // It fails on a socket that is broken, which says so itself.
                let _ = sink.shutdown(std::net::Shutdown::Write);
            }
            if flow.over || !flow.readable {
                return Ok(Moved { bytes, again: false });
            }
            if bytes >= TURN_BYTES as u64 {
                return Ok(Moved { bytes, again: true });
            }
            let splices = self.way == Way::Splice || self.way == Way::Auto && flow.full_reads >= BULK_AFTER;
            let got = if splices { self.fill_pipe(flow, source) } else { self.pass(flow, source, sink) };
            match got {
                Ok(0) => (flow.ended, flow.readable) = (true, false),
                Ok(count) => bytes += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => flow.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads once, and writes at once what came.
    fn pass(&mut self, flow: &mut Flow, mut source: &TcpStream, mut sink: &TcpStream) -> io::Result<usize> {
        let count = source.read(&mut self.buffer)?;
        if count == 0 {
            return Ok(0);
        }
        if count == self.buffer.len() {
            flow.full_reads = flow.full_reads.saturating_add(1);
        } else {
            // The socket is empty: there will be an event when more comes.
            flow.full_reads = 0;
            flow.readable = flow.ending;
        }
        let written = match sink.write(&self.buffer[..count]) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(broken(&error)),
        };
        if written < count {
            flow.writable = false;
            let spare = self.spare_buffers.pop().unwrap_or_else(|| vec![0; BUFFER_BYTES]);
            let bytes = std::mem::replace(&mut self.buffer, spare);
            flow.held = Held::Buffer { bytes, from: written, to: count };
        }
        Ok(count)
    }

    fn fill_pipe(&mut self, flow: &mut Flow, source: &TcpStream) -> io::Result<usize> {
        let pipe = self.pipe()?;
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let count = match splice(source, None, &pipe.writer, None, PIPE_BYTES, flags) {
            Ok(count) if count > 0 => count,
            other => {
                self.keep_pipe(pipe);
                return Ok(other?);
            }
        };
        if count < BULK_BYTES_LEAST {
            flow.full_reads = 0;
        }
        self.spliced_bytes += count as u64;
        flow.held = Held::Pipe { pipe, count };
        Ok(count)
    }

    /// Writes what is held. Says whether all of it could be.
    fn flush(&mut self, flow: &mut Flow, mut sink: &TcpStream) -> io::Result<bool> {
        while flow.writable {
            let written = match &flow.held {
                Held::Nothing => return Ok(true),
                Held::Buffer { bytes, from, to } => sink.write(&bytes[*from..*to]),
                Held::Pipe { pipe, count } => {
                    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
                    splice(&pipe.reader, None, sink, None, *count, flags).map_err(io::Error::from)
                }
            };
            match written {
                Ok(written) => self.took(flow, written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => flow.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
        }
        Ok(matches!(flow.held, Held::Nothing))
    }

    /// The sink has taken so much of what is held.
    fn took(&mut self, flow: &mut Flow, written: usize) {
        match &mut flow.held {
            Held::Nothing => return,
            Held::Buffer { from, to, .. } => {
                *from += written;
                if from < to {
                    return;
                }
            }
            Held::Pipe { count, .. } => {
                *count -= written.min(*count);
                if *count > 0 {
                    return;
                }
            }
        }
        self.give_back(std::mem::take(&mut flow.held));
    }

    fn give_back(&mut self, held: Held) {
        match held {
            Held::Buffer { bytes, .. } if bytes.len() == BUFFER_BYTES && self.spare_buffers.len() < SPARES_MAX => {
                self.spare_buffers.push(bytes);
            }
            // With something in it a pipe is of no use to others.
            Held::Pipe { pipe, count: 0 } => self.keep_pipe(pipe),
            Held::Nothing | Held::Buffer { .. } | Held::Pipe { .. } => {}
        }
    }

    /// A flow has ended, and with it what it held.
    pub(super) fn forget(&mut self, flow: Flow) {
        self.held_bytes = self.held_bytes.saturating_sub(flow.held());
        self.give_back(flow.held);
    }

    fn pipe(&mut self) -> io::Result<Pipe> {
        if let Some(pipe) = self.spare_pipes.pop() {
            return Ok(pipe);
        }
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // The system has a limit of its own for all pipes of a user; a smaller one works too.
        let _ = fcntl_setpipe_size(&writer, PIPE_BYTES);
        Ok(Pipe { reader, writer })
    }

    fn keep_pipe(&mut self, pipe: Pipe) {
        if self.spare_pipes.len() < SPARES_MAX {
            self.spare_pipes.push(pipe);
        }
    }
}

/// Writing says nothing of "later": whoever sees this closes the pair.
fn broken(error: &io::Error) -> io::Error {
    io::Error::new(ErrorKind::BrokenPipe, error.to_string())
}
