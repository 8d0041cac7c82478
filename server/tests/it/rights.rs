//! What a holder may do, through sockets: for each right one that has it and one that does not. All cases are in the tables of the core.

use crate::client::{Client, key};
use crate::place::Embedded;
use answerback_protocol::sealed::Key;
use answerback_protocol::{Code, Ran, ServerFrame};
use answerback_server::Keys;
use answerback_server::key_ring::{HolderEntry, KeyRing, Pattern};
use std::net::SocketAddr;

/// A holder with one key, who may do nothing yet.
pub(crate) fn holder(key: Key) -> HolderEntry {
    let mut holder = KeyRing::of_one(key).holders()[0].clone();
    (holder.call, holder.serve) = (vec![], vec![]);
    (holder.publish, holder.subscribe, holder.admin) = (vec![], vec![], false);
    holder
}

pub(crate) fn patterns(texts: &[&str]) -> Vec<Pattern<'static>> {
    texts.iter().map(|text| Pattern::new(*text).unwrap().into_static()).collect()
}

/// `may` may do everything here, `not` nothing.
fn stage() -> (Embedded, Client, Client) {
    let mut may = holder(key("may", 1));
    (may.call, may.serve) = (patterns(&["mail.*"]), patterns(&["mail.send"]));
    (may.publish, may.subscribe, may.admin) = (patterns(&["news.>"]), patterns(&["news.>"]), true);
    let ring = KeyRing::new(vec![may, holder(key("not", 2))]);
    let server = Embedded::with(|settings| settings.keys = Some(Keys::of(ring)));
    let client = |address: SocketAddr, id, byte| Client::sealed(address, &key(id, byte), "web");
    let address = server.running.address();
    let (may, not) = (client(address, "may", 1), client(address, "not", 2));
    (server, may, not)
}

/// The code and text of an error about something that the connection survives.
fn denied(client: &mut Client, text: &str) {
    let heard = client.hear();
    assert_eq!((heard.error().code, heard.error().fatal), (Code::Denied, false));
    assert!(heard.error().message.contains(text), "{}", heard.error().message);
}

#[test]
fn call_and_serve() {
    let (server, mut may, mut not) = stage();
    not.try_serve("mail.send", 1);
    denied(&mut not, "not may not serve mail.send: its key has no grant serve = [\"mail.send\"]");
    let mut handler = Client::sealed(server.running.address(), &key("may", 1), "handler");
    handler.serve("mail.send", 1);
    not.call(1, "mail.send", b"1");
    let heard = not.hear();
    let error = heard.reply().error.clone().unwrap();
    assert_eq!((error.code, error.ran), (Code::Denied, Ran::No));
    assert_eq!(error.message, "not may not call mail.send: its key has no grant call = [\"mail.send\"]");
    may.call(1, "mail.send", b"1");
    let heard = handler.hear_delivery();
    assert_eq!(heard.deliver().from, "may/web");
    handler.answer(heard.deliver().id, b"sent");
    assert_eq!(may.hear().data, b"sent");
    // For everybody.
    not.call(2, "$echo", b"2");
    assert_eq!(not.hear().data, b"2");
}

#[test]
fn publish_and_subscribe() {
    let (_server, mut may, mut not) = stage();
    not.subscribe("news.*");
    denied(&mut not, "not may not subscribe to news.*");
    may.subscribe("news.*");
    assert!(matches!(may.hear().frame(), ServerFrame::Subscribed(_)));
    not.publish(1, "news.today", b"1");
    denied(&mut not, "not may not publish to news.today");
    may.publish(2, "news.today", b"2");
    for _ in 0..2 {
        let heard = may.hear();
        match heard.frame() {
            ServerFrame::Event(event) => assert_eq!((event.from.as_str(), &heard.data[..]), ("may/web", &b"2"[..])),
            ServerFrame::Accepted(accepted) => assert_eq!(accepted.id.get(), 2),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn admin() {
    let (_server, mut may, mut not) = stage();
    not.call(1, "$stats", b"null");
    let heard = not.hear();
    assert_eq!(heard.reply().error.clone().map(|error| error.code), Some(Code::Denied));
    may.call(1, "$stats", b"null");
    let stats: serde_json::Value = serde_json::from_slice(&may.hear().data).unwrap();
    assert!(stats.is_object(), "{stats}");
}

/// The same session id is another session for another holder: nobody takes one over.
#[test]
fn a_session_belongs_to_its_holder() {
    use answerback_protocol::SessionId;
    use answerback_protocol::frames::Hello;
    let (server, _may, _not) = stage();
    let hello = |name: &'static str| Hello {
        protocol: (1, 1),
        name: name.into(),
        session: SessionId::new(77),
        agent: None,
        node: None,
    };
    let mut first = Client::greeted(server.running.address(), &key("may", 1));
    first.say(&hello("first").into(), b"");
    assert!(!first.hear().welcome().resumed);
    let mut other = Client::greeted(server.running.address(), &key("not", 2));
    other.say(&hello("other").into(), b"");
    assert!(!other.hear().welcome().resumed);
    // The first one was not replaced.
    first.call(1, "$echo", b"1");
    assert_eq!(first.hear().data, b"1");
}
