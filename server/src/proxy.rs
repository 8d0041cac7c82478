//! The PROXY protocol, version 2: what a balancer in front of this server says of the client whose bytes follow. Pure: bytes in, an address out.
//!
//! ```text
//!  12 signature | 1 version and command | 1 family and protocol | 2 length | so many bytes: addresses, and more (type, length, value)
//! ```
//!
//! Of what is more, one type is our own and everything else is passed over: with it a header introduces nobody, but says that the connection of
//! this client is to move, because the balancer would like to close it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of a header until its length is known.
pub(crate) const FIXED_BYTES: usize = 16;

/// The most that may follow them: both addresses, and room for what some balancers say besides. The protocol itself advises 536 in all.
pub(crate) const REST_BYTES_MAX: usize = 520;

/// The type, among those that everybody may use as he likes, of what says that a client's connection is to move.
const MOVE: u8 = 0xE0;

/// What a whole header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// The balancer speaks for itself, or of a client without an address.
    Nobody,
    /// Who says what follows.
    Client(SocketAddr),
    /// The connection that was introduced with this client is to move. Nothing follows.
    Moves(SocketAddr),
}

/// What is wrong with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyError {
    /// It does not begin as one.
    NoHeader,
    /// Another version, or a command that nobody knows.
    Version(u8),
    /// More follows than anybody needs.
    Long(usize),
    /// Its addresses do not fit into it.
    Short,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => f.write_str("no PROXY header came first"),
            Self::Version(byte) => {
                write!(f, "a PROXY header of another version or command ({byte:#04x}); only version 2 is read")
            }
            Self::Long(bytes) => {
                write!(f, "a PROXY header that says that {bytes} bytes follow; the most is {REST_BYTES_MAX}")
            }
            Self::Short => f.write_str("a PROXY header whose addresses do not fit into it"),
        }
    }
}

/// How many bytes follow the first ones, as far as these go: a header that cannot become one is known as soon as possible.
pub(crate) fn rest_of(begun: &[u8]) -> Result<Option<usize>, ProxyError> {
    let count = begun.len().min(SIGNATURE.len());
    if begun[..count] != SIGNATURE[..count] {
        return Err(ProxyError::NoHeader);
    }
    if let Some(&byte) = begun.get(12)
        && !matches!(byte, 0x20 | 0x21)
    {
        return Err(ProxyError::Version(byte));
    }
    let Some(&[high, low]) = begun.get(14..FIXED_BYTES).and_then(|bytes| bytes.first_chunk()) else { return Ok(None) };
    match usize::from(u16::from_be_bytes([high, low])) {
        bytes if bytes > REST_BYTES_MAX => Err(ProxyError::Long(bytes)),
        bytes => Ok(Some(bytes)),
    }
}

/// What a whole header says.
pub(crate) fn read(header: &[u8]) -> Result<Said, ProxyError> {
    let (Some(&command), Some(&family)) = (header.get(12), header.get(13)) else { return Err(ProxyError::NoHeader) };
    let rest = header.get(FIXED_BYTES..).ok_or(ProxyError::NoHeader)?;
    let port = |at: usize| rest.get(at..).and_then(|bytes| bytes.first_chunk()).map(|bytes| u16::from_be_bytes(*bytes));
    match (command, family) {
        (0x21, 0x11) => {
            let (Some(ip), Some(port)) = (rest.first_chunk::<4>(), port(8)) else { return Err(ProxyError::Short) };
            Ok(said_of(SocketAddr::new(Ipv4Addr::from(*ip).into(), port), rest.get(12..)))
        }
        (0x21, 0x21) => {
            let (Some(ip), Some(port)) = (rest.first_chunk::<16>(), port(32)) else { return Err(ProxyError::Short) };
            Ok(said_of(SocketAddr::new(Ipv6Addr::from(*ip).to_canonical(), port), rest.get(36..)))
        }
        _ => Ok(Said::Nobody),
    }
}

/// What is said of a client, by what stands behind the addresses. What is cut off there says nothing.
fn said_of(client: SocketAddr, more: Option<&[u8]>) -> Said {
    let mut more = more.unwrap_or_default();
    while let Some((&[kind, high, low], rest)) = more.split_first_chunk() {
        let Some(rest) = rest.get(usize::from(u16::from_be_bytes([high, low]))..) else { break };
        if kind == MOVE {
            return Said::Moves(client);
        }
        more = rest;
    }
    Said::Client(client)
}

/// Addresses that are believed: one, or all with the same first bits (`10.0.0.0/8`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Believed {
    ip: IpAddr,
    bits: u32,
}

impl Believed {
    /// Reads `127.0.0.1` or `10.0.0.0/8`.
    pub fn parse(text: &str) -> Option<Self> {
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().ok()?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok()).filter(|bits| *bits <= most)?;
        Some(Self { ip, bits })
    }

    /// Whether an address is among them.
    pub(crate) fn covers(&self, address: IpAddr) -> bool {
        match (self.ip, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                net.to_bits() & mask == ip.to_bits() & mask
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                net.to_bits() & mask == ip.to_bits() & mask
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((rest.len() as u16).to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn addresses_in_headers() {
        let four = [192, 0, 2, 7, 127, 0, 0, 1, 1, 2, 0, 80];
        let mut six = [0; 36];
        (six[0], six[15], six[33]) = (0x20, 9, 5);
        let with = |more: &[u8]| [&four[..], more].concat();
        let (with_more, moves, cut) =
            (with(&[4, 0, 1, 0]), with(&[4, 0, 1, 0, 0xE0, 0, 0]), with(&[4, 0, 9, 0xE0, 0, 0]));
        let client = |address: &str| Ok(Said::Client(address.parse().unwrap()));
        for (command, family, rest, said) in [
            (0x21, 0x11, &four[..], client("192.0.2.7:258")),
            (0x21, 0x11, &with_more, client("192.0.2.7:258")),
            (0x21, 0x11, &moves, Ok(Said::Moves("192.0.2.7:258".parse().unwrap()))),
            (0x21, 0x11, &cut, client("192.0.2.7:258")),
            (0x21, 0x21, &six, client("[2000::9]:5")),
            (0x20, 0x00, &[], Ok(Said::Nobody)),
            (0x20, 0x11, &moves, Ok(Said::Nobody)),
            (0x21, 0x00, &[], Ok(Said::Nobody)),
            (0x21, 0x31, &[0; 216], Ok(Said::Nobody)),
            (0x21, 0x11, &four[..9], Err(ProxyError::Short)),
            (0x21, 0x21, &six[..33], Err(ProxyError::Short)),
        ] {
            let bytes = header(command, family, rest);
            assert_eq!(rest_of(&bytes), Ok(Some(rest.len())));
            assert_eq!(read(&bytes), said, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_header_is_known_early() {
        let good = header(0x21, 0x11, &[0; 12]);
        for count in 0..FIXED_BYTES {
            assert_eq!(rest_of(&good[..count]), Ok(None), "{count}");
        }
        assert_eq!(rest_of(b"\r\n\r\nG"), Err(ProxyError::NoHeader));
        assert_eq!(rest_of(b"PROXY TCP4 "), Err(ProxyError::NoHeader));
        assert_eq!(rest_of(&header(0x11, 0x11, &[])), Err(ProxyError::Version(0x11)));
        assert_eq!(rest_of(&header(0x21, 0x11, &[0; REST_BYTES_MAX + 1])), Err(ProxyError::Long(REST_BYTES_MAX + 1)));
        assert_eq!(rest_of(&header(0x21, 0x11, &[0; REST_BYTES_MAX])), Ok(Some(REST_BYTES_MAX)));
    }

    #[test]
    fn who_is_believed() {
        for (net, address, believed) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("::/0", "2001:db8::1", true),
        ] {
            let net = Believed::parse(net).unwrap();
            assert_eq!(net.covers(address.parse().unwrap()), believed, "{net:?} {address}");
        }
        for wrong in ["", "localhost", "10.0.0.0/33", "10.0.0.0/", "::/129", "10.0.0.0/-1"] {
            assert_eq!(Believed::parse(wrong), None, "{wrong}");
        }
    }
}
