//! The header of the PROXY protocol, version 2, that tells a backend who its client is; and a second use of it, which tells a server that the
//! connection of a client is to move. A backend that does not know of that sees a client that ends at once.

use std::net::SocketAddr;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2, on behalf of somebody.
const PROXIED: u8 = 0x21;

/// TCP over IPv4 and over IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// What follows the addresses of a client that is to move: a type among those that are free for everybody, and a length of nothing.
const MOVE: [u8; 3] = [0xE0, 0, 0];

/// Where the low byte of the length is.
const LENGTH_AT: usize = 15;

/// What says that the connection that began with the same addresses is to move. Nothing follows it.
pub(crate) fn moves(client: SocketAddr, here: SocketAddr) -> Vec<u8> {
    let mut bytes = header(client, here);
    bytes[LENGTH_AT] += MOVE.len() as u8;
    bytes.extend(MOVE);
    bytes
}

/// What stands in front of the client's bytes.
pub(crate) fn header(client: SocketAddr, here: SocketAddr) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.push(PROXIED);
    match (client.ip().to_canonical(), here.ip().to_canonical()) {
        (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) => {
            bytes.extend([TCP4, 0, 12]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
        }
        (from, to) => {
            let octets = |ip| match ip {
                std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                std::net::IpAddr::V6(ip) => ip.octets(),
            };
            bytes.extend([TCP6, 0, 36]);
            bytes.extend(octets(from));
            bytes.extend(octets(to));
        }
    }
    bytes.extend(client.port().to_be_bytes());
    bytes.extend(here.port().to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(client: &str, here: &str) -> Vec<u8> {
        header(client.parse().unwrap(), here.parse().unwrap())
    }

    #[test]
    fn who_is_to_move_is_named_as_before() {
        for (client, here) in [("192.0.2.7:258", "127.0.0.1:80"), ("[2001:db8::1]:1", "[::1]:2")] {
            let (header, moves) = (of(client, here), moves(client.parse().unwrap(), here.parse().unwrap()));
            assert_eq!(moves[..15], header[..15]);
            assert_eq!((usize::from(moves[15]), moves[15]), (moves.len() - 16, header[15] + 3));
            assert_eq!((&moves[16..header.len()], &moves[header.len()..]), (&header[16..], &[0xE0, 0, 0][..]));
        }
    }

    #[test]
    fn both_kinds_of_addresses() {
        let four = of("192.0.2.7:258", "127.0.0.1:80");
        assert_eq!(four[..12], SIGNATURE);
        assert_eq!(four[12..], [0x21, 0x11, 0, 12, 192, 0, 2, 7, 127, 0, 0, 1, 1, 2, 0, 80]);
        let six = of("[2001:db8::1]:1", "[::1]:2");
        assert_eq!((six.len(), &six[12..16]), (16 + 36, &[0x21, 0x21, 0, 36][..]));
        // A socket for both kinds says IPv4 addresses in the form of IPv6.
        assert_eq!(of("[::ffff:192.0.2.7]:258", "[::ffff:127.0.0.1]:80"), four);
        assert_eq!(of("192.0.2.7:1", "[::1]:2").len(), 16 + 36);
    }
}
