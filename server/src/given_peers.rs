//! The flags about other servers: which ones are dialed, and with which key each.
//!
//! A list is cut at its commas, so `--peer a:1,key-file=F` comes as two words, and the second one belongs to the first.

use answerback_keys::source::Origin;
use answerback_keys::{KeySource, RingSource};
use answerback_server::{Keys, Mistake, Peer};
use std::path::PathBuf;

const KEY_FILE: &str = "key-file=";

/// The peers that were named. `keys` are those of the server itself.
pub(crate) fn read(
    words: &[String],
    key_file: Option<&PathBuf>,
    keys: Option<&Keys>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Peer> {
    let mut named: Vec<(&str, Option<KeySource>)> = Vec::new();
    for word in words {
        match (word.strip_prefix(KEY_FILE), named.last_mut()) {
            (None, _) => named.push((word, None)),
            (Some(file), Some((_, source))) if !file.is_empty() && source.is_none() => {
                *source = Some(KeySource::of_peers(Origin::PeerFlag, file.into()));
            }
            (Some(_), _) => mistakes.push(Mistake {
                flag: "--peer",
                what: format!("`{}` is not one file behind a server, as in b:7040,key-file=FILE", word.escape_debug()),
            }),
        }
    }
    let said = key_file.filter(|path| !path.as_os_str().is_empty());
    let default = said.map(|path| KeySource::of_peers(Origin::PeerKeyFileFlag, path.clone()));
    if default.is_some() && named.is_empty() {
        let what = "is of no use without --peer: links that other servers dial have the keys of those".to_owned();
        mistakes.push(Mistake { flag: "--peer-key-file", what });
    }
    let mut wanted = false;
    let peers = named.into_iter().map(|(address, source)| {
        let peer = Peer::new(address);
        match (source.or_else(|| default.clone()), keys) {
            (Some(source), _) => with(peer, source, mistakes),
            (None, None) => peer,
            (None, Some(keys)) => own(peer, keys, &mut wanted),
        }
    });
    let peers = peers.collect();
    if wanted {
        let what = "is missing: of the many keys of --keys this server cannot know which one is for links; name the file of a \
                    key that its peers know, of a holder with peer = true";
        mistakes.push(Mistake { flag: "--peer-key-file", what: what.to_owned() });
    }
    peers
}

/// With a key of its own. It is read now too, so that a mistake is told at the start.
fn with(peer: Peer, source: KeySource, mistakes: &mut Vec<Mistake>) -> Peer {
    if let Err(error) = source.read() {
        let flag = if source.origin() == Origin::PeerFlag { "--peer" } else { "--peer-key-file" };
        let text = error.to_string();
        let what = text.strip_prefix(flag).and_then(|text| text.strip_prefix(": ")).unwrap_or(&text).to_owned();
        if !mistakes.iter().any(|known| known.flag == flag && known.what == what) {
            mistakes.push(Mistake { flag, what });
        }
    }
    peer.key_source(source)
}

/// With the key of this server, if there is one only.
fn own(peer: Peer, keys: &Keys, wanted: &mut bool) -> Peer {
    if let Some(RingSource::One(source)) = keys.source() {
        return peer.key_source(source.clone());
    }
    let mut all = keys.ring().holders().iter().flat_map(|holder| &holder.keys);
    match (all.next(), all.next()) {
        (Some(key), None) => peer.key(key.clone()),
        // An empty ring: its own mistake was told.
        (None, _) => peer,
        (Some(key), Some(_)) => {
            *wanted = true;
            peer.key(key.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use answerback_keys::{Key, KeyId, KeyRing, Secret};

    fn told(words: &[&str], key_file: Option<&str>, keys: Option<&Keys>) -> (Vec<Peer>, Vec<Mistake>) {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        let mut mistakes = Vec::new();
        let peers = read(&words, key_file.map(PathBuf::from).as_ref(), keys, &mut mistakes);
        (peers, mistakes)
    }

    fn key(id: &str) -> Key {
        Key { id: KeyId::new(id).unwrap(), secret: Secret::new([3; 32]) }
    }

    #[test]
    fn a_key_file_belongs_to_the_server_before_it() {
        let (peers, mistakes) = told(&["a:1", "key-file=/nowhere/a.key", "b:2"], None, None);
        let sealed: Vec<_> = peers.iter().map(|peer| (peer.address(), peer.is_sealed())).collect();
        assert_eq!(sealed, [("a:1", true), ("b:2", false)]);
        assert_eq!((mistakes.len(), mistakes[0].flag), (1, "--peer"));
        assert!(mistakes[0].what.contains("/nowhere/a.key"), "{mistakes:?}");
        for wrong in [&["key-file=x"][..], &["a:1", "key-file="], &["a:1", "key-file=x", "key-file=y"]] {
            assert!(told(wrong, None, None).1.iter().any(|mistake| mistake.what.contains("is not one file behind")));
        }
    }

    #[test]
    fn the_default_is_the_only_key_of_the_server() {
        let one = Keys::of(KeyRing::of_one(key("north")));
        let (peers, mistakes) = told(&["a:1"], None, Some(&one));
        assert_eq!((peers[0].is_sealed(), mistakes), (true, vec![]));
        let mut two = KeyRing::of_one(key("north")).holders().to_vec();
        two.extend_from_slice(KeyRing::of_one(key("web")).holders());
        let two = Keys::of(KeyRing::new(two));
        let (_, mistakes) = told(&["a:1", "b:1"], None, Some(&two));
        assert_eq!(mistakes.iter().map(|mistake| mistake.flag).collect::<Vec<_>>(), ["--peer-key-file"]);
        let (_, mistakes) = told(&["a:1", "b:1"], Some("/nowhere/peer.key"), Some(&two));
        assert!(matches!(&mistakes[..], [one] if one.what.contains("/nowhere/peer.key")), "{mistakes:?}");
        assert!(told(&[], Some("/nowhere/peer.key"), None).1[0].what.contains("without --peer"));
    }
}
