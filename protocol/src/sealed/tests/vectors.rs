//! `protocol/vectors/sealed.jsonl`, made by another implementation: this one gives and takes the same bytes.

use super::super::handshake::seen::{keys_at_client, keys_at_server};
use super::super::record::DirectionKey;
use super::*;
use serde_json::Value;

const VECTORS: &str = include_str!("../../../vectors/sealed.jsonl");

struct Vector(Value);

impl Vector {
    fn text(&self, member: &str) -> &str {
        self.0[member].as_str().unwrap_or_else(|| panic!("no {member} in {}", self.0))
    }

    fn bytes(&self, member: &str) -> Vec<u8> {
        let digits = self.text(member).as_bytes();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn key(&self, member: &str) -> [u8; 32] {
        self.bytes(member).try_into().unwrap()
    }
}

/// All vectors of a kind.
fn vectors(kind: &str) -> Vec<Vector> {
    let vectors = VECTORS.lines().map(|line| Vector(serde_json::from_str(line).unwrap()));
    let found: Vec<Vector> = vectors.filter(|vector| vector.text("kind") == kind).collect();
    assert!(found.len() >= 4, "{} of {kind}", found.len());
    found
}

#[test]
fn handshakes_give_every_byte_and_both_keys() {
    for vector in vectors("handshake") {
        let name = vector.text("name");
        let key = Key { id: KeyId::new(vector.text("key_id")).unwrap(), secret: Secret::new(vector.key("secret")) };
        let entropy = |member| Entropy::new(vector.key(member));
        let (greeting, bytes) = Greeting::new(&key, entropy("client_ephemeral_secret")).unwrap();
        assert_eq!(bytes, [vector.bytes("preamble"), vector.bytes("message_1")].concat(), "{name}");
        let preamble = Preamble::peek(&bytes).unwrap().unwrap();
        let (_, answer) = preamble.accept(&key, entropy("server_ephemeral_secret")).unwrap();
        assert_eq!(answer[..], vector.bytes("answer"), "{name}");
        let keys = [vector.key("to_server"), vector.key("to_client")];
        assert_eq!(keys_at_client(greeting, &answer).map(|key| *key), keys, "{name}");
        assert_eq!(
            keys_at_server(&preamble, &key.secret, entropy("server_ephemeral_secret")).map(|key| *key),
            keys,
            "{name}"
        );
    }
}

#[test]
fn records_are_sealed_and_opened_as_they_say() {
    for vector in vectors("record") {
        let (name, counter) = (vector.text("name"), vector.0["counter"].as_u64().unwrap());
        let first = DirectionKey::new(vector.key("first_key"));
        let (mut sealer, mut opener) = (Sealer::new(&first), Opener::new(&first));
        sealer.go_on_at(counter);
        opener.go_on_at(counter);
        assert_eq!(sealed(&mut sealer, &vector.bytes("plain")), vector.bytes("record"), "{name}");
        assert_eq!(opened(&mut opener, &vector.bytes("record")).unwrap(), vector.bytes("plain"), "{name}");
        let mut with_its_key = Sealer::new(&DirectionKey::new(vector.key("key")));
        with_its_key.count_from(counter);
        assert_eq!(sealed(&mut with_its_key, &vector.bytes("plain")), vector.bytes("record"), "{name}");
    }
}
