//! The language of Redis, as far as a lean client needs it: commands out, replies in, one token at a time.
//!
//! A reply of many messages is not put together: each of its strings is told with how deep it stands, and what it is follows from that.

use crate::Outcome;
use crate::wire::frames::{digits, number};

/// Reads replies token by token.
#[derive(Default)]
pub(super) struct Replies {
    /// How many values are still to come in each list that is open.
    open: Vec<u64>,
}

/// One token of a reply.
#[derive(Debug, PartialEq)]
pub(super) enum Token<'b> {
    /// A reply that is no list: something was done.
    Done,
    /// A string in a list, and in how many lists it stands.
    Text { depth: usize, text: &'b [u8] },
    /// A list begins, or a number in one.
    Nothing,
}

/// The end of a line.
const END: &[u8] = b"\r\n";

impl Replies {
    /// The first token in `bytes` and how long it is, or nothing while it is not whole.
    pub(super) fn next<'b>(&mut self, bytes: &'b [u8]) -> Outcome<Option<(Token<'b>, usize)>> {
        let Some(line) = bytes.windows(2).position(|pair| pair == END) else { return Ok(None) };
        let (kind, rest) = bytes[..line].split_first().ok_or("Redis says an empty line")?;
        let after_line = line + END.len();
        match kind {
            b'-' => Err(format!("Redis says {}", String::from_utf8_lossy(rest)).into()),
            b'*' => {
                self.open.push(number(digits(rest)));
                self.close();
                Ok(Some((Token::Nothing, after_line)))
            }
            b'$' => {
                let end = after_line + number(digits(rest)) as usize;
                if bytes.len() < end + END.len() {
                    return Ok(None);
                }
                Ok(Some((self.value(&bytes[after_line..end]), end + END.len())))
            }
            _ => Ok(Some((self.value(b""), after_line))),
        }
    }

    /// Whether nothing of a list is still to come.
    pub(super) fn is_between(&self) -> bool {
        self.open.is_empty()
    }

    fn value<'b>(&mut self, text: &'b [u8]) -> Token<'b> {
        let depth = self.open.len();
        let Some(left) = self.open.last_mut() else { return Token::Done };
        *left -= 1;
        self.close();
        Token::Text { depth, text }
    }

    /// Leaves the lists that are whole. A list is a value of the one around it.
    fn close(&mut self) {
        while self.open.last() == Some(&0) {
            self.open.pop();
            if let Some(around) = self.open.last_mut() {
                *around -= 1;
            }
        }
    }
}

/// Writes a command of so many words; they follow.
pub(super) fn begin(words: usize, out: &mut Vec<u8>) {
    out.push(b'*');
    out.extend_from_slice(itoa::Buffer::new().format(words).as_bytes());
    out.extend_from_slice(END);
}

/// Writes a word that comes in pieces.
pub(super) fn word(pieces: &[&[u8]], out: &mut Vec<u8>) {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    out.push(b'$');
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(END);
    for piece in pieces {
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(END);
}

/// Writes a whole command.
pub(super) fn command(words: &[&[u8]], out: &mut Vec<u8>) {
    begin(words.len(), out);
    for text in words {
        word(&[text], out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<(usize, String)> {
        let (mut replies, mut at, mut found) = (Replies::default(), 0, Vec::new());
        while let Some((token, length)) = replies.next(&bytes[at..]).unwrap() {
            at += length;
            match token {
                Token::Text { depth, text } => found.push((depth, String::from_utf8_lossy(text).into_owned())),
                Token::Done => found.push((0, "done".to_owned())),
                Token::Nothing => {}
            }
        }
        assert!(at < bytes.len() || replies.is_between());
        found
    }

    #[test]
    fn strings_are_told_with_their_depth() {
        let popped = b":3\r\n*2\r\n$1\r\nq\r\n*2\r\n$1\r\na\r\n$2\r\nbc\r\n+OK\r\n";
        let expected = [(0, "done"), (1, "q"), (2, "a"), (2, "bc"), (0, "done")];
        assert_eq!(all(popped), expected.map(|(depth, text)| (depth, text.to_owned())));
        let read = b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nd\r\n$1\r\nx\r\n";
        let expected = [(2, "s"), (4, "1-1"), (5, "d"), (5, "x")];
        assert_eq!(all(read), expected.map(|(depth, text)| (depth, text.to_owned())));
    }

    #[test]
    fn what_is_not_whole_waits_and_errors_are_told() {
        assert_eq!(all(b"*2\r\n$1\r\nq\r\n$5\r\nab"), [(1, "q".to_owned())]);
        assert!(Replies::default().next(b"-ERR no\r\n").is_err());
    }

    #[test]
    fn a_command_is_a_list_of_words() {
        let mut out = Vec::new();
        command(&[b"GET", b"k"], &mut out);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    }
}
