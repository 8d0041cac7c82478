//! A frame between two servers: on such a connection each is the other's client, so either says what a client says and what a server says.

use super::{
    Accepted, ClientFrame, ErrorNotice, Event, Goaway, Kind, Reply, ServerFrame, Subscribed, Unsubscribed, Welcome,
    read_with,
};
use crate::malformed::Malformed;

/// What one server says to another. Words that both sides have (`ping`, `pong`, `ack`, `cancel`) are a client's here: a server acknowledges what it
/// was answered as a client, and what it cancels is a request of its own.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkFrame<'a> {
    /// Said as a client.
    AsClient(ClientFrame<'a>),
    /// Said as a server.
    AsServer(ServerFrame<'a>),
}

impl<'a> LinkFrame<'a> {
    /// Reads a head.
    pub fn read(head: &'a [u8]) -> Result<Self, Malformed> {
        macro_rules! servers {
            ($($kind:ident),*) => {
                read_with(head, |kind, members| match kind {
                    $($kind::TYPE => {
                        Some($kind::read(members).map(|frame| Self::AsServer(ServerFrame::$kind(frame))))
                    })*
                    other => ClientFrame::read_kind(other, members).map(|read| read.map(Self::AsClient)),
                })
            };
        }
        servers!(Welcome, Reply, Accepted, Event, ErrorNotice, Goaway, Subscribed, Unsubscribed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_one_meaning_between_servers() {
        let client = |kind: &str| matches!(kind, "hello" | "request" | "offer" | "cancel" | "ack" | "ping" | "bye");
        let heads = [
            r#"{"type":"hello","protocol":[1,1],"name":"s","session":"00000000000000000000000000000001","node":1}"#,
            r#"{"type":"request","id":1,"action":"a"}"#,
            r#"{"type":"offer","action":"a","credit":0,"path":[]}"#,
            r#"{"type":"cancel","id":1}"#,
            r#"{"type":"ack","replies":1}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"bye"}"#,
            r#"{"type":"reply","id":1}"#,
            r#"{"type":"event","topic":"t","from":"f"}"#,
            r#"{"type":"goaway","reason":"r","after":0}"#,
            r#"{"type":"error","code":"denied"}"#,
        ];
        for head in heads {
            let read = LinkFrame::read(head.as_bytes()).unwrap_or_else(|error| panic!("{head}: {error}"));
            match read {
                LinkFrame::AsClient(frame) => assert!(client(frame.kind()), "{head}"),
                LinkFrame::AsServer(frame) => assert!(!client(frame.kind()), "{head}"),
            }
        }
        assert!(LinkFrame::read(br#"{"type":"nonsense"}"#).is_err());
    }
}
