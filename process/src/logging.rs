//! The log: lines on standard error, as text or JSON, written by a thread of their own.
//!
//! Whoever logs never waits. A line goes into a bounded queue; if whoever reads the log does not keep up and the queue is
//! full, the line is dropped and counted, and the count is logged as soon as there is room.
//!
//! Strings in fields are printed quoted and escaped by both formats, so what comes from the wire cannot forge a line.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Lines that may wait to be written. A line is a few hundred bytes, so this is well below a MiB.
const LINES_MAX: usize = 1024;

/// How long the process waits at its end for the last lines.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    /// Everything before this was written once the sender is dropped.
    Mark(SyncSender<()>),
}

/// Hands lines to the writer thread.
#[derive(Debug, Clone)]
pub struct Lines {
    queue: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

/// Starts the writer thread and the log.
pub fn start(filter: Targets, format: Format) -> io::Result<Lines> {
    let lines = Lines::write_to(io::stderr())?;
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    subscribe(lines.clone(), filter, format, colours).map_err(io::Error::other)?;
    log_panics();
    Ok(lines)
}

fn subscribe(lines: Lines, filter: Targets, format: Format, colours: bool) -> Result<(), TryInitError> {
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(lines);
    match format {
        Format::Text => registry.with(layer.with_ansi(colours).with_target(false)).try_init(),
        Format::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    }
}

/// A panic is a line of the log like any other, not text between the lines.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let what = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed");
        tracing::error!(thread = name, place, what, "a bug: the program cannot go on");
    }));
}

impl Lines {
    fn write_to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, items) = sync_channel(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let lines = Self { queue, dropped: Arc::clone(&dropped) };
        thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(out, &items, &dropped))?;
        Ok(lines)
    }

    /// Waits until what was logged before is written, but not for long.
    pub fn flush(&self) {
        let (mark, written) = sync_channel(0);
        if self.queue.try_send(Item::Mark(mark)).is_ok() {
            // It ends by time, or by the mark being dropped. Either way there is nothing more to do.
            let _ = written.recv_timeout(LAST_LINES_WITHIN);
        }
    }
}

fn write_lines(mut out: impl Write, items: &Receiver<Item>, dropped: &AtomicU64) {
    while let Ok(item) = items.recv() {
        match item {
            // There is nobody to tell that the log cannot be written.
            Item::Line(line) => drop(out.write_all(&line)),
            Item::Mark(mark) => drop(mark),
        }
        if dropped.load(Ordering::Relaxed) > 0 {
            let lines = dropped.swap(0, Ordering::Relaxed);
            tracing::warn!(lines, "log lines were dropped, because they were not read as fast as they came");
        }
    }
}

impl Write for Lines {
    /// Takes one line: the formatter writes each event at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Item::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Condvar, Mutex};

    /// A log that nobody reads until it is opened.
    #[derive(Clone, Default)]
    struct Gate(Arc<Inside>);

    #[derive(Default)]
    struct Inside {
        open: Mutex<bool>,
        opened: Condvar,
        written: Mutex<Vec<u8>>,
    }

    impl Gate {
        fn open(&self) {
            *self.0.open.lock().unwrap() = true;
            self.0.opened.notify_all();
        }

        fn written(&self) -> String {
            String::from_utf8(self.0.written.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let open = self.0.open.lock().unwrap();
            drop(self.0.opened.wait_while(open, |open| !*open).unwrap());
            self.0.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_never_waits_and_dropped_lines_are_counted() {
        let gate = Gate::default();
        let mut lines = Lines::write_to(gate.clone()).unwrap();
        for _ in 0..LINES_MAX + 10 {
            lines.write_all(b"line\n").unwrap();
        }
        // One line is in the writer's hands or still in the queue.
        let dropped = lines.dropped.load(Ordering::Relaxed);
        assert!((9..=10).contains(&dropped), "{dropped}");
        gate.open();
        while lines.queue.try_send(Item::Line(b"last\n".to_vec())).is_err() {
            thread::yield_now();
        }
        lines.queue.send(Item::Line(b"end\n".to_vec())).unwrap();
        // Unlike `flush`, which does not wait for room in a queue that is full.
        let (mark, written) = sync_channel::<()>(0);
        lines.queue.send(Item::Mark(mark)).unwrap();
        assert!(written.recv().is_err(), "the mark is dropped when everything before it is written");
        assert!(gate.written().ends_with("last\nend\n"));
    }

    fn logged(format: Format) -> String {
        let gate = Gate::default();
        gate.open();
        let lines = Lines::write_to(gate.clone()).unwrap();
        let registry = tracing_subscriber::registry().with(Targets::new().with_default(tracing::Level::INFO));
        let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone());
        let log = || tracing::info!(name = "a\n\u{1b}[31mFORGED", "said");
        match format {
            Format::Text => tracing::subscriber::with_default(registry.with(layer.with_ansi(false)), log),
            Format::Json => tracing::subscriber::with_default(registry.with(layer.json().flatten_event(true)), log),
        }
        lines.flush();
        gate.written()
    }

    #[test]
    fn names_from_the_wire_cannot_forge_lines() {
        for format in [Format::Text, Format::Json] {
            let text = logged(format);
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(text.contains("FORGED") && !text.contains('\u{1b}'), "{text}");
        }
    }
}
