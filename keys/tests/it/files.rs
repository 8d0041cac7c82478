//! Files with one key.

use crate::{Place, assert_hides, key, text_of};
use answerback_keys::file::{KEY_FILE_BYTES_MAX, KeyFileProblem, create_key_file};
use answerback_keys::{Refused, read_key_file};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::thread;

/// What is told about a file with this in it.
#[track_caller]
fn told(place: &Place, content: impl AsRef<[u8]>) -> String {
    let path = place.file("billing.key", 0o600, content);
    place.without(&read_key_file(&path).unwrap_err())
}

#[test]
fn a_key_stands_among_comments() {
    let (place, text) = (Place::new(), text_of("billing", 7));
    for content in [
        text.clone(),
        format!("{text}\n"),
        format!("\u{feff}# of billing\r\n\r\n  {text}  \r\n# end\r\n"),
        format!("#{}\n{text}\n", "x".repeat(60 << 10)),
    ] {
        let read = read_key_file(&place.file("billing.key", 0o600, &content)).unwrap();
        assert_eq!((read.id.as_str(), read.secret.expose()), ("billing", &[7; 32]));
    }
}

#[test]
fn others_must_not_read_or_write_it() {
    let (place, text) = (Place::new(), text_of("billing", 7));
    for mode in [0o600, 0o400, 0o700] {
        assert!(read_key_file(&place.file("billing.key", mode, &text)).is_ok(), "{mode:o}");
    }
    for (mode, can) in [
        (0o640, "read"),
        (0o604, "read"),
        (0o620, "write"),
        (0o602, "write"),
        (0o666, "read and write"),
        (0o601, "execute"),
    ] {
        let error = read_key_file(&place.file("billing.key", mode, &text)).unwrap_err();
        assert!(matches!(error.problem(), KeyFileProblem::Refused(Refused::OpenToOthers { .. })), "{error:?}");
        let expected = format!("others can {can} DIR/billing.key, its mode is 0{mode:o}: chmod 600 DIR/billing.key");
        assert_eq!(place.without(&error), expected);
        assert_hides(&format!("{error} {error:?}"), &text);
    }
    // The mode of what it leads to counts, not that of the link.
    symlink(place.path("billing.key"), place.path("link")).unwrap();
    assert!(read_key_file(&place.path("link")).is_err());
    // The command works as it stands there, whatever the file is called.
    let odd = place.file("it's a key", 0o644, &text);
    let error = read_key_file(&odd).unwrap_err();
    assert!(Command::new("sh").args(["-c", &error.advice()]).status().unwrap().success());
    assert!(read_key_file(&odd).is_ok());
}

#[test]
fn what_is_no_key_file_is_told() {
    let (place, text) = (Place::new(), text_of("billing", 7));
    let make = "`answerback keygen -o FILE` makes a file with a new key";
    assert_eq!(told(&place, ""), format!("there is no key in DIR/billing.key: {make}"));
    assert_eq!(told(&place, "# nothing\n\n"), format!("there is no key in DIR/billing.key: {make}"));
    let two = told(&place, format!("# a\n{text}\n\n{text}"));
    let many = "a key file has one key; many holders stand in a keys file, --keys FILE";
    assert_eq!(two, format!("DIR/billing.key holds more than one key, on lines 2 and 4: {many}"));
    let wrong = told(&place, format!("# a\n{}", &text[..text.len() - 3]));
    let copy = "copy the whole line again from where the key was made";
    let why = "it has 55 characters behind its second `:` instead of 58: something is missing";
    assert_eq!(wrong, format!("line 2 of DIR/billing.key is not a key: {why}: {copy}"));
    let keys = "a server takes it with --keys DIR/billing.key; a client needs a file with its key alone";
    let looks = "DIR/billing.key looks like a keys file, with many holders, and not like a file with one key";
    assert_eq!(told(&place, "[billing]\nkeys = []\n"), format!("{looks}: {keys}"));
    let give = "give a file that holds one key, as `answerback keygen -o FILE` makes it";
    assert_eq!(told(&place, b"\xff\xfe"), format!("DIR/billing.key is not a text file: {give}"));
    let long = told(&place, vec![b'#'; KEY_FILE_BYTES_MAX + 1]);
    assert_eq!(long, format!("DIR/billing.key is longer than 64 KiB: {give}"));
    let folder = read_key_file(&place.path("")).unwrap_err();
    assert_eq!(place.without(&folder), format!("DIR/ is not a file: {give}"));
    let missing = place.without(&read_key_file(&place.path("none")).unwrap_err());
    let look = "look at the path; such a file holds one key, as `answerback keygen -o FILE` makes it";
    assert_eq!(missing, format!("cannot read DIR/none: No such file or directory (os error 2): {look}"));
    assert!(read_key_file("/dev/null".as_ref()).unwrap_err().what().ends_with("is not a file"));
}

/// A password manager hands keys over in pipes. They do not say how long they are.
#[test]
#[allow(clippy::disallowed_methods, reason = "somebody must write while this reads")]
fn a_pipe_will_do() {
    let (place, text) = (Place::new(), text_of("billing", 7));
    let path = place.path("pipe");
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&path).status().unwrap().success());
    let write = |content: String| {
        let path = path.clone();
        // Whoever is not read to the end hears of it.
        thread::spawn(move || drop(fs::write(path, content)))
    };
    let writing = write(format!("#{}\n{text}\n", "x".repeat(20 << 10)));
    assert_eq!(read_key_file(&path).unwrap().id.as_str(), "billing");
    writing.join().unwrap();
    let writing = write("#".repeat(KEY_FILE_BYTES_MAX + 1));
    assert!(read_key_file(&path).unwrap_err().what().ends_with("pipe is longer than 64 KiB"));
    writing.join().unwrap();
}

#[test]
fn a_new_file_is_private_and_none_is_written_over() {
    let place = Place::new();
    let path = place.path("billing.key");
    let comments = ["of billing".to_owned(), "made today".to_owned()];
    create_key_file(&path, &comments, &key("billing", 7)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(written, format!("# of billing\n# made today\n{}\n", text_of("billing", 7)));
    assert_eq!(read_key_file(&path).unwrap().secret.expose(), &[7; 32]);
    let again = create_key_file(&path, &[], &key("billing", 8)).unwrap_err();
    assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
    // Nor is the file that a link leads to.
    symlink(place.path("elsewhere"), place.path("link")).unwrap();
    assert!(create_key_file(&place.path("link"), &[], &key("billing", 8)).is_err());
    assert!(!place.path("elsewhere").exists());
}
