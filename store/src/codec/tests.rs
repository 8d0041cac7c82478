//! Items go to bytes and back; bytes that are something else are an error.

use super::*;
use crate::testing::{Dice, calendar, random_item, small_request};
use std::time::{Duration, Instant};

#[test]
fn random_items_come_back_as_they_were() {
    let mut dice = Dice::new(1);
    let mut bytes = Vec::new();
    for _ in 0..5_000 {
        let item = random_item(&mut dice);
        bytes.clear();
        encode(&item, &calendar(), &mut bytes);
        assert_eq!(decode(&bytes, &calendar()), Ok(item));
    }
}

/// Every prefix of an item, and items with bytes changed, are an error or an item, and never a panic.
#[test]
fn damaged_bytes_are_an_error_or_an_item() {
    let mut dice = Dice::new(2);
    let mut bytes = Vec::new();
    for _ in 0..300 {
        bytes.clear();
        encode(&random_item(&mut dice), &calendar(), &mut bytes);
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length], &calendar()).is_err());
        }
        for _ in 0..200 {
            let mut wrong = bytes.clone();
            for _ in 0..=dice.below(3) {
                let at = dice.below(wrong.len());
                wrong[at] = dice.next() as u8;
            }
            let _ = decode(&wrong, &calendar());
        }
        bytes.push(0);
        assert!(decode(&bytes, &calendar()).is_err(), "a byte too many");
    }
    for _ in 0..5_000 {
        let noise: Vec<u8> = (0..dice.below(300)).map(|_| dice.next() as u8).collect();
        let _ = decode(&noise, &calendar());
    }
}

/// A length that promises 4 GiB must not make anybody allocate them.
#[test]
fn names_are_shared() {
    let mut decoder = Decoder::new(calendar());
    let mut bytes = Vec::new();
    encode(&small_request(1), &calendar(), &mut bytes);
    let mut action = || match decoder.decode(&bytes) {
        Ok(Item::Request(request)) => request.action,
        other => panic!("{other:?}"),
    };
    assert!(Arc::ptr_eq(&action(), &action()));
}

/// `cargo test --release -p answerback-store codec -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let (item, rounds) = (small_request(1), 3_000_000_u32);
    let mut bytes = Vec::new();
    let begun = Instant::now();
    for _ in 0..rounds {
        bytes.clear();
        encode(std::hint::black_box(&item), &calendar(), &mut bytes);
    }
    let rate = |took: Duration| f64::from(rounds) / took.as_secs_f64() / 1e6;
    println!("encode {:.1} M/s of {} bytes", rate(begun.elapsed()), bytes.len());
    let mut decoder = Decoder::new(calendar());
    let begun = Instant::now();
    for _ in 0..rounds {
        let _ = std::hint::black_box(decoder.decode(std::hint::black_box(&bytes)));
    }
    println!("decode {:.1} M/s", rate(begun.elapsed()));
}
