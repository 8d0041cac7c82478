//! Tables by request id. The ids are this client's own and grow by one, so a multiplication spreads them well enough and costs
//! next to nothing. What a server chooses, such as ids of deliveries, is never a key here.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Something for each of some requests.
pub(super) type ById<T> = HashMap<u64, T, BuildHasherDefault<IdHasher>>;

/// Two to the 64th by the golden ratio, made odd: the low bits of the products of neighbours all differ, the high bits look random.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write_u64(&mut self, id: u64) {
        self.0 = id.wrapping_mul(SPREAD);
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(SPREAD);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
