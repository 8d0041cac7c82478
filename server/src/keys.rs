//! The keys of a server: as they are given to it, as the data plane looks them up, and how they are read again while it runs.
//!
//! ```text
//!  Keys ── at the start ──► Ring ──► data plane          looked up by each handshake, never read from a disk there
//!   │ source                 ▲
//!   └──► KeyControl ─────────┘ Replacement: the new ring, and what differs
//!        read and checked on the thread of whoever asks: SIGHUP, POST /reload
//! ```
//!
//! A file that is bad changes nothing: it is read to its end before anything is replaced. A certificate is read again together with the keys.

use crate::control::{Command, Control};
use crate::data_plane::Names;
use crate::settings::Mistake;
use crate::tls::Tls;
use answerback_broker::{Holder, Rights};
use answerback_keys::{HolderEntry, Key, KeyId, KeyRing, RingSource, SourceError};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the data plane may take to put new keys to use. `answerback reload` waits a second longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Keys for a server, and where they came from if they can be read again.
#[derive(Debug, Clone)]
pub struct Keys {
    ring: KeyRing,
    source: Option<RingSource>,
}

impl Keys {
    /// Keys that the program has itself. They are exchanged with [`KeyControl::replace`].
    pub fn of(ring: KeyRing) -> Self {
        Self { ring, source: None }
    }

    /// Reads keys from where they are. They are read again by [`KeyControl::reload`].
    pub fn read(source: RingSource) -> Result<Self, SourceError> {
        Ok(Self { ring: source.read()?, source: Some(source) })
    }

    /// Who holds which key, and may do what.
    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Where they were read.
    pub fn source(&self) -> Option<&RingSource> {
        self.source.as_ref()
    }
}

/// Keys as the data plane has them: with the rights of each holder in the form that the core takes, made once.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    keys: KeyRing,
    rights: HashMap<Arc<str>, Arc<Rights>>,
}

impl Ring {
    pub(crate) fn new(keys: KeyRing) -> Self {
        let rights = keys.holders().iter().map(|holder| (Arc::clone(&holder.id), Arc::new(rights_of(holder))));
        Self { rights: rights.collect(), keys }
    }

    /// The key with this id.
    pub(crate) fn key(&self, id: &KeyId) -> Option<&Key> {
        self.keys.find(id.as_str()).map(|(_, key)| key)
    }

    /// Who has a key, as the core wants to know it.
    pub(crate) fn holder_of(&self, key: &KeyId) -> Option<Holder> {
        self.holder(key.holder())
    }

    /// The same of who has a certificate with these names, and which of the names says so. Where they are those of two holders, nobody knows who it is.
    pub(crate) fn holder_by(&self, names: &Names) -> Option<(Box<str>, Holder)> {
        let mut found = names.all().filter_map(|name| Some((name, self.whose_certificate(name)?)));
        let (name, holder) = found.next()?;
        if found.any(|(_, other)| other != holder) {
            return None;
        }
        Some((name.into(), self.holder(holder)?))
    }

    /// Whose certificates have this name.
    pub(crate) fn whose_certificate(&self, name: &str) -> Option<&str> {
        self.keys.by_certificate(name).map(|holder| &*holder.id)
    }

    fn holder(&self, id: &str) -> Option<Holder> {
        let (id, rights) = self.rights.get_key_value(id)?;
        Some(Holder { id: Arc::clone(id), rights: Arc::clone(rights) })
    }
}

fn rights_of(holder: &HolderEntry) -> Rights {
    let HolderEntry { call, serve, publish, subscribe, admin, peer, .. } = holder;
    let patterns = |patterns: &Vec<answerback_keys::Pattern<'static>>| patterns.iter().cloned().collect();
    Rights {
        call: patterns(call),
        serve: patterns(serve),
        publish: patterns(publish),
        subscribe: patterns(subscribe),
        admin: *admin,
        peer: *peer,
    }
}

/// What the data plane is to put to use; what is not there stays.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) keys: Option<Replacement>,
    pub(crate) tls: Option<Tls>,
}

/// A new ring for the data plane, and what it must do about the one before.
#[derive(Debug)]
pub(crate) struct Replacement {
    pub(crate) ring: Arc<Ring>,
    /// Keys whose connections are closed.
    pub(crate) removed_keys: HashSet<KeyId>,
    /// Holders that may do other things now, or are gone.
    pub(crate) rights: Vec<(Arc<str>, Option<Arc<Rights>>)>,
}

/// What came of reading keys again. Ids only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Holders that there are now.
    pub holders: usize,
    /// Keys that there are now.
    pub keys: usize,
    /// Holders that are new.
    pub added: Vec<Arc<str>>,
    /// Holders that are gone.
    pub removed: Vec<Arc<str>>,
    /// Holders with other keys or rights.
    pub changed: Vec<Arc<str>>,
    /// Connections that were closed, because their key is gone.
    pub closed: usize,
    /// Whether a certificate was read again too.
    pub certificate: bool,
}

impl Reloaded {
    fn of(ring: &Ring) -> Self {
        Self { holders: ring.keys.holders().len(), keys: ring.keys.key_count(), ..Self::default() }
    }

    /// As one JSON object, which `answerback reload` reads.
    pub(crate) fn json(&self) -> String {
        let Self { holders, keys, added, removed, changed, closed, certificate } = self;
        let [added, removed, changed] =
            [added, removed, changed].map(|ids| ids.iter().map(|id| &**id).collect::<Vec<_>>());
        let mut object = serde_json::json!({
            "holders": holders, "keys": keys, "added": added, "removed": removed, "changed": changed, "closed": closed
        });
        if *certificate {
            object["certificate"] = true.into();
        }
        format!("{object}\n")
    }
}

/// Names that a line of the log lists of each kind.
const LISTED_MAX: usize = 10;

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} holders, {} keys", self.holders, self.keys)?;
        for (what, ids) in [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed)] {
            if !ids.is_empty() {
                let more = if ids.len() > LISTED_MAX { " …" } else { "" };
                write!(f, "; {what} {}: {}{more}", ids.len(), ids[..ids.len().min(LISTED_MAX)].join(" "))?;
            }
        }
        write!(f, "; {} connections closed", self.closed)?;
        if self.certificate { f.write_str("; the TLS certificate too") } else { Ok(()) }
    }
}

/// Why a server goes on with the keys that it has.
#[derive(Debug)]
pub enum ReloadError {
    /// It was started without keys.
    NoKeys,
    /// Its keys were given by the program that it runs in.
    NoSource,
    /// They cannot be read, or something in them is wrong.
    Source(SourceError),
    /// The files of its certificate cannot be read, or do not fit together.
    Certificate(Vec<Mistake>),
    /// The data plane does not answer, or has ended.
    Silent,
}

/// Exchanges the keys of a running server. Clones are the same.
#[derive(Debug, Clone)]
pub struct KeyControl {
    control: Control,
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    source: Option<RingSource>,
    tls: Option<Tls>,
    /// Reloads that have begun.
    begun: AtomicU64,
    /// Locked while keys are exchanged, so that it is done once at a time. Not while files are read, which may take long.
    current: Mutex<Current>,
}

/// What is in use.
#[derive(Debug)]
struct Current {
    /// What the data plane has. None on a server without keys.
    ring: Option<Arc<Ring>>,
    /// Which reload read it: what one read that began before is older.
    read_by: u64,
}

impl KeyControl {
    pub(crate) fn new(keys: Option<&Keys>, tls: Option<Tls>, ring: Option<Arc<Ring>>, control: Control) -> Self {
        let source = keys.and_then(|keys| keys.source.clone());
        Self {
            control,
            held: Arc::new(Held {
                source,
                tls,
                begun: AtomicU64::new(0),
                current: Mutex::new(Current { ring, read_by: 0 }),
            }),
        }
    }

    /// Reads the keys, and the certificate, again from where they were read at the start. Waits for the disk and for the data plane, so it is not for
    /// async code.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        let turn = self.held.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let tls = self.held.tls.as_ref().map(Tls::read_again).transpose().map_err(ReloadError::Certificate)?;
        let keys = self.held.source.as_ref().map(RingSource::read_again).transpose().map_err(ReloadError::Source)?;
        let mut current = self.lock();
        if keys.is_none() && tls.is_none() {
            return Err(if current.ring.is_some() { ReloadError::NoSource } else { ReloadError::NoKeys });
        }
        if turn < current.read_by {
            // Who began later was quicker: what is in use is newer than what was read here.
            return Ok(current.ring.as_deref().map_or_else(Reloaded::default, Reloaded::of));
        }
        let reloaded = self.exchange(&mut current.ring, keys, tls)?;
        current.read_by = turn;
        Ok(reloaded)
    }

    /// The same with keys that the program has.
    pub fn replace(&self, keys: KeyRing) -> Result<Reloaded, ReloadError> {
        let mut current = self.lock();
        if current.ring.is_none() {
            return Err(ReloadError::NoKeys);
        }
        self.exchange(&mut current.ring, Some(keys), None)
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.held.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(
        &self,
        ring: &mut Option<Arc<Ring>>,
        keys: Option<KeyRing>,
        tls: Option<Tls>,
    ) -> Result<Reloaded, ReloadError> {
        let (keys, mut reloaded) = match (keys, &*ring) {
            (Some(keys), Some(before)) => {
                let (replacement, reloaded) = replacement(before, keys);
                (Some(replacement), reloaded)
            }
            (_, Some(same)) => (None, Reloaded::of(same)),
            (_, None) => (None, Reloaded::default()),
        };
        reloaded.certificate = tls.is_some();
        let after = keys.as_ref().map(|replacement| Arc::clone(&replacement.ring));
        let (tell, told) = sync_channel(1);
        if !self.control.try_send(Command::Exchange(Exchange { keys, tls }, tell)) {
            return Err(ReloadError::Silent);
        }
        // It will be put to use, even if nobody hears of that in time.
        if after.is_some() {
            *ring = after;
        }
        reloaded.closed = told.recv_timeout(ANSWER_WITHIN).map_err(|_| ReloadError::Silent)?;
        Ok(reloaded)
    }
}

/// What must be done so that `keys` take the place of `before`.
fn replacement(before: &Ring, keys: KeyRing) -> (Replacement, Reloaded) {
    let changes = before.keys.changes(&keys);
    let mut ring = Ring::new(keys);
    let mut rights = Vec::new();
    for (id, now) in &mut ring.rights {
        match before.rights.get(id) {
            // The same rights stay the same thing, shared with the sessions that have them.
            Some(same) if same == now => *now = Arc::clone(same),
            Some(_) => rights.push((Arc::clone(id), Some(Arc::clone(now)))),
            None => {}
        }
    }
    rights.extend(changes.removed.iter().map(|id| (Arc::clone(id), None)));
    // The core is told in one order, whatever the order in the table.
    rights.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let reloaded =
        Reloaded { added: changes.added, removed: changes.removed, changed: changes.changed, ..Reloaded::of(&ring) };
    let removed_keys = changes.removed_keys.into_iter().collect();
    (Replacement { ring: Arc::new(ring), removed_keys, rights }, reloaded)
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeys => write!(f, "there is nothing to reload: this server has no keys; start it with --keys FILE"),
            Self::NoSource => {
                write!(f, "there is nothing to reload: the keys were given by the program that this server runs in")
            }
            Self::Source(error) => error.fmt(f),
            Self::Certificate(mistakes) => {
                let mistakes: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
                f.write_str(&mistakes.join("\n"))
            }
            Self::Silent => write!(f, "the data plane does not answer"),
        }
    }
}

impl std::error::Error for ReloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Source(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use answerback_keys::{Pattern, Secret};

    fn entry(id: &str, byte: u8, call: &str) -> HolderEntry {
        let key = Key { id: KeyId::new(id).unwrap(), secret: Secret::new([byte; 32]) };
        let mut holder = KeyRing::of_one(key).holders()[0].clone();
        holder.call = vec![Pattern::new(call).unwrap().into_static()];
        holder
    }

    #[test]
    fn only_what_changed_is_told_and_the_rest_is_shared() {
        let before = Ring::new(KeyRing::new(vec![
            entry("same", 1, "a"),
            entry("other", 2, "a"),
            entry("key", 3, "a"),
            entry("gone", 4, "a"),
        ]));
        let now = vec![entry("same", 1, "a"), entry("other", 2, "b"), entry("key", 9, "a"), entry("new", 5, "a")];
        let (replacement, reloaded) = replacement(&before, KeyRing::new(now));
        let told: Vec<_> = replacement.rights.iter().map(|(id, rights)| (&**id, rights.is_some())).collect();
        assert_eq!(told, [("gone", false), ("other", true)]);
        let mut keys: Vec<_> = replacement.removed_keys.iter().map(KeyId::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["gone", "key"]);
        assert!(Arc::ptr_eq(&before.rights["same"], &replacement.ring.rights["same"]));
        assert!(Arc::ptr_eq(&before.rights["key"], &replacement.ring.rights["key"]));
        assert_eq!((reloaded.holders, reloaded.keys, reloaded.closed), (4, 4, 0));
        let names = |ids: &[Arc<str>]| ids.join(" ");
        let lists = [names(&reloaded.added), names(&reloaded.removed), names(&reloaded.changed)];
        assert_eq!(lists, ["new", "gone", "other key"]);
        let line = "4 holders, 4 keys; added 1: new; removed 1: gone; changed 2: other key; 0 connections closed";
        assert_eq!(reloaded.to_string(), line);
        let json: serde_json::Value = serde_json::from_str(&reloaded.json()).unwrap();
        assert_eq!((&json["holders"], &json["changed"][1], &json["closed"]), (&4.into(), &"key".into(), &0.into()));
    }

    #[test]
    fn holders_come_with_the_rights_that_the_core_takes() {
        let ring = Ring::new(KeyRing::new(vec![entry("billing/2", 1, "mail.*")]));
        let holder = ring.holder_of(&KeyId::new("billing/2").unwrap()).unwrap();
        let calls: Vec<_> = holder.rights.call.iter().collect();
        assert_eq!((&*holder.id, calls, holder.rights.admin), ("billing", vec!["mail.*"], true));
        assert!(ring.holder_of(&KeyId::new("web").unwrap()).is_none());
        assert!(!format!("{ring:?}").contains("[1, 1"));
    }
}
