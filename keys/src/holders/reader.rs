//! Goes through the tables of a keys file and gathers holders and mistakes.

use super::words::{meant, shown};
use super::{CERTIFICATE_BYTES_MAX, HOLDERS_MAX, KEYS_MAX, KeysError, MISTAKES_TOLD_MAX, Mistake, PATTERNS_MAX};
use crate::file::parse_key_file;
use crate::ring::{HolderEntry, KeyRing};
use crate::text::{self, KeyTextError};
use answerback_protocol::sealed::{Key, KeyId};
use answerback_protocol::{Pattern, names};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a holder may have.
const MEMBERS: [&str; 8] = ["keys", "call", "serve", "publish", "subscribe", "admin", "peer", "certificate"];

type Value<'t> = Spanned<DeValue<'t>>;

pub(super) fn read(text: &str) -> Result<KeyRing, KeysError> {
    let mut reader = Reader::new(text);
    if parse_key_file(text).is_ok() {
        let what = "this is one key and not a keys file: --key-file takes it; here it stands below its holder, as keys = [\"…\"]";
        reader.mistake(0, None, what.to_owned());
        return reader.finish(Vec::new());
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut line = 0;
    for error in &errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        // What follows on the same line is most often the first one once more.
        if std::mem::replace(&mut line, reader.line(at)) == reader.line(at) {
            continue;
        }
        // Only the message: the whole of such an error shows the line that it is about.
        reader.mistake(at, None, not_toml(error.message()));
    }
    // What is left of a file that is not TOML would only tell the same mistakes again, in other words.
    let holders = if errors.is_empty() { reader.holders(document.get_ref()) } else { Vec::new() };
    reader.finish(holders)
}

/// What is known while a file is read.
struct Reader {
    /// Where each line begins.
    lines: Vec<usize>,
    mistakes: Vec<Mistake>,
    more: usize,
    /// Every key so far, by its id and by the hash of its secret, and its line.
    ids: HashMap<KeyId, usize>,
    secrets: HashMap<[u8; 32], (KeyId, usize)>,
    certificates: HashMap<Arc<str>, usize>,
}

/// The entry of a holder while it is read.
struct Entry<'a> {
    id: &'a str,
    /// Where it begins.
    at: usize,
}

impl Reader {
    fn new(text: &str) -> Self {
        let begins = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self {
            lines: std::iter::once(0).chain(begins).collect(),
            mistakes: Vec::new(),
            more: 0,
            ids: HashMap::new(),
            secrets: HashMap::new(),
            certificates: HashMap::new(),
        }
    }

    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= at)
    }

    fn mistake(&mut self, at: usize, holder: Option<&Entry<'_>>, text: String) {
        // In the order of the lines that is not yet; so many are kept that the first ones are among them.
        if self.mistakes.len() < KEPT_MAX {
            let holder = holder.map(|entry| shown(entry.id).into());
            self.mistakes.push(Mistake { line: self.line(at), holder, text });
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self, holders: Vec<HolderEntry>) -> Result<KeyRing, KeysError> {
        if self.mistakes.is_empty() {
            return Ok(KeyRing::new(holders));
        }
        self.mistakes.sort_by_key(|mistake| mistake.line);
        let more = self.more + self.mistakes.len().saturating_sub(MISTAKES_TOLD_MAX);
        self.mistakes.truncate(MISTAKES_TOLD_MAX);
        Err(KeysError { mistakes: self.mistakes, more })
    }

    fn holders(&mut self, document: &DeTable<'_>) -> Vec<HolderEntry> {
        if document.is_empty() {
            let text = "nobody is in this file: a holder is a table such as [billing], with its keys below";
            self.mistake(0, None, text.to_owned());
        }
        if document.len() > HOLDERS_MAX {
            let text = format!("there are {} holders, and at most {HOLDERS_MAX} are possible", document.len());
            self.mistake(0, None, text);
            return Vec::new();
        }
        let entries = document.iter().map(|(name, value)| self.holder(name, value));
        entries.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    fn holder(&mut self, name: &Spanned<impl AsRef<str>>, value: &Value<'_>) -> Option<HolderEntry> {
        let entry = Entry { id: name.get_ref().as_ref(), at: name.span().start };
        let Some(members) = value.get_ref().as_table() else {
            let text = format!(
                "`{}` stands outside of every holder: put it below a line with the holder's name, such as [billing]",
                shown(entry.id)
            );
            self.mistake(entry.at, None, text);
            return None;
        };
        if KeyId::new(entry.id).is_err() || entry.id.contains('/') {
            let text = "a holder's name is 1 to 64 letters, digits, `-`, `_` or `.`".to_owned();
            self.mistake(entry.at, Some(&entry), text);
            return None;
        }
        let mut holder = empty(entry.id);
        for (name, value) in members {
            self.member(&entry, name, value, &mut holder);
        }
        // Of a table in a table it was said that it is in the wrong place, and so are its keys then.
        let says_who = |(name, value): (&Spanned<_>, &Value<'_>)| {
            let name: &str = AsRef::<str>::as_ref(name.get_ref());
            matches!(name, "keys" | "certificate") || value.get_ref().is_table()
        };
        if !members.iter().any(says_who) {
            let text = format!("nobody can be this holder: it needs keys = [\"abk1:…\"]; {}", makes(entry.id));
            self.mistake(entry.at, Some(&entry), text);
        }
        Some(holder)
    }

    fn member(
        &mut self,
        entry: &Entry<'_>,
        name: &Spanned<impl AsRef<str>>,
        value: &Value<'_>,
        holder: &mut HolderEntry,
    ) {
        match name.get_ref().as_ref() {
            "keys" => holder.keys = self.keys(entry, value),
            "call" => holder.call = self.patterns(entry, "call", value),
            "serve" => holder.serve = self.patterns(entry, "serve", value),
            "publish" => holder.publish = self.patterns(entry, "publish", value),
            "subscribe" => holder.subscribe = self.patterns(entry, "subscribe", value),
            "admin" => holder.admin = self.flag(entry, "admin", value),
            "peer" => holder.peer = self.flag(entry, "peer", value),
            "certificate" => holder.certificate = self.certificate(entry, value),
            other => {
                let text = unknown(entry, other, value);
                self.mistake(name.span().start, Some(entry), text);
            }
        }
    }

    fn flag(&mut self, entry: &Entry<'_>, member: &str, value: &Value<'_>) -> bool {
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.mistake(value.span().start, Some(entry), format!("`{member}` is true or false, without quotes"));
            false
        })
    }

    fn keys(&mut self, entry: &Entry<'_>, value: &Value<'_>) -> Vec<Key> {
        let at = value.span().start;
        let Some(list) = value.get_ref().as_array() else {
            self.mistake(at, Some(entry), format!("`keys` is a list: keys = [\"abk1:{}:…\"]", shown(entry.id)));
            return Vec::new();
        };
        if list.is_empty() {
            self.mistake(at, Some(entry), format!("`keys` is empty; {}", makes(entry.id)));
        }
        if list.len() > KEYS_MAX {
            let text = format!("`keys` has {} keys, and at most {KEYS_MAX} are possible", list.len());
            self.mistake(at, Some(entry), text);
            return Vec::new();
        }
        let keys = list.iter().enumerate().map(|(which, value)| self.key(entry, which + 1, value));
        keys.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    fn key(&mut self, entry: &Entry<'_>, which: usize, value: &Value<'_>) -> Option<Key> {
        let at = value.span().start;
        let parsed = value.get_ref().as_str().ok_or(KeyTextError::Prefix).and_then(text::parse);
        let key = match parsed {
            Ok(key) => key,
            Err(error) => {
                self.mistake(at, Some(entry), format!("key {which} is not one: {error}; copy the whole line again"));
                return None;
            }
        };
        if key.id.holder() != entry.id {
            let owner = key.id.holder();
            let text = format!("key {which} belongs to the holder {}: put it there; {}", shown(owner), makes(entry.id));
            self.mistake(at, Some(entry), text);
        }
        if let Some(first) = self.twice(&key, self.line(at)) {
            self.mistake(at, Some(entry), format!("key {which}, {}, {first}", shown(key.id.as_str())));
        }
        Some(key)
    }

    /// Notes a key; what to say if its id or its secret was there before.
    fn twice(&mut self, key: &Key, line: usize) -> Option<String> {
        let hash: [u8; 32] = Sha256::digest(key.secret.expose()).into();
        if let Some(first) = self.ids.get(&key.id) {
            return Some(format!(
                "has the same id as the one on line {first}: take one away, or give it a number as in `billing/2`"
            ));
        }
        self.ids.insert(key.id.clone(), line);
        if let Some((other, first)) = self.secrets.get(&hash) {
            let other = shown(other.as_str());
            return Some(format!(
                "has the same secret as {other} on line {first}: whoever has one has both; make a new one"
            ));
        }
        self.secrets.insert(hash, (key.id.clone(), line));
        None
    }

    fn patterns(&mut self, entry: &Entry<'_>, member: &str, value: &Value<'_>) -> Vec<Pattern<'static>> {
        let at = value.span().start;
        let Some(list) = value.get_ref().as_array() else {
            let text = format!("`{member}` is a list of patterns: {member} = [\"user.get\", \"mail.*\", \"log.>\"]");
            self.mistake(at, Some(entry), text);
            return Vec::new();
        };
        if list.len() > PATTERNS_MAX {
            let text = format!("`{member}` has {} patterns, and at most {PATTERNS_MAX} are possible", list.len());
            self.mistake(at, Some(entry), text);
            return Vec::new();
        }
        let mut patterns = Vec::with_capacity(list.len());
        for (which, value) in list.iter().enumerate() {
            let (at, which) = (value.span().start, which + 1);
            match value.get_ref().as_str().map(|text| (text, Pattern::new(text))) {
                Some((text, _)) if text.contains(text::PREFIX) => {
                    self.mistake(at, Some(entry), key_in_the_wrong_place(member));
                }
                Some((_, Ok(pattern))) => patterns.push(pattern.into_static()),
                Some((text, Err(_))) => self.mistake(at, Some(entry), not_a_pattern(member, which, text)),
                None => self.mistake(
                    at,
                    Some(entry),
                    format!("pattern {which} of `{member}` is a text: put it into quotes"),
                ),
            }
        }
        patterns
    }

    fn certificate(&mut self, entry: &Entry<'_>, value: &Value<'_>) -> Option<Arc<str>> {
        let at = value.span().start;
        let Some(subject) = value.get_ref().as_str().filter(|text| names::is_sound(text, CERTIFICATE_BYTES_MAX)) else {
            let text = format!(
                "`certificate` is the subject of a certificate or a DNS name, 1 to {CERTIFICATE_BYTES_MAX} bytes: \"CN=billing\""
            );
            self.mistake(at, Some(entry), text);
            return None;
        };
        if subject.contains(text::PREFIX) {
            self.mistake(at, Some(entry), key_in_the_wrong_place("certificate"));
            return None;
        }
        let (subject, line): (Arc<str>, _) = (subject.into(), self.line(at));
        if let Some(first) = self.certificates.insert(Arc::clone(&subject), line) {
            let text = format!("the holder on line {first} has the same certificate: one certificate is one holder");
            self.mistake(at, Some(entry), text);
        }
        Some(subject)
    }
}

/// Mistakes that are kept while a file is read. Holders come by name and not by line, so all but a flood of them are sorted before they
/// are cut.
const KEPT_MAX: usize = 10 * MISTAKES_TOLD_MAX;

fn empty(id: &str) -> HolderEntry {
    let (keys, call, serve, publish, subscribe) = Default::default();
    HolderEntry { id: id.into(), keys, call, serve, publish, subscribe, admin: false, peer: false, certificate: None }
}

/// "Key" is what TOML calls any name, which would be understood as something else here.
fn not_toml(message: &str) -> String {
    match message {
        "duplicate key" => {
            "this name is there already: a holder, and each of its members, stands in one place".to_owned()
        }
        message => format!("this is not TOML: {message}"),
    }
}

/// How a key is made.
fn makes(id: &str) -> String {
    format!("`answerback keygen {}` makes one", shown(id))
}

fn unknown(entry: &Entry<'_>, member: &str, value: &Value<'_>) -> String {
    let name = shown(member);
    if value.get_ref().is_table() {
        let whole = format!("{}.{}", entry.id, member);
        return format!("`{name}` is a table in a table; a name with a dot stands in quotes: [\"{}\"]", shown(&whole));
    }
    match meant(member, &MEMBERS) {
        Some(meant) => format!("nothing is called `{name}`: did you mean `{meant}`?"),
        None => format!("nothing is called `{name}`: a holder has {}", MEMBERS.join(", ")),
    }
}

/// The text of a key is a sound pattern, and would be shown as one wherever rights are.
fn key_in_the_wrong_place(member: &str) -> String {
    format!("there is a key in `{member}`: it belongs into `keys`, and if others have read this file, make a new one")
}

fn not_a_pattern(member: &str, which: usize, text: &str) -> String {
    let why = if text.starts_with('>') && text.len() > 1 || text.contains(">.") {
        "`>` can only be its last part"
    } else if text.is_empty() || text.split('.').any(str::is_empty) {
        "something is missing between its dots"
    } else {
        "it has at most 16 parts between dots, 255 bytes, and no control characters"
    };
    format!("pattern {which} of `{member}`, {}, is not one: {why}", shown(text))
}
