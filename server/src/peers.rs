//! Other servers that this one links itself to: their addresses, and the keys for those links.

use answerback_keys::{Key, KeySource, SourceError};
use answerback_protocol::limits::NAME_BYTES_MAX;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Links that one server dials, at most. In a full mesh of 65 servers each dials all others; a larger mesh is several meshes in a chain.
pub const PEERS_MAX: usize = 64;

/// Another server to be dialed, again and again until it answers.
#[derive(Debug, Clone)]
pub struct Peer {
    address: Arc<str>,
    key: PeerKey,
}

/// The key for a link.
#[derive(Debug, Clone)]
enum PeerKey {
    None,
    Known(Key),
    /// Read again each time that it is dialed, so that a new key needs no restart.
    Source(KeySource),
}

impl Peer {
    /// The server at `HOST:PORT`, without a key: on this machine only.
    pub fn new(address: &str) -> Self {
        Self { address: address.into(), key: PeerKey::None }
    }

    /// With a key that the program has.
    #[must_use]
    pub fn key(self, key: Key) -> Self {
        Self { key: PeerKey::Known(key), ..self }
    }

    /// With a key that is read each time that the server is dialed.
    #[must_use]
    pub fn key_source(self, source: KeySource) -> Self {
        Self { key: PeerKey::Source(source), ..self }
    }

    /// The address as it was given.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether links to it are sealed.
    pub fn is_sealed(&self) -> bool {
        !matches!(self.key, PeerKey::None)
    }

    pub(crate) fn shared_address(&self) -> Arc<str> {
        Arc::clone(&self.address)
    }

    /// The key as it is now, if there shall be one. Waits for the disk.
    pub(crate) fn read_key(&self) -> Result<Option<Key>, SourceError> {
        match &self.key {
            PeerKey::None => Ok(None),
            PeerKey::Known(key) => Ok(Some(key.clone())),
            PeerKey::Source(source) => source.read_again().map(Some),
        }
    }

    /// What is wrong with it, and what would be right.
    pub(crate) fn mistake(&self) -> Option<String> {
        let shown = self.address.escape_debug();
        if !is_host_and_port(&self.address) {
            return Some(format!("`{shown}` is not host:port, such as broker2:7040"));
        }
        (!self.is_sealed() && !is_this_machine(&self.address)).then(|| {
            format!(
                "{shown} is on another machine, or may be, so the link needs a key: give the key file of a holder that has \
                 peer = true there, with --peer-key-file FILE, or for this peer alone with --peer {shown},key-file=FILE"
            )
        })
    }
}

/// Whether a text is a host with a port, as far as that can be told without asking anybody.
pub(crate) fn is_host_and_port(address: &str) -> bool {
    let sound = address.len() <= NAME_BYTES_MAX && !address.contains(|c: char| c.is_control() || c.is_whitespace());
    let parts = address.rsplit_once(':');
    sound && parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0))
}

/// Whether an address can only be on this machine. Of names that is so of `localhost` alone, and even there it is looked at again once it is resolved.
fn is_this_machine(address: &str) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(address) => is_loopback(address.ip()),
        Err(_) => address.rsplit_once(':').is_some_and(|(host, _)| host == "localhost"),
    }
}

pub(crate) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use answerback_keys::{KeyId, Secret};

    #[test]
    fn addresses_are_hosts_with_ports() {
        for (address, good) in [
            ("broker2:7040", true),
            ("10.0.0.2:7040", true),
            ("[::1]:7040", true),
            ("broker2", false),
            (":7040", false),
            ("a:0", false),
            ("a b:1", false),
        ] {
            assert_eq!(is_host_and_port(address), good, "{address}");
        }
    }

    #[test]
    fn without_a_key_only_this_machine_is_dialed() {
        let key = Key { id: KeyId::new("north").unwrap(), secret: Secret::new([7; 32]) };
        for (address, plain) in [
            ("127.0.0.1:1", true),
            ("localhost:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("10.0.0.2:1", false),
            ("broker2:1", false),
            ("localhost.example:1", false),
        ] {
            assert_eq!(Peer::new(address).mistake().is_none(), plain, "{address}");
            assert!(Peer::new(address).key(key.clone()).mistake().is_none(), "{address}");
        }
        assert!(Peer::new("b:x").key(key).mistake().is_some_and(|what| what.contains("not host:port")));
    }
}
