//! Asks for a passphrase: twice and unseen on a terminal, else the first line of standard input. It never stands on a command line, where
//! everybody on the machine could read it.

use crate::exit::{Exit, Failure};
use crate::print::status;
use answerback_keys::stretch::{self, PASSPHRASE_BYTES_MAX, PASSPHRASE_CHARS_MIN, StretchError};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::io::{self, IsTerminal};
use zeroize::Zeroizing;

/// The passphrase, long enough.
pub(crate) fn ask() -> Result<Zeroizing<String>, Failure> {
    if !io::stdin().is_terminal() {
        return checked(read_line(None)?);
    }
    let terminal = Unseen::begin()?;
    let first = checked(terminal.ask(&format!("passphrase, {PASSPHRASE_CHARS_MIN} characters or more: "))?)?;
    let second = terminal.ask("the same again: ")?;
    if first != second {
        return Err(Failure::new(Exit::Usage, "the two passphrases are not the same", "type it again, twice"));
    }
    Ok(first)
}

fn checked(passphrase: Zeroizing<String>) -> Result<Zeroizing<String>, Failure> {
    if passphrase.chars().any(char::is_control) {
        let what = "the passphrase has a control character in it, which nobody can type again with certainty";
        return Err(Failure::new(Exit::Usage, what, "use letters, digits, signs and spaces"));
    }
    stretch::check(&passphrase).map_err(refused)?;
    Ok(passphrase)
}

/// A passphrase that gives no key.
pub(crate) fn refused(error: StretchError) -> Failure {
    let next = match error {
        StretchError::TooShort { .. } => {
            "five words by chance are a good one; without --passphrase the key is generated, which is better"
        }
        StretchError::TooLong => "take a shorter one",
        _ => "make the key on a larger machine; without --passphrase it is generated, and needs no memory",
    };
    Failure::new(Exit::Usage, error.to_string(), next)
}

/// A terminal that does not show what is typed. It is as it was when this is dropped.
struct Unseen {
    before: Termios,
    /// What Ctrl-C types. The process must not be killed by it, which would leave the terminal as it is now.
    interrupt: u8,
}

impl Unseen {
    fn begin() -> Result<Self, Failure> {
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let interrupt = before.special_codes[SpecialCodeIndex::VINTR];
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        unseen.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON);
        // It ends a line instead, and is seen at its end.
        unseen.special_codes[SpecialCodeIndex::VEOL] = interrupt;
        tcsetattr(io::stdin(), OptionalActions::Flush, &unseen).map_err(failed)?;
        Ok(Self { before, interrupt })
    }

    fn ask(&self, what: &str) -> Result<Zeroizing<String>, Failure> {
        status(what);
        read_line(Some(self.interrupt))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // There is nobody to tell if the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// A line of standard input without its end, byte by byte: what is read ahead would stay in a buffer that nobody wipes.
fn read_line(interrupt: Option<u8>) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES_MAX + 1));
    let mut byte = Zeroizing::new([0]);
    loop {
        match rustix::io::read(io::stdin(), &mut *byte) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if Some(byte[0]) == interrupt => {
                status("\n");
                return Err(Failure::new(Exit::Other, "interrupted", "nothing was made"));
            }
            Ok(_) if line.len() > PASSPHRASE_BYTES_MAX => return Err(refused(StretchError::TooLong)),
            Ok(_) => line.push(byte[0]),
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    let text = std::str::from_utf8(&line).map_err(|_| {
        Failure::new(Exit::Usage, "the passphrase is not UTF-8", "type it on a terminal that is set to UTF-8")
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn failed(error: Errno) -> Failure {
    Failure::system("ask for the passphrase", &error.into())
}
