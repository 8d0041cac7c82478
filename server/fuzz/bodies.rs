//! What the fuzz targets of this folder do with their input. They stand in a file of their own so that the same code runs on stable: the
//! corpus is replayed by every `cargo test` exactly as the fuzzer ran it.

use super::proxy::{FIXED_BYTES, Said, read, rest_of};

/// Whatever comes from a balancer, in pieces of any size, is a header or is not one; and all that it says is within it.
pub(super) fn proxy_header(bytes: &[u8]) {
    let mut whole = None;
    for count in 0..=bytes.len().min(FIXED_BYTES) {
        let Ok(rest) = rest_of(&bytes[..count]) else {
            // Once it is wrong it stays wrong, whatever follows.
            assert!(rest_of(bytes).is_err());
            return;
        };
        assert_eq!(rest.is_some(), count == FIXED_BYTES);
        whole = rest.map(|rest| FIXED_BYTES + rest);
    }
    let Some(header) = whole.and_then(|whole| bytes.get(..whole)) else { return };
    let said = read(header);
    // What follows a header is the client's, and changes nothing.
    assert_eq!(rest_of(bytes).ok().flatten().map(|rest| FIXED_BYTES + rest), whole);
    if let Ok(Said::Client(client) | Said::Moves(client)) = said {
        assert_eq!(header[12], 0x21, "of {client}, and not on behalf of it");
    }
}
