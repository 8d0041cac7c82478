//! Which records open: the next one, unchanged, and no other.

use super::*;

#[test]
fn all_sizes_go_through_and_no_other() {
    let (mut client, mut server) = channels();
    assert!(opened(&mut server.opener, &sealed(&mut client.sealer, b"{}")).is_ok(), "the first is a small one");
    for size in [1, 2, 15, 16, 17, 63, 64, 65, 1_000, 16_384, PLAIN_BYTES_MAX - 1, PLAIN_BYTES_MAX] {
        let plain: Vec<u8> = (0..size).map(|at| at as u8).collect();
        let record = sealed(&mut client.sealer, &plain);
        assert_eq!(record.len(), size + RECORD_EXTRA_BYTES);
        assert!(opened(&mut server.opener, &record).unwrap() == plain, "{size}");
    }
    for size in [0, PLAIN_BYTES_MAX + 1] {
        let (mut client, _) = channels();
        let length = size + TAG_BYTES;
        let bad = Err(RecordError::Length { length });
        assert_eq!(client.sealer.seal(&mut vec![0; length + RECORD_LENGTH_BYTES]), bad);
        assert_eq!(client.sealer.seal(&mut [0; 40]), Err(RecordError::Over));
    }
    for short in [0, 1, 17] {
        let (mut client, _) = channels();
        assert!(client.sealer.seal(&mut vec![0; short]).is_err());
    }
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    for length in 0..=TAG_BYTES {
        let (_, mut server) = channels();
        assert_eq!(server.opener.peek(&(length as u16).to_be_bytes()), Err(RecordError::Length { length }));
        assert_eq!(server.opener.peek(&[1]), Err(RecordError::Over));
    }
    let (mut client, mut server) = channels();
    assert_eq!(server.opener.peek(&[]), Ok(None));
    assert_eq!(server.opener.peek(&[0]), Ok(None));
    assert_eq!(server.opener.peek(&[0, 17]), Ok(Some(19)));
    assert!(opened(&mut server.opener, &sealed(&mut client.sealer, b"{}")).is_ok());
    assert_eq!(server.opener.peek(&[0xff, 0xff]), Ok(Some(RECORD_BYTES_MAX)));
}

/// Whoever repeats a greeting cannot make the other end wait for a long record, and the writer makes none.
#[test]
fn the_first_record_of_a_direction_is_a_small_one() {
    let (mut client, mut server) = channels();
    let length = FIRST_PLAIN_BYTES_MAX + TAG_BYTES;
    assert_eq!(server.opener.peek(&(length as u16).to_be_bytes()), Ok(Some(length + RECORD_LENGTH_BYTES)));
    let bad = Err(RecordError::Length { length: length + 1 });
    assert_eq!(server.opener.peek(&(length as u16 + 1).to_be_bytes()), bad);
    assert_eq!(client.sealer.seal(&mut vec![0; length + 1 + RECORD_LENGTH_BYTES]).map(|()| None), bad);
    for size in [FIRST_PLAIN_BYTES_MAX, FIRST_PLAIN_BYTES_MAX + 1, 200_000] {
        let (client, mut server) = channels();
        let mut writer = SealedWriter::new(client.sealer);
        writer.frames().extend_from_slice(&vec![b'x'; size]);
        writer.finish().unwrap();
        let (mut rest, mut plain) = (writer.sealed(), 0);
        while let Some(total) = server.opener.peek(rest).unwrap() {
            plain += opened(&mut server.opener, &rest[..total]).unwrap().len();
            rest = &rest[total..];
        }
        assert_eq!((rest.len(), plain), (0, size));
    }
}

/// Flips every bit of a record, the length's too: none opens, nothing of it is decrypted, and nothing opens after it.
#[test]
fn a_changed_record_does_not_open() {
    let plain = b"{\"amount\":100}";
    let bits = 8 * (plain.len() + RECORD_EXTRA_BYTES);
    for bit in 0..bits {
        let (mut client, mut server) = channels();
        let record = sealed(&mut client.sealer, plain);
        let next = sealed(&mut client.sealer, plain);
        let mut changed = record.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let mut work = changed.clone();
        assert!(server.opener.open(&mut work).is_err(), "bit {bit}");
        assert_eq!(work, changed, "nothing was decrypted");
        assert_eq!(opened(&mut server.opener, &record), Err(RecordError::Over), "a second try");
        assert_eq!(opened(&mut server.opener, &next), Err(RecordError::Over));
    }
}

/// Which records arrive, of three that were sent: the last of them must not open.
type Arrive = fn(&[Vec<u8>; 3]) -> Vec<Vec<u8>>;

#[test]
fn records_open_once_in_order_and_in_their_own_direction() {
    let refused = |arrive: Arrive| {
        let (mut client, mut server) = channels();
        let records = [b"one", b"two", b"thr"].map(|plain| sealed(&mut client.sealer, plain));
        let mut tries = arrive(&records);
        let last = tries.pop().unwrap();
        for record in tries {
            opened(&mut server.opener, &record).unwrap();
        }
        assert_eq!(opened(&mut server.opener, &last), Err(RecordError::NotOpened));
        assert_eq!(opened(&mut server.opener, &records[0]), Err(RecordError::Over));
    };
    refused(|records| vec![records[0].clone(), records[0].clone()]);
    refused(|records| vec![records[0].clone(), records[1].clone(), records[0].clone()]);
    refused(|records| vec![records[1].clone()]);
    refused(|records| vec![records[0].clone(), records[2].clone()]);
    // Cut short, with a length that hides it.
    refused(|records| {
        let mut short = records[0][..records[0].len() - 1].to_vec();
        short[1] -= 1;
        vec![short]
    });
    // From another connection with the same key.
    refused(|_| vec![sealed(&mut channels_from(3, 2).0.sealer, b"one")]);
    // Back to who sent it.
    let (mut client, _) = channels();
    let record = sealed(&mut client.sealer, b"one");
    assert_eq!(opened(&mut client.opener, &record), Err(RecordError::NotOpened));
}

#[test]
fn both_directions_rekey_at_the_same_record() {
    for to_server in [true, false] {
        let (client, server) = channels();
        let (mut sealer, mut opener) =
            if to_server { (client.sealer, server.opener) } else { (server.sealer, client.opener) };
        sealer.count_from(REKEY_AFTER_RECORDS - 2);
        opener.count_from(REKEY_AFTER_RECORDS - 2);
        for count in 0..5 {
            let record = sealed(&mut sealer, b"same");
            assert_eq!(opened(&mut opener, &record).unwrap(), b"same", "record {count}");
        }
        assert_eq!((sealer.records(), opener.records()), (REKEY_AFTER_RECORDS + 3, REKEY_AFTER_RECORDS + 3));
    }
}

/// An end that forgets to rekey is not understood.
#[test]
fn the_old_key_opens_nothing_after_the_change() {
    let (mut client, mut server) = channels();
    client.sealer.count_from(REKEY_AFTER_RECORDS - 1);
    server.opener.count_from(REKEY_AFTER_RECORDS);
    sealed(&mut client.sealer, b"the last with the old key");
    let record = sealed(&mut client.sealer, b"the first with the new one");
    assert_eq!(opened(&mut server.opener, &record), Err(RecordError::NotOpened));
}

#[test]
fn the_counter_does_not_run_over() {
    let (mut client, mut server) = channels();
    client.sealer.count_from(u64::MAX - 1);
    server.opener.count_from(u64::MAX - 1);
    let record = sealed(&mut client.sealer, b"the last of all");
    assert!(opened(&mut server.opener, &record).is_ok());
    assert_eq!(client.sealer.seal(&mut [0; 40]), Err(RecordError::Exhausted));
    assert_eq!(client.sealer.seal(&mut [0; 40]), Err(RecordError::Over));
}
