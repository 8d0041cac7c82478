//! What the fuzz targets do with their bytes. The targets and `keys/tests/it/corpus.rs` include this file, so that a corpus is replayed by
//! every `cargo test` exactly as the fuzzer ran it.

#![allow(dead_code, unreachable_pub, reason = "each target uses its part")]
#![allow(clippy::unwrap_used, reason = "a broken promise shall stop the fuzzer")]

use answerback_keys::file::parse_key_file;
use answerback_keys::holders::{HOLDERS_MAX, MISTAKES_TOLD_MAX, PATTERNS_MAX, parse_keys_file};
use answerback_keys::{Key, KeyId, Secret, text};
use std::collections::HashSet;

/// So many characters of base32 in a row are a piece of a secret, if they stood in what was read.
const PIECE: usize = 20;

/// A text that is a key has no other text; one that is none is refused without a piece of it. And 33 bytes or more, taken as secret and id,
/// print to a text that reads as the same key.
pub fn key_text(bytes: &[u8]) {
    if let Ok(given) = std::str::from_utf8(bytes) {
        match text::parse(given) {
            Ok(key) => assert_eq!(*text::print(&key), given.trim()),
            Err(error) => assert_hides(&format!("{error} {error:?}"), given),
        }
        match parse_key_file(given) {
            Ok(key) => assert!(given.contains(text::print(&key).as_str())),
            Err(problem) => assert_hides(&format!("{problem:?}"), given),
        }
    }
    let Some((secret, id)) = bytes.split_first_chunk() else { return };
    let Some(id) = std::str::from_utf8(id).ok().and_then(|id| KeyId::new(id).ok()) else { return };
    let printed = text::print(&Key { id: id.clone(), secret: Secret::new(*secret) });
    let read = text::parse(&printed).unwrap();
    assert_eq!((read.id, read.secret.expose()), (id, secret));
}

/// A keys file gives a ring in which everybody is found and nobody is twice, or mistakes with true lines and no piece of a key. So that a
/// fuzzer needs no checksums, `@id;` stands for a key with this id, whose secret is made of the id's length.
pub fn keys_file(bytes: &[u8]) {
    let Ok(given) = std::str::from_utf8(bytes) else { return };
    let given = unfold(given);
    match parse_keys_file(&given) {
        Err(error) => {
            assert!(!error.mistakes.is_empty() && error.mistakes.len() <= MISTAKES_TOLD_MAX);
            let lines = given.split('\n').count();
            assert!(
                error.mistakes.iter().all(|mistake| (1..=lines).contains(&mistake.line) && !mistake.text.is_empty())
            );
            assert!(error.mistakes.is_sorted_by_key(|mistake| mistake.line));
            let told = error.to_string();
            assert_eq!(told.lines().count(), error.mistakes.len() + usize::from(error.more > 0), "a line each");
            assert_hides(&told, &given);
        }
        Ok(ring) => {
            assert!((1..=HOLDERS_MAX).contains(&ring.holders().len()));
            assert!(!format!("{ring:?}").contains("abk1:"));
            let mut keys = 0;
            for holder in ring.holders() {
                assert_eq!(ring.holder(&holder.id).unwrap().id, holder.id);
                assert!(!holder.keys.is_empty() || holder.certificate.is_some(), "somebody can be this holder");
                assert!(holder.grants().iter().all(|(_, patterns)| patterns.len() <= PATTERNS_MAX));
                for key in &holder.keys {
                    let (found, same) = ring.find(key.id.as_str()).unwrap();
                    assert_eq!((&*found.id, same.secret.expose()), (key.id.holder(), key.secret.expose()));
                    keys += 1;
                }
            }
            assert_eq!(ring.key_count(), keys);
            assert!(ring.changes(&ring).is_empty());
        }
    }
}

fn unfold(given: &str) -> String {
    let mut pieces = given.split('@');
    let mut unfolded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let key = piece.split_once(';').and_then(|(id, rest)| Some((KeyId::new(id).ok()?, rest)));
        match key {
            Some((id, rest)) => {
                let secret = Secret::new([id.as_str().len() as u8; 32]);
                unfolded.push_str(&text::print(&Key { id, secret }));
                unfolded.push_str(rest);
            }
            None => {
                unfolded.push('@');
                unfolded.push_str(piece);
            }
        }
    }
    unfolded
}

/// What is told holds no piece of what was given that may be one of a secret.
fn assert_hides(told: &str, given: &str) {
    let is_digit = |byte: &u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
    let said: HashSet<&[u8]> = told.as_bytes().windows(PIECE).collect();
    let is_piece = |piece: &&[u8]| said.contains(piece) && piece.iter().all(is_digit);
    assert!(!given.as_bytes().windows(PIECE).any(|piece| is_piece(&piece)), "{told}");
}
