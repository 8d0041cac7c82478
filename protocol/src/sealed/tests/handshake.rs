//! Who gets a channel, and who does not.

use super::super::handshake::seen::keys_too_soon;
use super::*;

fn greeting(key: &Key) -> (Greeting, Vec<u8>) {
    Greeting::new(key, Entropy::new([1; 32])).unwrap()
}

fn accept(bytes: &[u8], key: &Key) -> Result<(Channel, [u8; ANSWER_BYTES]), Refused> {
    Preamble::peek(bytes).unwrap().unwrap().accept(key, Entropy::new([2; 32]))
}

#[test]
fn two_ends_with_one_key_understand_each_other() {
    for id in ["a", "billing/2", &"x".repeat(KEY_ID_BYTES_MAX)] {
        let key = key(id, 7);
        let (greeting, bytes) = greeting(&key);
        assert_eq!(bytes.len(), 4 + id.len() + MESSAGE_BYTES);
        let preamble = Preamble::peek(&bytes).unwrap().unwrap();
        assert_eq!((preamble.key_id(), preamble.total()), (&key.id, bytes.len()));
        let (mut server, answer) = preamble.accept(&key, Entropy::new([2; 32])).unwrap();
        let mut client = greeting.read(&answer).unwrap();
        let there = sealed(&mut client.sealer, b"there");
        assert_eq!(opened(&mut server.opener, &there).unwrap(), b"there");
        let back = sealed(&mut server.sealer, b"back");
        assert_eq!(opened(&mut client.opener, &back).unwrap(), b"back");
    }
}

#[test]
fn a_preamble_is_known_at_its_last_byte_and_what_is_none_at_its_first() {
    let (_, bytes) = greeting(&key("billing", 7));
    for short in 0..bytes.len() {
        assert_eq!(Preamble::peek(&bytes[..short]), Ok(None), "{short} bytes");
    }
    let longer = [&bytes[..], b"more"].concat();
    assert_eq!(Preamble::peek(&longer).unwrap().unwrap().total(), bytes.len());
    assert!(bytes.len() <= OPENING_BYTES_MAX);
    let error = |bytes: &[u8]| Preamble::peek(bytes).unwrap_err();
    assert_eq!(error(b"G"), PreambleError::NotSealed);
    assert_eq!(error(b"\xabT"), PreambleError::NotSealed);
    assert_eq!(error(b"\xabS\x02"), PreambleError::OtherVersion(2));
    assert_eq!(error(b"\xabS\x01\0"), PreambleError::BadKeyId);
    assert_eq!(error(b"\xabS\x01\x41"), PreambleError::BadKeyId);
    assert_eq!(error(b"\xabS\x01\x02/a"), PreambleError::BadKeyId);
    assert_eq!(error(b"\xabS\x01\x02\xff\xfe"), PreambleError::BadKeyId);
}

#[test]
fn a_wrong_key_and_an_unknown_id_get_nothing() {
    let (_, bytes) = greeting(&key("billing", 7));
    assert!(accept(&bytes, &key("billing", 8)).is_err());
    assert!(accept(&bytes, &key("orders", 7)).is_err(), "the right secret under another id");
    assert_eq!(Preamble::peek(&bytes).unwrap().unwrap().reject_unknown(Entropy::new([2; 32])), Refused);
}

/// Whatever bit of the greeting is changed on the way, the server refuses; also where it is still a preamble, but of another id.
#[test]
fn a_changed_greeting_is_refused() {
    let own = key("billing", 7);
    let (_, bytes) = greeting(&own);
    for bit in 0..8 * bytes.len() {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(Some(preamble)) = Preamble::peek(&changed) {
            let same_secret = Key { id: preamble.key_id().clone(), secret: own.secret.clone() };
            assert!(preamble.accept(&same_secret, Entropy::new([2; 32])).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn a_changed_answer_is_refused() {
    let key = key("billing", 7);
    let (_, answer) = accept(&greeting(&key).1, &key).unwrap();
    for bit in 0..8 * answer.len() {
        let mut changed = answer;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(greeting(&key).0.read(&changed).is_err(), "bit {bit}");
    }
    assert!(greeting(&key).0.read(&answer).is_ok());
}

#[test]
fn an_answer_to_another_greeting_or_with_another_key_is_refused() {
    let own = key("billing", 7);
    let (_, other_bytes) = Greeting::new(&own, Entropy::new([3; 32])).unwrap();
    let (_, answer) = accept(&other_bytes, &own).unwrap();
    assert_eq!(greeting(&own).0.read(&answer).unwrap_err(), HandshakeError::Forged);
    let other = key("billing", 8);
    let (_, answer) = accept(&greeting(&other).1, &other).unwrap();
    assert_eq!(greeting(&own).0.read(&answer).unwrap_err(), HandshakeError::Forged);
    let mut reflected = [0; ANSWER_BYTES];
    let (_, bytes) = greeting(&own);
    reflected[..3].copy_from_slice(&GREETING);
    reflected[3..].copy_from_slice(&bytes[bytes.len() - MESSAGE_BYTES..]);
    assert_eq!(greeting(&own).0.read(&reflected).unwrap_err(), HandshakeError::Forged);
}

/// A greeting that is recorded and said again gets an answer, and with it nothing: what was recorded behind it does not open.
#[test]
fn a_replayed_greeting_gives_other_keys() {
    let key = key("billing", 7);
    let (client, bytes) = greeting(&key);
    let preamble = Preamble::peek(&bytes).unwrap().unwrap();
    let (mut first, answer) = preamble.accept(&key, Entropy::new([2; 32])).unwrap();
    let (mut again, _) = preamble.accept(&key, Entropy::new([3; 32])).unwrap();
    let record = sealed(&mut client.read(&answer).unwrap().sealer, b"pay 100");
    assert!(opened(&mut first.opener, &record).is_ok());
    assert_eq!(opened(&mut again.opener, &record), Err(RecordError::NotOpened));
}

#[test]
fn an_answer_is_told_from_a_refusal_by_its_first_byte() {
    let key = key("billing", 7);
    let (_, answer) = accept(&greeting(&key).1, &key).unwrap();
    assert_eq!(Answer::peek(&[]), Answer::Incomplete);
    assert_eq!(Answer::peek(&answer[..ANSWER_BYTES - 1]), Answer::Incomplete);
    assert_eq!(Answer::peek(&answer), Answer::Sealed(&answer));
    assert_eq!(Answer::peek(&[0, 0, 0]), Answer::InTheClear);
}

#[test]
fn keys_are_given_out_only_at_the_end() {
    let mut state = snow::Builder::new("Noise_NN_25519_ChaChaPoly_SHA256".parse().unwrap()).build_responder();
    assert!(state.as_mut().is_err(), "without randomness there is no handshake");
    let (greeting, _) = greeting(&key("billing", 7));
    assert_eq!(keys_too_soon(greeting), Some(HandshakeError::Forged));
}

#[test]
fn nothing_secret_is_shown() {
    let (client, server) = channels();
    let (greeting, _) = greeting(&key("billing", 7));
    for shown in [format!("{client:?} {server:?}"), format!("{greeting:?} {:?}", Entropy::new([9; 32]))] {
        assert!(shown.contains("[secret]") && !shown.contains('9') && !shown.contains('7'), "{shown}");
    }
}
