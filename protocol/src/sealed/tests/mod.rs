//! Two ends and what can go wrong between them.

mod handshake;
mod records;
mod stream;
mod vectors;

use super::*;

pub(super) fn key(id: &str, secret: u8) -> Key {
    Key { id: KeyId::new(id).unwrap(), secret: Secret::new([secret; SECRET_BYTES]) }
}

/// Client and server after a handshake.
pub(super) fn channels() -> (Channel, Channel) {
    channels_from(1, 2)
}

/// The same with ephemeral secrets made of these bytes.
pub(super) fn channels_from(client: u8, server: u8) -> (Channel, Channel) {
    let key = key("billing/2", 7);
    let (greeting, bytes) = Greeting::new(&key, Entropy::new([client; 32])).unwrap();
    let preamble = Preamble::peek(&bytes).unwrap().unwrap();
    let (channel, answer) = preamble.accept(&key, Entropy::new([server; 32])).unwrap();
    (greeting.read(&answer).unwrap(), channel)
}

/// A record with these bytes in it.
pub(super) fn sealed(sealer: &mut Sealer, plain: &[u8]) -> Vec<u8> {
    let mut record = [&[0; RECORD_LENGTH_BYTES], plain, &[0; TAG_BYTES]].concat();
    sealer.seal(&mut record).unwrap();
    record
}

/// What is in a record.
pub(super) fn opened(opener: &mut Opener, record: &[u8]) -> Result<Vec<u8>, RecordError> {
    opener.open(&mut record.to_vec()).map(|plain| plain.to_vec())
}
