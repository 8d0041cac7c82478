//! What is looked up before a peer can be dialed: the addresses of its name, and the key of the link. Both may wait for the network or the disk, so
//! each look-up has a thread of its own, and at most one for each peer is under way.

use super::Obstacle;
use crate::control::{Command, Control};
use crate::peers::{Peer, is_loopback};
use answerback_keys::Key;
use std::net::{SocketAddr, ToSocketAddrs};
use std::{io, thread};

/// Addresses of one name that are tried, at most.
const ADDRESSES_MAX: usize = 16;

/// What dialing a peer needs.
#[derive(Debug)]
pub(crate) struct Place {
    /// At least one.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) key: Option<Key>,
}

/// What a look-up has come to, and for which peer.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) peer: usize,
    pub(crate) place: Result<Place, Obstacle>,
}

/// Looks up what dialing a peer needs, and tells the data plane.
pub(super) fn begin(peer: usize, of: Peer, control: Control) -> io::Result<()> {
    let work = move || control.send(Command::Found(Found { peer, place: look_up(&of) }));
    thread::Builder::new().name("peer-lookup".to_owned()).spawn(work).map(drop)
}

fn look_up(peer: &Peer) -> Result<Place, Obstacle> {
    let key = peer.read_key().map_err(|error| Obstacle::Key(error.to_string()))?;
    let mut addresses: Vec<SocketAddr> =
        peer.address().to_socket_addrs().map_err(|error| Obstacle::Name(error.to_string()))?.collect();
    if addresses.is_empty() {
        return Err(Obstacle::Name("it has no address".to_owned()));
    }
    if key.is_none() {
        addresses.retain(|address| is_loopback(address.ip()));
    }
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() { Err(Obstacle::Elsewhere) } else { Ok(Place { addresses, key }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use answerback_keys::{KeyId, Secret};

    #[test]
    fn names_and_keys_are_looked_up_and_what_is_wrong_is_told() {
        let place = look_up(&Peer::new("127.0.0.1:7040")).unwrap();
        assert_eq!((place.addresses, place.key.is_none()), (vec!["127.0.0.1:7040".parse().unwrap()], true));
        // A plain link leaves this machine on no way.
        assert_eq!(look_up(&Peer::new("192.0.2.1:7040")).unwrap_err(), Obstacle::Elsewhere);
        let key = Key { id: KeyId::new("north").unwrap(), secret: Secret::new([1; 32]) };
        let sealed = look_up(&Peer::new("192.0.2.1:7040").key(key)).unwrap();
        assert_eq!(sealed.key.map(|key| key.id.as_str().to_owned()), Some("north".to_owned()));
        assert_eq!(look_up(&Peer::new("nowhere.invalid:7040")).unwrap_err().word(), "name");
    }
}
