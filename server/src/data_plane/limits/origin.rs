//! Where a connection comes from, as far as limits tell addresses apart.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One IPv4 address, or one /64 of IPv6: that is what one site gets, and who has one has all 2^64 addresses in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::data_plane) enum Origin {
    V4(Ipv4Addr),
    /// The first eight bytes.
    V6(u64),
}

impl Origin {
    pub(in crate::data_plane) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            // All others of the net of ::1 are not in use.
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }

    /// Whether it is this machine. Then the address says nothing about who it is: tunnels and sidecars all come from there.
    pub(super) fn is_loopback(self) -> bool {
        match self {
            Self::V4(address) => address.is_loopback(),
            Self::V6(net) => net == 0,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(net) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(*net) << 64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_site_are_one_origin() {
        let origin = |text: &str| Origin::of(text.parse().unwrap());
        for (address, shown, loopback) in [
            ("192.0.2.7", "192.0.2.7", false),
            ("::ffff:192.0.2.7", "192.0.2.7", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.9.9.9", "127.9.9.9", true),
            ("::ffff:127.0.0.1", "127.0.0.1", true),
            ("::1", "::/64", true),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", false),
            ("fe80::1", "fe80::/64", false),
        ] {
            let origin = origin(address);
            assert_eq!((origin.to_string().as_str(), origin.is_loopback()), (shown, loopback), "{address}");
        }
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::9"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_ne!(origin("192.0.2.7"), origin("192.0.2.8"));
    }
}
