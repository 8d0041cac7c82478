//! Who holds which keys and what they may do, as plain data: what a keys file says, or one key that may do everything.

use answerback_protocol::Pattern;
use answerback_protocol::sealed::{Key, KeyId, Secret};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// A holder: its keys, and its rights. No grant, no right.
#[derive(Debug, Clone)]
pub struct HolderEntry {
    /// Its name, which handlers see in front of the names of its sessions.
    pub id: Arc<str>,
    /// Its keys; two while one replaces the other.
    pub keys: Vec<Key>,
    /// What it may call, send and broadcast to.
    pub call: Vec<Pattern<'static>>,
    /// What it may serve.
    pub serve: Vec<Pattern<'static>>,
    /// What it may publish to.
    pub publish: Vec<Pattern<'static>>,
    /// What it may subscribe to.
    pub subscribe: Vec<Pattern<'static>>,
    /// Whether it may use what belongs to the broker: names that begin with `$`.
    pub admin: bool,
    /// Whether it is a server, which links itself to this one and passes on requests of others.
    pub peer: bool,
    /// Subject or DNS name of TLS client certificates that stand for this holder.
    pub certificate: Option<Arc<str>>,
}

/// All holders, and where each key is found by its id.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    holders: Vec<HolderEntry>,
    ids: HashMap<Arc<str>, usize>,
    /// By the id of a key: which holder, and which of its keys.
    keys: HashMap<Box<str>, (usize, usize)>,
    certificates: HashMap<Arc<str>, usize>,
}

/// What differs between two rings. Ids only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Holders that are new.
    pub added: Vec<Arc<str>>,
    /// Holders that are gone.
    pub removed: Vec<Arc<str>>,
    /// Holders whose keys, rights or certificate are others.
    pub changed: Vec<Arc<str>>,
    /// Keys that do not hold any more: gone, or another secret under the same id. Those of removed holders too.
    pub removed_keys: Vec<KeyId>,
}

impl KeyRing {
    /// A ring of these holders. Of holders, keys and certificates that are there twice, the first is found; a keys file with such is refused
    /// before.
    pub fn new(holders: Vec<HolderEntry>) -> Self {
        let (mut ids, mut keys, mut certificates) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (at, holder) in holders.iter().enumerate() {
            ids.entry(Arc::clone(&holder.id)).or_insert(at);
            for (which, key) in holder.keys.iter().enumerate() {
                keys.entry(key.id.as_str().into()).or_insert((at, which));
            }
            if let Some(certificate) = &holder.certificate {
                certificates.entry(Arc::clone(certificate)).or_insert(at);
            }
        }
        Self { holders, ids, keys, certificates }
    }

    /// A ring of one key, whose holder may do everything.
    pub fn of_one(key: Key) -> Self {
        let everything: Vec<_> = Pattern::new(">").into_iter().collect();
        let holder = HolderEntry {
            id: key.id.holder().into(),
            keys: vec![key],
            call: everything.clone(),
            serve: everything.clone(),
            publish: everything.clone(),
            subscribe: everything,
            admin: true,
            peer: true,
            certificate: None,
        };
        Self::new(vec![holder])
    }

    /// Everybody, in the order of their ids if they come from a file.
    pub fn holders(&self) -> &[HolderEntry] {
        &self.holders
    }

    /// How many keys there are.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// The key with this id, and who holds it.
    pub fn find(&self, key_id: &str) -> Option<(&HolderEntry, &Key)> {
        let &(at, which) = self.keys.get(key_id)?;
        let holder = self.holders.get(at)?;
        Some((holder, holder.keys.get(which)?))
    }

    /// The holder with this id.
    pub fn holder(&self, id: &str) -> Option<&HolderEntry> {
        self.ids.get(id).and_then(|&at| self.holders.get(at))
    }

    /// The holder whose certificates have this subject or DNS name.
    pub fn by_certificate(&self, subject: &str) -> Option<&HolderEntry> {
        self.certificates.get(subject).and_then(|&at| self.holders.get(at))
    }

    /// What is other in `new`.
    pub fn changes(&self, new: &Self) -> Changes {
        let mut changes = Changes::default();
        for holder in &new.holders {
            match self.holder(&holder.id) {
                None => changes.added.push(Arc::clone(&holder.id)),
                Some(before) if !before.is_same(holder) => changes.changed.push(Arc::clone(&holder.id)),
                Some(_) => {}
            }
        }
        let gone = self.holders.iter().filter(|holder| new.holder(&holder.id).is_none());
        changes.removed = gone.map(|holder| Arc::clone(&holder.id)).collect();
        let keys = self.holders.iter().flat_map(|holder| &holder.keys);
        let is_gone = |key: &&Key| !new.find(key.id.as_str()).is_some_and(|(_, now)| is_same(&key.secret, &now.secret));
        changes.removed_keys = keys.filter(is_gone).map(|key| key.id.clone()).collect();
        changes
    }
}

impl HolderEntry {
    /// Each list of patterns, under the name that it has in a keys file.
    pub fn grants(&self) -> [(&'static str, &[Pattern<'static>]); 4] {
        [("call", &self.call), ("serve", &self.serve), ("publish", &self.publish), ("subscribe", &self.subscribe)]
    }

    /// Whether keys, rights and certificate are the same.
    fn is_same(&self, other: &Self) -> bool {
        let keys = |holder: &Self| -> BTreeSet<KeyId> { holder.keys.iter().map(|key| key.id.clone()).collect() };
        let secret =
            |key: &Key| other.keys.iter().find(|now| now.id == key.id).map(|now| is_same(&key.secret, &now.secret));
        self.grants() == other.grants()
            && (self.admin, self.peer, &self.certificate) == (other.admin, other.peer, &other.certificate)
            && keys(self) == keys(other)
            && self.keys.iter().all(|key| secret(key) == Some(true))
    }
}

impl Changes {
    /// Whether nothing is other.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Takes the same time wherever two secrets differ.
fn is_same(one: &Secret, other: &Secret) -> bool {
    one.expose().ct_eq(other.expose()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use answerback_protocol::sealed::SECRET_BYTES;

    fn key(id: &str, byte: u8) -> Key {
        Key { id: KeyId::new(id).unwrap(), secret: Secret::new([byte; SECRET_BYTES]) }
    }

    fn holder(id: &str, keys: Vec<Key>) -> HolderEntry {
        let mut holder = KeyRing::of_one(key(id, 0)).holders[0].clone();
        (holder.keys, holder.admin, holder.peer) = (keys, false, false);
        holder
    }

    fn names(ids: &[Arc<str>]) -> String {
        ids.join(" ")
    }

    #[test]
    fn one_key_may_do_everything() {
        let ring = KeyRing::of_one(key("billing/2", 1));
        let (holder, key) = ring.find("billing/2").unwrap();
        assert_eq!((&*holder.id, key.id.as_str(), ring.key_count()), ("billing", "billing/2", 1));
        assert!(holder.admin && holder.peer);
        for (grant, patterns) in holder.grants() {
            assert!(matches!(patterns, [all] if all.as_str() == ">"), "{grant}");
        }
        assert!(ring.find("billing").is_none() && ring.holder("billing").is_some() && ring.holder("web").is_none());
    }

    #[test]
    fn everybody_is_found_by_key_name_and_certificate() {
        let mut web = holder("web", vec![]);
        web.certificate = Some("CN=web".into());
        let ring = KeyRing::new(vec![holder("billing", vec![key("billing", 1), key("billing/2", 2)]), web]);
        assert_eq!(ring.find("billing/2").unwrap().1.secret.expose(), &[2; SECRET_BYTES]);
        assert_eq!(&*ring.by_certificate("CN=web").unwrap().id, "web");
        assert!(ring.by_certificate("CN=billing").is_none() && ring.find("web").is_none());
        assert_eq!(ring.key_count(), 2);
    }

    #[test]
    fn what_changed_is_told_by_ids() {
        let before = KeyRing::new(vec![
            holder("same", vec![key("same", 1)]),
            holder("rotated", vec![key("rotated", 2), key("rotated/2", 3)]),
            holder("exchanged", vec![key("exchanged", 4)]),
            holder("gone", vec![key("gone", 5)]),
        ]);
        let mut granted = holder("same", vec![key("same", 1)]);
        assert!(before.changes(&before).is_empty());
        let after = KeyRing::new(vec![
            granted.clone(),
            holder("rotated", vec![key("rotated/2", 3)]),
            holder("exchanged", vec![key("exchanged", 9)]),
            holder("new", vec![key("new", 6)]),
        ]);
        let changes = before.changes(&after);
        let told = (names(&changes.added), names(&changes.removed), names(&changes.changed));
        assert_eq!(told, ("new".to_owned(), "gone".to_owned(), "rotated exchanged".to_owned()));
        let keys: Vec<_> = changes.removed_keys.iter().map(KeyId::as_str).collect();
        assert_eq!(keys, ["rotated", "exchanged", "gone"]);
        // Each right counts, and so does the certificate.
        for change in [
            (|holder| holder.call.clear()) as fn(&mut HolderEntry),
            |holder| holder.serve.clear(),
            |holder| holder.publish.clear(),
            |holder| holder.subscribe.clear(),
            |holder| holder.admin = true,
            |holder| holder.peer = true,
            |holder| holder.certificate = Some("CN=same".into()),
        ] {
            let mut holder = granted.clone();
            change(&mut holder);
            let ring = KeyRing::new(vec![holder]);
            assert_eq!(names(&KeyRing::new(vec![granted.clone()]).changes(&ring).changed), "same");
        }
        granted.keys.push(key("same/2", 7));
        assert_eq!(names(&before.changes(&KeyRing::new(vec![granted])).changed), "same");
    }

    #[test]
    fn a_ring_shows_no_secrets() {
        let shown = format!("{:?}", KeyRing::of_one(key("billing", 77)));
        assert!(shown.contains("[secret]") && !shown.contains("77"), "{shown}");
    }
}
