//! Keys exchanged while clients work: only what changed is noticed, and only by those whose it is.

use crate::client::{Client, key};
use crate::place::Embedded;
use crate::rights::{holder, patterns};
use answerback_protocol::Code;
use answerback_protocol::frames::About;
use answerback_server::key_ring::{HolderEntry, KeyRing};
use answerback_server::{Keys, ReloadError};

/// A holder with two keys who may call and serve one thing.
fn billing(may_serve: &str, keys: &[(&str, u8)]) -> HolderEntry {
    let mut entry = holder(key("billing", 1));
    entry.keys = keys.iter().map(|(id, byte)| key(id, *byte)).collect();
    (entry.call, entry.serve) = (patterns(&["pay"]), patterns(&[may_serve]));
    entry
}

const BOTH: &[(&str, u8)] = &[("billing", 1), ("billing/2", 2)];

fn start() -> Embedded {
    let ring = KeyRing::new(vec![billing("pay", BOTH), holder(key("web", 3))]);
    Embedded::with(|settings| settings.keys = Some(Keys::of(ring)))
}

/// What it hears last: an error that closes, and the end.
fn cut_off(client: &mut Client, text: &str) {
    let heard = client.hear();
    assert_eq!((heard.error().code, heard.error().fatal), (Code::Denied, true));
    assert!(heard.error().message.contains(text), "{}", heard.error().message);
    assert!(client.try_hear().unwrap().is_none());
}

fn goes_on(client: &mut Client) {
    client.call(99, "$echo", b"1");
    assert_eq!(client.hear().data, b"1");
}

#[test]
fn a_key_that_is_removed_closes_its_connections_and_the_other_key_goes_on() {
    let server = start();
    let address = server.running.address();
    let mut old = Client::sealed(address, &key("billing", 1), "old");
    let mut new = Client::sealed(address, &key("billing/2", 2), "new");
    goes_on(&mut old);
    // One that was greeted and has said nothing is closed too, without a word.
    let mut outside = Client::greeted(address, &key("billing", 1));
    let ring = KeyRing::new(vec![billing("pay", &BOTH[1..]), holder(key("web", 3))]);
    let reloaded = server.running.keys().replace(ring).unwrap();
    assert_eq!((reloaded.closed, reloaded.changed.join(" "), reloaded.keys), (2, "billing".to_owned(), 2));
    cut_off(&mut old, "was removed");
    assert!(outside.try_hear().unwrap().is_none());
    goes_on(&mut new);
    drop((old, outside));
    server.until("one is left", |report| report.connections == 1);
    // The session of the old one stays for its grace time.
    assert_eq!(server.report().held.sessions, 2);
}

#[test]
fn another_secret_under_the_same_id_is_another_key() {
    let server = start();
    let address = server.running.address();
    let mut old = Client::sealed(address, &key("billing", 1), "old");
    let ring = KeyRing::new(vec![billing("pay", &[("billing", 9), BOTH[1]]), holder(key("web", 3))]);
    assert_eq!(server.running.keys().replace(ring).unwrap().closed, 1);
    cut_off(&mut old, "was removed");
    Client::sealed(address, &key("billing", 9), "new");
}

#[test]
fn a_holder_that_is_gone_is_gone_with_its_sessions() {
    let server = start();
    let address = server.running.address();
    let mut gone = Client::sealed(address, &key("billing", 1), "gone");
    let mut stays = Client::sealed(address, &key("web", 3), "stays");
    let reloaded = server.running.keys().replace(KeyRing::new(vec![holder(key("web", 3))])).unwrap();
    assert_eq!((reloaded.closed, reloaded.removed.join(" ")), (1, "billing".to_owned()));
    cut_off(&mut gone, "`billing` has no key on this server any more");
    goes_on(&mut stays);
    server.until("its session is over", |report| report.held.sessions == 1);
}

#[test]
fn rights_that_change_hold_at_once() {
    let server = start();
    let address = server.running.address();
    let mut handler = Client::sealed(address, &key("billing", 1), "handler");
    handler.serve("pay", 1);
    let ring = KeyRing::new(vec![billing("other", BOTH), holder(key("web", 3)), holder(key("new", 4))]);
    let reloaded = server.running.keys().replace(ring).unwrap();
    assert_eq!((reloaded.closed, reloaded.added.join(" ")), (0, "new".to_owned()));
    let heard = handler.hear();
    let error = heard.error();
    assert_eq!((error.code, error.fatal), (Code::Denied, false));
    assert!(matches!(&error.about, Some(About::Action(action)) if *action == "pay"), "{error:?}");
    handler.serve("other", 1);
    goes_on(&mut Client::sealed(address, &key("new", 4), "new"));
}

#[test]
fn nothing_is_nothing() {
    let server = start();
    let mut client = Client::sealed(server.running.address(), &key("billing", 1), "client");
    client.serve("pay", 1);
    let same = KeyRing::new(vec![billing("pay", BOTH), holder(key("web", 3))]);
    let reloaded = server.running.keys().replace(same).unwrap();
    assert_eq!((reloaded.closed, reloaded.changed.len(), reloaded.holders), (0, 0, 2));
    goes_on(&mut client);
    // A ring that a program has given is not read from anywhere.
    assert!(matches!(server.running.keys().reload(), Err(ReloadError::NoSource)));
    let plain = Embedded::start();
    assert!(matches!(plain.running.keys().reload(), Err(ReloadError::NoSource | ReloadError::NoKeys)));
    assert!(matches!(plain.running.keys().replace(KeyRing::default()), Err(ReloadError::NoKeys)));
}
