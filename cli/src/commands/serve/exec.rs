//! `serve --exec`: a shell command for each call. Its data goes in at standard input, what it prints is the answer.
//!
//! Each command is the leader of a process group of its own, so that nothing it has started outlives the call: the group is killed when the
//! call is dropped, which is what happens when its caller cancels, its time is up, or this program leaves at once. Nobody can be hit by
//! mistake: the number of the group stays taken until its leader was waited for, and after that nothing is killed.

use crate::print::{escaped, note};
use answerback::{Context, Fault, Raw};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::de::IgnoredAny;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

/// Bytes of a fault's message at most, as they stand on the wire.
const MESSAGE_BYTES_MAX: usize = 1_024;

/// What is kept of standard error: enough for a message, also if every byte of it needs an escape.
const ERRORS_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;

/// How much is read at once.
const PIECE_BYTES: usize = 64 << 10;

/// A shell command that answers calls.
pub(crate) struct Exec {
    command: String,
    max_output: u64,
    shows: bool,
}

impl Exec {
    /// `shows` what the command says on standard error on that of this program, too.
    pub(crate) fn new(command: &str, max_output: u64, shows: bool) -> Self {
        Self { command: command.to_owned(), max_output, shows }
    }

    /// Runs it for one call.
    pub(crate) async fn run(&self, context: &Context, data: &[u8]) -> Result<Raw, Fault> {
        let mut child = self.spawn(context).map_err(|error| Fault::new("cannot_run", format!("sh: {error}")))?;
        let group = Group::of(&child);
        let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(output), Some(errors)) = (output, errors) else {
            return Err(Fault::new("cannot_run", "the command has no output"));
        };
        let ((), printed, errors) =
            tokio::try_join!(feed(input, data), read(output, self.max_output), last_of(errors))?;
        let status = child.wait().await.map_err(|error| Fault::new("cannot_run", error.to_string()))?;
        group.has_ended();
        for line in String::from_utf8_lossy(&errors).lines().filter(|_| self.shows) {
            note(&format!("    {}", escaped(line)));
        }
        if status.success() { answer(printed) } else { Err(failed(status, &errors)) }
    }

    fn spawn(&self, context: &Context) -> io::Result<Child> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("ANSWERBACK_ACTION", context.action()).env("ANSWERBACK_CALLER", context.caller());
        command.env("ANSWERBACK_ATTEMPT", context.attempt().to_string());
        command.env("ANSWERBACK_LEFT_MS", context.left().as_millis().to_string());
        match context.trace() {
            Some(trace) => command.env("TRACEPARENT", trace),
            // One that this program was started with is not that of the call.
            None => command.env_remove("TRACEPARENT"),
        };
        command.spawn()
    }
}

/// The processes of a call. Dropped before their end, they are killed.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Its leader was waited for: its number may be anybody's from now on.
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended by itself just now.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Gives the command its data. It need not read it.
async fn feed(input: Option<ChildStdin>, data: &[u8]) -> Result<(), Fault> {
    if let Some(mut input) = input {
        let _ = input.write_all(data).await;
    }
    Ok(())
}

/// All that the command prints, up to the limit.
async fn read(output: impl AsyncRead + Unpin, most: u64) -> Result<Vec<u8>, Fault> {
    let mut printed = Vec::new();
    let mut output = output.take(most.saturating_add(1));
    output.read_to_end(&mut printed).await.map_err(|error| Fault::new("cannot_run", error.to_string()))?;
    if printed.len() as u64 > most {
        let message = format!("the command printed more than {most} bytes, the limit --max-output of its server");
        return Err(Fault::new("output_too_large", message));
    }
    Ok(printed)
}

/// The last that the command says on standard error.
async fn last_of(mut errors: impl AsyncRead + Unpin) -> Result<Vec<u8>, Fault> {
    let mut last = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    // An error here would hide the one that it was to tell of.
    while let Ok(read @ 1..) = errors.read(&mut piece).await {
        last.extend_from_slice(&piece[..read]);
        last.drain(..last.len().saturating_sub(ERRORS_BYTES_MAX));
    }
    Ok(last)
}

/// What was printed, as JSON.
fn answer(mut printed: Vec<u8>) -> Result<Raw, Fault> {
    let Ok(text) = std::str::from_utf8(&printed) else {
        return Err(Fault::new("bad_output", "the command printed bytes that are not UTF-8"));
    };
    if text.is_empty() {
        return Ok(Raw::default());
    }
    if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        printed.truncate(printed.trim_ascii_end().len());
        return Ok(Raw::new(printed));
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    let quoted = serde_json::to_string(text).map_err(|error| Fault::new("bad_output", error.to_string()))?;
    Ok(Raw::new(quoted))
}

fn failed(status: ExitStatus, errors: &[u8]) -> Fault {
    let (code, what) = match (status.code(), status.signal()) {
        (Some(code), _) => (format!("exit_{code}"), format!("the command exited with {code}")),
        (None, Some(signal)) => (format!("signal_{signal}"), format!("the command was ended by signal {signal}")),
        (None, None) => ("error".to_owned(), "the command failed".to_owned()),
    };
    let said = last_lines(&String::from_utf8_lossy(errors));
    Fault::new(code, if said.is_empty() { format!("{what} and said nothing") } else { said })
}

/// As many of the last lines as fit into a message; of a longer last line, its end.
fn last_lines(text: &str) -> String {
    let text = text.trim();
    let mut from = text.len();
    let mut room = MESSAGE_BYTES_MAX;
    let mut line_start = None;
    for (at, c) in text.char_indices().rev() {
        let Some(left) = room.checked_sub(bytes_on_the_wire(c)) else {
            return text[line_start.unwrap_or(from)..].to_owned();
        };
        if c == '\n' {
            line_start = Some(at + 1);
        }
        (room, from) = (left, at);
    }
    text.to_owned()
}

/// What a character takes within a text of JSON.
fn bytes_on_the_wire(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        c if c.is_control() => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(printed: &str) -> String {
        let answer = answer(printed.as_bytes().to_vec()).unwrap();
        String::from_utf8(answer.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn what_is_printed_is_json_or_text() {
        let rows = [
            ("", "null"),
            ("\n", "\"\""),
            ("{\"a\": 1.50}\n", "{\"a\": 1.50}"),
            ("42\n", "42"),
            ("hello\n", "\"hello\""),
            ("two\nlines\n\n", "\"two\\nlines\\n\""),
            ("{not json}", "\"{not json}\""),
        ];
        for (printed, expected) in rows {
            assert_eq!(answered(printed), expected, "{printed:?}");
        }
        assert_eq!(answer(b"\xff".to_vec()).unwrap_err().code(), "bad_output");
    }

    #[test]
    fn a_fault_has_the_last_lines() {
        assert_eq!(last_lines("one\ntwo\n"), "one\ntwo");
        let many = format!("{}\nlast but one\nlast\n", "x".repeat(1_010));
        assert_eq!(last_lines(&many), "last but one\nlast");
        let long = format!("first\n{}", "é".repeat(1_000));
        assert_eq!(last_lines(&long), "é".repeat(512));
        assert_eq!(last_lines(&"\"".repeat(2_000)).len(), 512);
        let fault = failed(ExitStatus::from_raw(7 << 8), b"");
        assert_eq!((fault.code(), fault.message()), ("exit_7", "the command exited with 7 and said nothing"));
        assert_eq!(failed(ExitStatus::from_raw(9), b"x\n").code(), "signal_9");
    }
}
