//! Which of several ways to give a key holds, and what is told about the one that is wrong.

use crate::{Place, assert_hides, text_of};
use answerback_keys::source::Origin;
use answerback_keys::{Given, KeySource, RingSource};
use std::ffi::OsString;
use std::path::PathBuf;

/// What an environment with these variables says.
fn environment(variables: &[(&str, &str)]) -> Given {
    let look = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
    Given::by_environment(look)
}

/// Each way to give a key, with a key of its own.
struct Ways {
    place: Place,
    given: Given,
}

impl Ways {
    fn new() -> Self {
        let place = Place::new();
        let file = |name: &str, id: &str| place.file(name, 0o600, text_of(id, 1));
        let ring = |name: &str, id: &str| place.file(name, 0o600, format!("[{id}]\nkeys = [\"{}\"]\n", text_of(id, 1)));
        let given = Given {
            key_file_flag: Some(file("flag.key", "flag")),
            keys_flag: Some(ring("flag.keys", "flags")),
            key_file: Some(file("env.key", "env")),
            key: None,
            keys: Some(ring("env.keys", "envs")),
            credentials: Some(place.path("")),
        };
        file("answerback.key", "credential");
        ring("answerback.keys", "credentials");
        Self { place, given }
    }
}

fn of_client(given: &Given) -> String {
    KeySource::of(given).unwrap().map_or("nothing".to_owned(), |source| source.read().unwrap().id.to_string())
}

fn of_server(given: &Given) -> String {
    RingSource::of(given)
        .unwrap()
        .map_or("nothing".to_owned(), |source| source.read().unwrap().holders()[0].id.to_string())
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_credentials() {
    let Ways { place, mut given } = Ways::new();
    assert_eq!(of_client(&given), "flag");
    given.key_file_flag = None;
    assert_eq!((of_client(&given), of_server(&given)), ("env".to_owned(), "flags".to_owned()));
    given.keys_flag = None;
    given.key_file = None;
    assert_eq!((of_client(&given), of_server(&given)), ("credential".to_owned(), "envs".to_owned()));
    given.keys = None;
    std::fs::remove_file(place.path("answerback.key")).unwrap();
    assert_eq!((of_client(&given), of_server(&given)), ("nothing".to_owned(), "credentials".to_owned()));
    std::fs::remove_file(place.path("answerback.keys")).unwrap();
    assert_eq!((of_client(&given), of_server(&given)), ("nothing".to_owned(), "nothing".to_owned()));
    assert_eq!(of_server(&Given::default()), "nothing");
}

#[test]
fn the_environment_may_hold_the_key_itself() {
    let text = text_of("billing", 7);
    let given = environment(&[("ANSWERBACK_KEY", &text), ("ANSWERBACK_KEY_FILE", ""), ("ANSWERBACK_KEYS", "")]);
    assert_eq!((of_client(&given), of_server(&given)), ("billing".to_owned(), "billing".to_owned()));
    let source = KeySource::of(&given).unwrap().unwrap();
    assert_eq!((source.origin(), source.path()), (Origin::KeyVariable, None));
    assert_hides(&format!("{given:?} {source:?}"), &text);
    let wrong = KeySource::of(&environment(&[("ANSWERBACK_KEY", &text[1..])])).unwrap().unwrap().read().unwrap_err();
    let why = "it is not a key: it does not begin with `abk1:`, as the text of a key does";
    assert_eq!(wrong.to_string(), format!("ANSWERBACK_KEY: {why}: copy the whole key again from where it was made"));
    assert_hides(&format!("{wrong:?}"), &text);
}

#[test]
fn two_ways_of_one_kind_are_a_mistake() {
    let Ways { given, .. } = Ways::new();
    let told = RingSource::of(&given).unwrap_err().to_string();
    let only = "are both given, and only one of them can hold";
    assert_eq!(told, format!("--key-file and --keys {only}: take away --key-file or --keys"));
    let both = environment(&[("ANSWERBACK_KEY", "a"), ("ANSWERBACK_KEY_FILE", "b")]);
    let told = KeySource::of(&both).unwrap_err().to_string();
    let names = "ANSWERBACK_KEY_FILE and ANSWERBACK_KEY";
    assert_eq!(told, format!("{names} {only}: take away ANSWERBACK_KEY_FILE or ANSWERBACK_KEY"));
    // A flag says which one, and then it does not matter.
    assert!(KeySource::of(&both.and_flags(Some(PathBuf::from("c")), None)).is_ok());
}

#[test]
fn the_source_that_is_wrong_is_named() {
    let place = Place::new();
    let open = place.file("open", 0o644, text_of("billing", 7));
    let path = open.to_str().unwrap();
    let told = |given: Given| place.without(&RingSource::of(&given).unwrap().unwrap().read().unwrap_err());
    let mode = "others can read DIR/open, its mode is 0644: chmod 600 DIR/open";
    assert_eq!(told(Given::default().and_flags(Some(open.clone()), None)), format!("--key-file: {mode}"));
    assert_eq!(told(Given::default().and_flags(None, Some(open.clone()))), format!("--keys: {mode}"));
    assert_eq!(told(environment(&[("ANSWERBACK_KEY_FILE", path)])), format!("ANSWERBACK_KEY_FILE: {mode}"));
    assert_eq!(told(environment(&[("ANSWERBACK_KEYS", path)])), format!("ANSWERBACK_KEYS: {mode}"));
    place.file("answerback.key", 0o400, "# nothing");
    let credentials = Given { credentials: Some(place.path("")), ..Given::default() };
    let told = told(credentials);
    assert!(told.starts_with("credential answerback.key: there is no key in DIR/answerback.key: "), "{told}");
    let keys = place.file("holders.toml", 0o600, "[billing]\n");
    let source = RingSource::of(&Given::default().and_flags(None, Some(keys))).unwrap().unwrap();
    let told = place.without(&source.read().unwrap_err());
    let makes = "it needs keys = [\"abk1:…\"]; `answerback keygen billing` makes one";
    let check = "mend them; `answerback keys check DIR/holders.toml` says whether all is well";
    let first = format!("--keys: 1 mistake in DIR/holders.toml\nline 1: [billing] nobody can be this holder: {makes}");
    assert_eq!(told, format!("{first}\n{check}"));
}

/// Where a service has a user of its own, systemd lets it in with an access control list, and the mode shows 0440.
#[test]
fn credentials_are_private_with_an_access_control_list_too() {
    let place = Place::new();
    let given = Given { credentials: Some(place.path("")), ..Given::default() };
    for (mode, is_private) in [(0o400, true), (0o440, true), (0o444, false), (0o460, false)] {
        place.file("answerback.key", mode, text_of("billing", 7));
        assert_eq!(KeySource::of(&given).unwrap().unwrap().read().is_ok(), is_private, "{mode:o}");
    }
}

#[test]
fn a_source_is_read_again() {
    let place = Place::new();
    let path = place.file("billing.key", 0o600, text_of("billing", 7));
    let source = RingSource::of(&Given::default().and_flags(Some(path), None)).unwrap().unwrap();
    let before = source.read().unwrap();
    place.file("billing.key", 0o600, text_of("billing/2", 8));
    let changes = before.changes(&source.read().unwrap());
    assert_eq!((changes.changed.len(), changes.removed_keys[0].as_str()), (1, "billing"));
}
