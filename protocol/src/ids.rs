//! Ids on the wire, a type for each, so that a request can never be taken for a delivery.

use crate::limits::ID_END;
use std::fmt;

macro_rules! wire_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The id with this number, if it is below 2^53.
            pub const fn new(number: u64) -> Option<Self> {
                if number < ID_END { Some(Self(number)) } else { None }
            }

            /// The id made of the low 53 bits of `bits`.
            pub const fn truncated(bits: u64) -> Self {
                Self(bits & (ID_END - 1))
            }

            /// The number as it stands on the wire.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

wire_id! {
    /// Names a request (or a publish) on the session of the client that chose it.
    RequestId
}

wire_id! {
    /// Names one delivery of a request to one handler; chosen by the broker.
    DeliveryId
}

wire_id! {
    /// Names a server among those that are linked, over its restarts if it has a data directory.
    NodeId
}

/// Names a session: 128 random bits chosen by the client, 32 hex digits on the wire.
///
/// Whoever knows it can take the session over, so it is never shown to others and never printed whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u128);

impl SessionId {
    /// The session with these bits.
    pub const fn new(bits: u128) -> Self {
        Self(bits)
    }

    /// Its bits.
    pub const fn get(self) -> u128 {
        self.0
    }

    /// Reads 32 hex digits, in lower or upper case.
    pub fn parse(text: &str) -> Option<Self> {
        let digits_only = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if digits_only { u128::from_str_radix(text, 16).ok().map(Self) } else { None }
    }

    /// The 32 hex digits as they stand on the wire.
    pub fn to_hex(self) -> String {
        format!("{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId([secret])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_end_below_two_to_the_53() {
        assert_eq!(RequestId::new(ID_END - 1).map(RequestId::get), Some(9_007_199_254_740_991));
        assert_eq!(RequestId::new(ID_END), None);
        assert_eq!(DeliveryId::truncated(u64::MAX).get(), ID_END - 1);
    }

    #[test]
    fn a_session_is_32_hex_digits_and_is_not_printed() {
        let session = SessionId::parse("000102030405060708090a0B0c0d0e0f").unwrap();
        assert_eq!(session.to_hex(), "000102030405060708090a0b0c0d0e0f");
        assert_eq!(format!("{session:?}"), "SessionId([secret])");
        for wrong in ["", "00", "+00102030405060708090a0b0c0d0e0f", "g00102030405060708090a0b0c0d0e0f"] {
            assert_eq!(SessionId::parse(wrong), None, "{wrong}");
        }
    }
}
