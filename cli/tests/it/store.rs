//! `store inspect`, `export` and `import`, on what real servers leave behind and on lines that people wrote.

use crate::bed::{Ended, Ongoing, finish, tool, wait_for};
use answerback_server::{End, Running, Server, Settings};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const HEAD: &str = r#"{"answerback_store":1,"version":"0.1.0"}"#;
const END: &str = r#"{"end":true,"clean":true}"#;

/// What must never be shown.
const SESSION: &str = "5ec3e75ec3e75ec3e75ec3e75ec3e75e";

/// A folder that is removed at the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("answerback-cli-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn start(data: &str) -> Running {
    let settings = Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        admin: None,
        data_dir: data.into(),
        // Only the last save counts in these tests, so that what is stored does not depend on the moment.
        snapshot_interval: Duration::ZERO,
        ..Settings::default()
    };
    Server::start(settings).unwrap()
}

fn leave(running: Running) {
    let data = running.data_dir().to_owned();
    running.drain(Duration::from_secs(10));
    assert_eq!(running.join(), End::Drained { complete: true });
    until_free(&data);
}

/// A process that another test is just starting holds everything that this one has open, for a moment.
fn until_free(data: &Path) {
    let lock = File::open(data.join("server.lock")).unwrap();
    wait_for("the lock to be free", || lock.try_lock().ok());
    lock.unlock().unwrap();
}

fn ask(running: &Running, arguments: &[&str]) -> Ended {
    finish(tool(&[&["--server", &running.address().to_string()], arguments].concat()), "")
}

fn store(arguments: &[&str]) -> Ended {
    finish(tool(&[&["store"], arguments].concat()), "")
}

fn import(data: &str, more: &[&str], lines: &[String]) -> Ended {
    finish(tool(&[&["store", "import", data], more].concat()), &(lines.join("\n") + "\n"))
}

fn exported(data: &str) -> String {
    let told = store(&["export", data]);
    assert_eq!(told.code, 0, "{told:?}");
    told.out
}

/// A send, durable if its number is odd.
fn send(number: u64) -> String {
    let times =
        r#""received":"2026-11-21T15:02:33.000124Z","expires":"never","deadline":"2126-11-21T15:02:33.000124Z""#;
    let durable = !number.is_multiple_of(2);
    format!(
        r#"{{"item":{number},"request":{{"action":"mail.send","from":"shop","durable":{durable},{times},"attempts":3,"origin":"{number:016x}","data":{{"n":{number}.50}}}}}}"#
    )
}

/// A call under way with its secrets, a reply that waits for its caller, one under a key, and data that is no JSON.
fn secrets() -> [String; 3] {
    let caller = format!(r#""caller":{{"session":"{SESSION}","id":7}}"#);
    let progress = format!(
        r#""progress":{{"attempt":1,"deliveries":1,"parts":0,"delivered":true,"may_have_run":false,"handler":"{SESSION}"}}"#
    );
    let times =
        r#""received":"2026-11-21T15:02:33.000124Z","expires":"never","deadline":"2126-11-21T15:02:33.000124Z""#;
    let call = format!(
        r#"{{"item":11,"request":{{"action":"user.get","from":"web","durable":true,{caller},"key":"key-secret",{times},"attempts":1,"info":true,"origin":"00000000000000aa",{progress},"data_base64":"ZGF0YS1zZWNyZXQK"}}}}"#
    );
    let kept = format!(
        r#"{{"item":12,"kept":{{{caller},"name":"web","durable":false,"reply":{{"type":"reply","id":9}},"data":["data-secret"]}}}}"#
    );
    let stored = r#"{"item":13,"stored":{"action":"user.get","key":"key-secret","durable":false,"until":"2126-11-21T15:02:33.000124Z","fingerprint":"000102030405060708090a0b0c0d0e0f","data":"data-secret"}}"#;
    [call, kept, stored.to_owned()]
}

fn lines(items: &[String]) -> Vec<String> {
    [&[HEAD.to_owned()], items, &[END.to_owned()]].concat()
}

/// A whole folder, to see that nothing was changed in it.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else {
            found.push((entry.clone(), fs::read(&entry).unwrap()));
        }
    }
    found.sort();
    found
}

/// Seeds 32, 33: what a server held is seen, moved to another directory, and served there.
#[test]
fn what_a_server_leaves_is_seen_and_can_be_moved() {
    let place = Place::new();
    let (old, new) = (place.path("old"), place.path("new"));
    let running = start(&old);
    ask(&running, &["send", "mail.send", "{\"n\": 1.50}", "--durable"]).printed("accepted\n");
    ask(&running, &["send", "mail.send", "[2]"]).printed("accepted\n");
    leave(running);

    let before = files(Path::new(&old));
    let seen = store(&["inspect", &old]);
    assert_eq!(seen.code, 0, "{seen:?}");
    let words: Vec<_> =
        seen.out.lines().find(|line| line.starts_with("mail.send")).unwrap().split_whitespace().collect();
    assert_eq!(words[..4], ["mail.send", "2", "0", "1"], "{seen:?}");
    assert!(seen.out.contains("store: 2 items, its server left in order"), "{seen:?}");
    let lines = exported(&old);
    assert_eq!(lines.lines().count(), 4, "{lines}");
    assert!(lines.contains("\"data\":{\"n\": 1.50}") && lines.contains("\"data\":[2]"), "{lines}");
    assert_eq!(files(Path::new(&old)), before, "looking has changed something");

    let told = finish(tool(&["store", "import", &new]), &lines);
    assert!(told.code == 0 && told.out.starts_with("2 items imported into "), "{told:?}");
    assert!(told.err.contains("server.key"), "{told:?}");
    assert_eq!(exported(&new), lines);
    fs::copy(format!("{old}/server.key"), format!("{new}/server.key")).unwrap();
    let running = start(&new);
    let server = running.address().to_string();
    let serving = Ongoing::start(tool(&["--server", &server, "serve", "mail.send", "--echo"]));
    wait_for("both to be read and served", || {
        let report = running.report().unwrap();
        (!report.store.restoring && report.held.requests == 0).then_some(())
    });
    assert_eq!(serving.leave().code, 0);
    leave(running);
    assert_eq!(store(&["inspect", &new, "--json"]).json()["items"], 0);
}

#[test]
fn lines_come_back_as_they_were() {
    let place = Place::new();
    let (first, second) = (place.path("first"), place.path("second/deep"));
    let items = [(1..=9).map(send).collect(), secrets().to_vec()].concat();
    let told = import(&first, &["--json"], &lines(&items));
    let json = told.json();
    assert_eq!((json["imported"].as_u64(), json["there_before"].as_u64()), (Some(12), Some(0)), "{told:?}");
    let out = exported(&first);
    let mut sorted: Vec<_> = out.lines().collect();
    sorted.sort_unstable();
    let mut wanted = lines(&items);
    wanted.sort_unstable();
    assert_eq!(sorted, wanted);
    import(&second, &[], &out.lines().map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(exported(&second), out);
    assert_eq!(fs::metadata(&second).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn secrets_are_in_an_export_alone() {
    let place = Place::new();
    let data = place.path("data");
    import(&data, &[], &lines(&secrets()));
    for arguments in [&["inspect", &data][..], &["inspect", &data, "--items"], &["inspect", &data, "--json", "--items"]]
    {
        let seen = store(arguments);
        assert!(seen.code == 0 && seen.out.contains("user.get"), "{seen:?}");
        assert!(!seen.out.contains("secret") && !seen.out.contains(&SESSION[..6]), "{seen:?}");
    }
    let file = place.path("out.jsonl");
    assert_eq!(store(&["export", &data, "--output", &file]).code, 0);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&file).unwrap().contains(SESSION));
    store(&["export", &data, "--output", &file]).failed(1, "cannot make");

    // A file that others can read is no place for it; a pipe is nobody's business.
    let open = File::create(place.path("open.jsonl")).unwrap();
    open.set_permissions(fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = tool(&["store", "export", &data]);
    command.stdout(Stdio::from(open));
    let warned = command.output().unwrap();
    assert!(String::from_utf8(warned.stderr).unwrap().contains("others can read it"));
    assert!(!store(&["export", &data]).err.contains("others can read it"));
}

#[test]
fn items_are_listed_and_chosen() {
    let place = Place::new();
    let data = place.path("data");
    import(&data, &[], &lines(&[vec![send(1), send(2)], secrets().to_vec()].concat()));
    let listed = store(&["inspect", &data, "--items", "--json", "--action", "mail.*"]);
    let items: Vec<serde_json::Value> = listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(items.len(), 2, "{listed:?}");
    for (item, durable) in items.iter().zip([true, false]) {
        assert_eq!((&item["kind"], &item["state"]), (&"request".into(), &"queued".into()));
        assert_eq!((&item["durable"], &item["from"], &item["bytes"]), (&durable.into(), &"shop".into(), &10.into()));
    }
    let totals = store(&["inspect", &data, "--json"]).json();
    assert_eq!(totals["actions"][1]["delivered"], 1, "{totals}");
    assert_eq!((&totals["kept"]["replies"], &totals["stored"]["replies"]), (&1.into(), &1.into()), "{totals}");
    assert_eq!((&totals["journal"]["segments"], &totals["clean"]), (&1.into(), &true.into()), "{totals}");
}

/// Whatever is wrong with a line, it is named, and nothing is imported: not into a new directory and not into one that holds something.
#[test]
fn an_import_is_all_or_nothing() {
    let place = Place::new();
    let (full, new) = (place.path("full"), place.path("new"));
    import(&full, &[], &lines(&[send(1)]));
    let before = exported(&full);
    let twice = send(3).replace("\"item\":3", "\"item\":2");
    for (lines, words) in [
        (vec![], "line 2: the lines end without the last one"),
        (vec![send(1)], "line 1: the first line is not that of an export"),
        (vec![HEAD.replace(":1", ":2")], "line 1: these lines have form 2"),
        (vec![HEAD.into(), send(2)], "line 3: the lines end without the last one"),
        (vec![HEAD.into(), send(2), send(3)[..99].into()], "line 3: EOF"),
        (vec![HEAD.into(), send(2), String::new(), "{}".into()], "line 4: missing field"),
        (vec![HEAD.into(), send(2), twice, END.into()], "line 3: another item has the same number"),
        (
            vec![HEAD.into(), send(2), send(2).replace("\"item\":2", "\"item\":4"), END.into()],
            "line 3: the same request",
        ),
        (vec![HEAD.into(), send(2), send(4).replace("shop", ""), END.into()], "line 3: \"from\" has 1 to 255 bytes"),
        (vec![HEAD.into(), send(2), HEAD.into()], "line 3: a second first line"),
        (vec![HEAD.into(), send(2), END.into(), send(3)], "line 3: more follows"),
        (
            vec![HEAD.into(), send(2).replace(":2,", ":18446744073709551614,"), END.into()],
            "line 2: its number is too large",
        ),
    ] {
        if !words.contains("too large") {
            import(&new, &[], &lines).failed(2, words);
        }
        import(&full, &["--add"], &lines).failed(2, words);
    }
    assert!(!Path::new(&new).join("store").exists() && !Path::new(&new).join("store.importing").exists());
    assert_eq!(exported(&full), before);
}

#[test]
fn what_is_there_already_is_not_mixed_with_more_by_accident() {
    let place = Place::new();
    let data = place.path("data");
    import(&data, &[], &lines(&[send(1), send(4)]));
    import(&data, &[], &lines(&[send(2)])).failed(6, "holds 2 items already");
    import(&data, &["--add"], &lines(&[send(1)])).failed(2, "line 2: the same request");
    let told = import(&data, &["--add", "--json"], &lines(&[send(2), send(3)])).json();
    assert_eq!((&told["imported"], &told["there_before"]), (&2.into(), &2.into()), "{told}");
    let aside = told["aside"].as_str().unwrap();
    assert!(aside.contains("/store/aside/") && aside.ends_with("-before-import"), "{told}");
    let listed = store(&["inspect", &data, "--items", "--json"]).out;
    let mut numbers: Vec<_> = listed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["item"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 4, 6, 7]);
    assert_eq!(store(&["inspect", aside, "--json"]).json()["items"], 2);
    // One that is empty may be filled, and is set aside too.
    let empty = place.path("empty");
    leave(start(&empty));
    assert_eq!(import(&empty, &[], &lines(&[send(2)])).code, 0);
    leave(start(&empty));
}

#[test]
fn a_directory_in_use_is_left_alone() {
    let place = Place::new();
    let data = place.path("data");
    let running = start(&data);
    let holder = format!("is in use (epoch 1, pid {}, id server1", std::process::id());
    store(&["inspect", &data]).failed(6, &holder);
    store(&["export", &format!("{data}/store")]).failed(6, &holder);
    import(&data, &["--add"], &lines(&[send(1)])).failed(6, &holder);
    leave(running);
    assert_eq!(store(&["inspect", &data]).code, 0);
    store(&["inspect", &place.path("nowhere")]).failed(1, "there is no store in");
    store(&["inspect", &place.path("")]).failed(1, "there is no store in");
}

/// A server cannot start while something is imported; what is left of an import that was killed is no obstacle.
#[test]
fn an_import_holds_the_directory() {
    let place = Place::new();
    let data = place.path("data");
    fs::create_dir_all(format!("{data}/store.importing/journal")).unwrap();
    let mut child = tool(&["store", "import", &data]).spawn().unwrap();
    let lock = Path::new(&data).join("server.lock");
    wait_for("the import to hold the directory", || {
        fs::read_to_string(&lock).ok().filter(|text| text.contains("answerback store import"))
    });
    let settings = Settings { admin: None, data_dir: (&data).into(), ..Settings::default() };
    let refused = Server::start(Settings { listen: ([127, 0, 0, 1], 0).into(), ..settings }).unwrap_err().to_string();
    assert!(refused.contains("answerback store import"), "{refused}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(import(&data, &[], &lines(&[send(1)])).code, 0);
    leave(start(&data));
}

/// Ctrl-C: what was half done goes away.
#[test]
fn an_import_that_is_interrupted_leaves_nothing() {
    let place = Place::new();
    let data = place.path("data");
    let mut child = tool(&["store", "import", &data]).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    writeln!(to, "{HEAD}").unwrap();
    wait_for("the import to begin", || Path::new(&data).join("store.importing").exists().then_some(()));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let mut number = 0;
    let status = wait_for("its end", || {
        number += 1;
        // It may have ended already.
        let _ = writeln!(to, "{}", send(number));
        child.try_wait().unwrap()
    });
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(status.code() == Some(1) && err.starts_with("error: interrupted\n"), "{status} {err}");
    let left: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["server.lock"]);
}

#[test]
fn damage_is_told_and_fails() {
    let place = Place::new();
    let data = place.path("data");
    import(&data, &[], &lines(&(1..=9).map(send).collect::<Vec<_>>()));
    let segment = Path::new(&data).join("store/journal/000000000001.journal");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let seen = store(&["inspect", &data]);
    assert!(seen.code == 1 && seen.err.contains("warning: ") && seen.err.contains("are damaged"), "{seen:?}");
    let json = store(&["inspect", &data, "--json"]).json();
    assert_eq!((&json["findings"][0]["kind"], &json["findings"][0]["loss"]), (&"damaged_journal".into(), &true.into()));
    let told = store(&["export", &data]);
    assert!(told.code == 1 && told.err.contains("not everything was exported"), "{told:?}");
    assert!(told.out.lines().count() > 4 && told.out.ends_with("{\"end\":true,\"clean\":false}\n"), "{told:?}");
    import(&data, &["--add"], &lines(&[send(20)])).failed(6, "is damaged");
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}

/// What a killed server has left may have been answered already: another server must know that it is not exact.
#[test]
fn whether_a_server_left_in_order_travels_along() {
    let place = Place::new();
    let (killed, moved) = (place.path("killed"), place.path("moved"));
    let running = start(&killed);
    ask(&running, &["send", "mail.send", "1", "--durable"]).printed("accepted\n");
    drop(running);
    until_free(Path::new(&killed));
    assert_eq!(store(&["inspect", &killed, "--json"]).json()["clean"], false);
    let lines = exported(&killed);
    assert!(lines.ends_with("{\"end\":true,\"clean\":false}\n"), "{lines}");
    finish(tool(&["store", "import", &moved]), &lines);
    assert_eq!(exported(&moved), lines);
}

/// More than fit into one batch of the writer come through, in the same order.
#[test]
fn many_items_keep_their_order() {
    let place = Place::new();
    let data = place.path("data");
    let items: Vec<_> = (1..=9_000).map(send).collect();
    assert_eq!(import(&data, &[], &lines(&items)).code, 0);
    let out = exported(&data);
    let (durable, others): (Vec<_>, Vec<_>) = items.into_iter().partition(|line| line.contains("\"durable\":true"));
    assert!(out.lines().eq(lines(&[durable, others].concat())), "an order has changed");
}
