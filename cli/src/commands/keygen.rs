//! `keygen`: makes a key, of chance or of a passphrase, or the key after one that there is.

use crate::args::{Common, Keygen as Args};
use crate::exit::{Exit, Failure, Outcome};
use crate::json::told;
use crate::passphrase;
use crate::print::{Style, bytes, escaped, is_error_terminal, is_open_to_others, line, note, paint_error};
use answerback_keys::file::create_key_file;
use answerback_keys::stretch::{self, SALT_BYTES, Salt};
use answerback_keys::{Key, KeyId, SECRET_BYTES, Secret, read_key_file, text};
use serde_json::json;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

pub(crate) fn run(common: &Common, args: &Args) -> Outcome {
    match &args.rotate {
        Some(file) => rotate(common, args, file),
        None => make(common, args),
    }
}

fn make(common: &Common, args: &Args) -> Outcome {
    let (key, salt) = if args.passphrase {
        let salt = args.salt.map_or_else(new_salt, Ok)?;
        (of_passphrase(args.id.clone(), &salt)?, Some(salt))
    } else {
        (generated(args.id.clone())?, None)
    };
    match &args.output {
        Some(file) => create(file, &comments(&key.id, salt.as_ref()), &key)?,
        None if !common.json => print(&key)?,
        None => {}
    }
    if common.json {
        line(&told(&json_of(&key, args.output.as_deref(), salt.as_ref(), None)))?;
    } else {
        let salt_is_kept = args.output.is_some();
        if let Some(salt) = salt.filter(|_| !salt_is_kept) {
            note(&format!("salt: {salt}, with which the same passphrase makes this key again"));
        }
        if is_error_terminal() {
            after_making(&key.id, args.output.as_deref()).iter().for_each(|line| note(line));
        }
    }
    Ok(Exit::Ok)
}

fn print(key: &Key) -> Result<(), Failure> {
    if is_open_to_others() {
        let warning = paint_error(Style::Warn, "warning:");
        note(&format!(
            "{warning} the key goes into a file that others can read: -o FILE makes one that is yours alone"
        ));
    }
    bytes(text::print(key).as_bytes())?;
    bytes(b"\n")
}

fn generated(id: KeyId) -> Result<Key, Failure> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    fill(&mut *secret)?;
    Ok(Key { id, secret: Secret::new(*secret) })
}

fn new_salt() -> Result<Salt, Failure> {
    let mut salt = [0; SALT_BYTES];
    fill(&mut salt)?;
    Ok(Salt::new(salt))
}

fn fill(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(|error| Failure::system("get random bytes", &error.into()))
}

fn of_passphrase(id: KeyId, salt: &Salt) -> Result<Key, Failure> {
    let passphrase = passphrase::ask()?;
    stretch::stretch(id, &passphrase, salt).map_err(passphrase::refused)
}

/// What stands above the key in its file.
fn comments(id: &KeyId, salt: Option<&Salt>) -> Vec<String> {
    let mut comments = vec![format!("Key {id} of Answerback: whoever reads it can do what {} may do.", id.holder())];
    if let Some(salt) = salt {
        comments.push(format!("Made of a passphrase: {}, salt {salt}", stretch::parameters()));
        comments.push(format!("The same key again: answerback keygen {id} --passphrase --salt {salt}"));
    }
    comments
}

fn create(file: &Path, comments: &[String], key: &Key) -> Result<(), Failure> {
    create_key_file(file, comments, key).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let what = format!("{} is there already, and a key is never written over", file.display());
            Failure::new(Exit::Other, what, "-o FILE with another name, or move it away")
        }
        _ => Failure::system(&format!("write {}", file.display()), &error),
    })
}

/// What to do with a new key, for somebody at a terminal.
fn after_making(id: &KeyId, file: Option<&Path>) -> Vec<String> {
    let Some(file) = file else {
        return vec![
            String::new(),
            "It is shown once and kept nowhere. Into a file that you alone can read:".to_owned(),
            format!("  answerback keygen {id} -o {}.key", id.holder()),
        ];
    };
    let file = shown(file);
    vec![
        format!("made key {id} in {file}, which you alone can read"),
        String::new(),
        format!("server:   answerback-server --key-file {file}"),
        format!("clients:  --key-file {file}, or ANSWERBACK_KEY_FILE={file}"),
        "several:  a key for each service and what it may do: answerback keys check --help".to_owned(),
    ]
}

fn rotate(common: &Common, args: &Args, file: &Path) -> Outcome {
    let old = read_key_file(file).map_err(|error| Failure::new(Exit::Other, error.what(), error.advice()))?;
    let key = generated(following(&old.id)?)?;
    let output = args.output.clone().unwrap_or_else(|| next_to(file));
    create(&output, &comments(&key.id, None), &key)?;
    if common.json {
        line(&told(&json_of(&key, Some(&output), None, Some(&old.id))))?;
    } else {
        steps(&Rotation { old: &old.id, new: &key.id, file, output: &output })
            .iter()
            .try_for_each(|step| line(step))?;
    }
    Ok(Exit::Ok)
}

/// The id of the key after this one: `billing`, `billing/2`, `billing/3`.
fn following(id: &KeyId) -> Result<KeyId, Failure> {
    let number = match id.as_str().split_once('/') {
        None => Some(2),
        Some((_, number)) => number.parse::<u32>().ok().and_then(|number| number.checked_add(1)),
    };
    let next = number.and_then(|number| KeyId::new(&format!("{}/{number}", id.holder())).ok());
    next.ok_or_else(|| {
        let what = format!("no number can follow in the id {id}: it is HOLDER or HOLDER/NUMBER, of 64 bytes at most");
        Failure::new(Exit::Other, what, format!("make it by name: answerback keygen {}/NAME -o FILE", id.holder()))
    })
}

fn next_to(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".next");
    name.into()
}

/// A rotation that has begun.
struct Rotation<'a> {
    old: &'a KeyId,
    new: &'a KeyId,
    file: &'a Path,
    output: &'a Path,
}

/// What is left to be done.
fn steps(rotation: &Rotation<'_>) -> Vec<String> {
    let Rotation { old, new, file, output } = rotation;
    let (holder, file, output) = (old.holder(), shown(file), shown(output));
    let text = format!(
        "made key {new} in {output}; {file} still holds {old}

1. The server takes both. In its keys file, put the new key beside the old one:
     [{holder}]
     keys = [\"abk1:{old}:…\", \"abk1:{new}:…\"]        the new one: grep abk1 {output}
   then
     answerback keys check KEYS_FILE && answerback reload
2. Every client of {holder} gets the new key. Where {file} is:
     mv {output} {file}
   and start the client again.
3. The server takes the new one alone. Take \"abk1:{old}:…\" out of the keys file, then
     answerback keys check KEYS_FILE && answerback reload
   Whoever still has the old one is told so and closed.

A server with --key-file knows one key at a time. For a rotation without a gap, give it a keys file instead,
--keys KEYS_FILE, that grants what --key-file does:
     [{holder}]
     keys = [\"abk1:{old}:…\"]
     call = [\">\"]
     serve = [\">\"]
     publish = [\">\"]
     subscribe = [\">\"]
     admin = true
     peer = true"
    );
    text.lines().map(str::to_owned).collect()
}

fn json_of(key: &Key, file: Option<&Path>, salt: Option<&Salt>, replaces: Option<&KeyId>) -> serde_json::Value {
    json!({
        "id": key.id.as_str(),
        "file": file.map(|file| file.display().to_string()),
        "key": file.is_none().then(|| text::print(key).to_string()),
        "salt": salt.map(ToString::to_string),
        "replaces": replaces.map(KeyId::as_str),
    })
}

fn shown(path: &Path) -> String {
    escaped(&path.display().to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> KeyId {
        KeyId::new(text).unwrap()
    }

    #[test]
    fn a_number_follows_the_one_before() {
        for (old, new) in [("billing", "billing/2"), ("billing/2", "billing/3"), ("a.b/99", "a.b/100"), ("a/0", "a/1")]
        {
            assert_eq!(following(&id(old)).unwrap().as_str(), new);
        }
        let longest = "x".repeat(64);
        for old in ["billing/east", "billing/4294967295", &longest] {
            assert!(
                following(&id(old)).unwrap_err().what().starts_with(&format!("no number can follow in the id {old}"))
            );
        }
    }

    #[test]
    fn whoever_made_a_key_hears_what_to_do_with_it() {
        let told = after_making(&id("billing"), Some(Path::new("billing.key"))).join("\n");
        for words in ["answerback-server --key-file billing.key", "ANSWERBACK_KEY_FILE=billing.key"] {
            assert!(told.contains(words), "{told}");
        }
        assert!(after_making(&id("billing/2"), None).join("\n").contains("answerback keygen billing/2 -o billing.key"));
    }
}
