//! Clients with keys: everything works as without, and every way to be at the wrong door is told.

use crate::sealed_front::{Door, key, refusal};
use crate::support::{begin, broker_with, ms, soon, until};
use answerback::{Builder, Client, Code, Context, Error, Key, KeyId, Obstacle, Ran, Reconnect, Secret, State};
use answerback_server::Keys;
use answerback_server::key_ring::KeyRing;
use answerback_testing::TestBroker;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A plain broker, and the door to it that wants a key.
async fn sealed_broker() -> (TestBroker, Door) {
    let broker = TestBroker::start().await;
    let door = Door::before(broker.address().parse().unwrap(), key("billing", 7));
    (broker, door)
}

fn at(door: &Door) -> Builder {
    Client::builder(door.address())
}

fn with_key(door: &Door) -> Builder {
    at(door).key(key("billing", 7))
}

async fn refused(builder: Builder) -> Error {
    let from = Instant::now();
    let error = soon("the word on it", builder.connect()).await.unwrap_err();
    assert!(from.elapsed() < Duration::from_secs(5), "{error}");
    assert_eq!(error.ran(), Ran::No);
    error
}

#[tokio::test]
async fn calls_services_and_goodbyes_go_through_the_channel() {
    let (broker, door) = sealed_broker().await;
    let server = with_key(&door).name("server").connect().await.unwrap();
    server.serve("echo", |text: String| async move { answerback::Ok(text) }).await.unwrap();
    let client = with_key(&door).connect().await.unwrap();
    for length in [0, 10, 65_000, 66_000, 1_000_000] {
        let text = "x".repeat(length);
        assert_eq!(soon("an answer", client.call::<String>("echo", &text)).await.unwrap(), text);
    }
    let calls: Vec<_> = (0..2_000).map(|n| begin(client.call::<String>("echo", n.to_string()))).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(soon("an answer", call).await.unwrap().unwrap(), n.to_string());
    }
    // The plain broker sees sessions that end, and keeps none of them.
    soon("the goodbye", client.close()).await;
    soon("the goodbye", server.drain(ms(5_000))).await;
    let watcher = broker.client("watcher").await;
    crate::support::until_told("an empty house", &watcher, "$stats", |stats| stats["sessions"] == 1).await;
}

#[tokio::test]
async fn a_session_goes_on_over_a_new_channel() {
    let (_broker, door) = sealed_broker().await;
    let server = with_key(&door).connect().await.unwrap();
    server.serve("echo", |n: u32| async move { answerback::Ok(n) }).await.unwrap();
    let client = with_key(&door).connect().await.unwrap();
    for n in 0..20 {
        client.reconnect();
        assert_eq!(soon("an answer", client.call::<u32>("echo", n)).await.unwrap(), n);
    }
}

/// Seen on the way: a bit of a record flips. Nothing of it counts, and a new channel takes the place of the broken one.
#[tokio::test]
async fn a_spoilt_record_breaks_the_channel_and_nothing_else() {
    let (_broker, door) = sealed_broker().await;
    let client = with_key(&door).reconnect(Reconnect::default().first_delay(ms(30))).connect().await.unwrap();
    let mut watch = client.watch();
    watch.now();
    door.spoil.store(true, Ordering::Relaxed);
    let call = begin(client.call::<u32>("$echo", 7));
    let why = loop {
        match soon("what happened", watch.changed()).await {
            State::Waiting { why, .. } => break why,
            State::Connected { .. } | State::Connecting { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(why.code(), Code::Disconnected);
    assert!(why.message().contains("broke: in its sealed channel, a record does not open"), "{why}");
    assert_eq!(soon("the answer", call).await.unwrap().unwrap(), 7);
}

#[tokio::test]
async fn every_wrong_door_is_told_by_its_kind() {
    let billing = || key("billing", 7);
    let forged = [&[0xab, b'S', 1][..], &[5; 48]].concat();
    let other_version = [&[0xab, b'S', 2][..], &[5; 48]].concat();
    let rows: Vec<(Vec<u8>, Obstacle, Code, &str)> = vec![
        (
            refusal(Code::Denied, "no\u{1b}[2J"),
            Obstacle::KeyRefused,
            Code::Denied,
            r#"key billing is refused, with the unproven words "no\u{1b}[2J""#,
        ),
        (
            refusal(Code::BadRequest, "no keys here"),
            Obstacle::NoKeys,
            Code::BadRequest,
            r#"a server without keys answers, with the unproven words "no keys here""#,
        ),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Obstacle::NotAnswerback, Code::BadRequest, "it answers in HTTP"),
        (b"\x15\x03\x03\0\x02\x02\x28".to_vec(), Obstacle::NotAnswerback, Code::BadRequest, "it answers in TLS"),
        (b"220 smtp ready\r\n".to_vec(), Obstacle::NotAnswerback, Code::BadRequest, "not of this protocol"),
        (forged.clone(), Obstacle::NotOurServer, Code::Denied, "the answer was not made with our key"),
        ([&forged[..], b"x"].concat(), Obstacle::NotOurServer, Code::Denied, "more came than the answer"),
        (other_version, Obstacle::OtherVersion, Code::VersionMismatch, "another version of the sealed channel"),
        (Vec::new(), Obstacle::Closed, Code::Disconnected, "closed instead of an answer to the greeting"),
        (b"\xabS\x01".to_vec(), Obstacle::Closed, Code::Disconnected, "closed instead of an answer to the greeting"),
    ];
    for (says, obstacle, code, words) in rows {
        let door = Door::that_says(says);
        let error = refused(at(&door).key(billing())).await;
        assert_eq!((error.obstacle(), error.code()), (Some(obstacle), code), "{error}");
        assert!(error.message().starts_with(&format!("cannot connect to {}: ", door.address)), "{error}");
        assert!(error.message().contains(words) && error.message().ends_with(obstacle.advice()), "{error}");
        assert_eq!(door.visits.load(Ordering::Relaxed), 1);
    }
    let silent = Door::that_is_silent();
    let error = refused(at(&silent).key(billing()).connect_timeout(ms(100))).await;
    assert_eq!((error.obstacle(), error.code()), (Some(Obstacle::Silent), Code::Silent), "{error}");
}

#[tokio::test]
async fn a_client_without_a_key_is_told_that_it_needs_one() {
    let (_broker, door) = sealed_broker().await;
    let error = refused(at(&door)).await;
    assert_eq!((error.obstacle(), error.code()), (Some(Obstacle::KeyWanted), Code::Denied), "{error}");
    assert!(error.message().contains("this server takes only clients with a key"), "{error}");
    let door = Door::that_says(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let error = refused(at(&door)).await;
    assert_eq!(error.obstacle(), Some(Obstacle::NotAnswerback), "{error}");
}

/// A real server with keys. What handlers see of a caller begins with the holder of its key.
#[tokio::test]
async fn a_server_with_keys_lets_in_who_has_one_and_grants_what_is_granted() {
    let mut may = KeyRing::of_one(key("billing", 7)).holders()[0].clone();
    may.serve.clear();
    let ring = KeyRing::new(vec![may, KeyRing::of_one(key("mail/2", 8)).holders()[0].clone()]);
    let broker = broker_with(|settings| settings.keys = Some(Keys::of(ring))).await;
    let at = || Client::builder(broker.address());
    let mail = at().key(key("mail/2", 8)).name("mail-1").connect().await.unwrap();
    let whose = |context: Context, (): ()| async move { answerback::Ok(context.caller().to_owned()) };
    mail.serve("mail.send", whose).await.unwrap();
    let billing = at().key(key("billing", 7)).name("billing-1").connect().await.unwrap();
    let from = soon("an answer", billing.call::<String>("mail.send", ())).await.unwrap();
    assert_eq!(from, "billing/billing-1");
    let error = soon("the word on it", billing.serve("x", whose)).await.unwrap_err();
    assert!(error.code() == Code::Denied && error.message().starts_with("billing may not serve x"), "{error}");
    mail.reconnect();
    billing.reconnect();
    assert_eq!(soon("an answer", billing.call::<String>("mail.send", ())).await.unwrap(), "billing/billing-1");
    broker.stop().await;
    let call = begin(billing.call::<String>("mail.send", ()).attempts(2));
    broker.start_again().await;
    assert_eq!(soon("an answer", call).await.unwrap().unwrap(), "billing/billing-1");
    for (builder, obstacle) in [
        (at(), Obstacle::KeyWanted),
        (at().key(key("billing", 8)), Obstacle::KeyRefused),
        (at().key(key("nobody", 7)), Obstacle::KeyRefused),
    ] {
        let error = refused(builder).await;
        assert_eq!(error.obstacle(), Some(obstacle), "{error}");
    }
    soon("the goodbye", billing.close()).await;
    soon("the goodbye", mail.drain(ms(5_000))).await;
}

/// A real server without keys.
#[tokio::test]
async fn a_plain_server_is_told() {
    let broker = TestBroker::start().await;
    let error = refused(Client::builder(broker.address()).key(key("billing", 7))).await;
    assert_eq!(error.obstacle(), Some(Obstacle::NoKeys), "{error}");
}

#[tokio::test]
async fn a_wrong_key_is_tried_again_after_pauses_that_grow_and_not_when_the_first_must_hold() {
    let (_broker, door) = sealed_broker().await;
    let wrong = || at(&door).key(key("billing", 8));
    let error = refused(wrong()).await;
    assert_eq!((error.obstacle(), error.is_safe_to_retry()), (Some(Obstacle::KeyRefused), false), "{error}");
    assert_eq!(door.visits.load(Ordering::Relaxed), 1);
    let patient = wrong().reconnect(Reconnect::default().first_delay(ms(20)).longest_delay(ms(160))).start().unwrap();
    let (mut watch, mut pauses) = (patient.watch(), Vec::new());
    while pauses.len() < 5 {
        if let State::Waiting { pause, why, .. } = soon("a pause", watch.changed()).await {
            assert_eq!(why.obstacle(), Some(Obstacle::KeyRefused));
            pauses.push(pause);
        }
    }
    assert!(pauses[4] >= ms(80) && pauses[0] <= ms(20), "{pauses:?}");
    assert!(door.visits.load(Ordering::Relaxed) <= 7);
}

/// The next key is brought to the server first; a client that was started too early comes in by itself.
#[tokio::test]
async fn a_client_comes_in_when_its_key_is_there() {
    let broker = TestBroker::start().await;
    let early = Door::that_says(refusal(Code::Denied, "not yet"));
    let reconnect = Reconnect::default().first_delay(ms(5)).longest_delay(ms(20));
    let door = Door::before(broker.address().parse().unwrap(), key("billing", 7));
    let client = with_key(&early).address(door.address()).reconnect(reconnect).start().unwrap();
    until("the connection", || client.state().is_connected()).await;
}

const ADDRESS: &str = "SEALED_DOOR";

/// The environment is a process's own, so this is this test program again.
#[tokio::test]
async fn a_key_comes_from_the_environment_where_that_is_wanted() {
    let broker = TestBroker::start().await;
    let door = Door::before(broker.address().parse().unwrap(), listed_key());
    for (variable, text, ends_well) in [
        ("ANSWERBACK_KEY", TEXT, true),
        ("ANSWERBACK_KEY", "abk1:billing", false),
        ("ANSWERBACK_KEY_FILE", "/nowhere/billing.key", false),
    ] {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["sealed::as_a_process_with_a_key_in_its_environment", "--exact", "--ignored"]);
        command.env(ADDRESS, door.address()).env(variable, text);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(output.status.success(), ends_well, "{output:?}");
    }
}

#[tokio::test]
#[ignore = "started by another test, as a process of its own"]
async fn as_a_process_with_a_key_in_its_environment() {
    let address = std::env::var(ADDRESS).unwrap();
    // What was not asked for does not count.
    assert_eq!(refused(Client::builder(&address)).await.obstacle(), Some(Obstacle::KeyWanted));
    let client = Client::builder(address).key_from_environment().connect().await.unwrap();
    assert_eq!(soon("an answer", client.call::<u32>("$echo", 7)).await.unwrap(), 7);
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("answerback-sealed-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The key whose secret is 00 01 … 1f.
const TEXT: &str = "abk1:billing/2:aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp5c7jcgq";

fn listed_key() -> Key {
    Key { id: KeyId::new("billing/2").unwrap(), secret: Secret::new(std::array::from_fn(|at| at as u8)) }
}

#[tokio::test]
async fn keys_come_from_files_and_texts_and_mistakes_in_them_are_told_before_anything_is_connected() {
    let folder = Folder::new("files");
    let good = folder.file("good.key", &format!("# billing\n{TEXT}\n"), 0o600);
    let broker = TestBroker::start().await;
    let door = Door::before(broker.address().parse().unwrap(), listed_key());
    for builder in [at(&door).key_file(&good), at(&door).key_text(TEXT), at(&door).key_text("x").key_file(&good)] {
        assert_eq!(soon("an answer", builder.connect().await.unwrap().call::<u32>("$echo", 1)).await.unwrap(), 1);
    }
    let open = folder.file("open.key", TEXT, 0o644);
    let mistaken = folder.file("mistaken.key", &TEXT.replace("aaaq", "aaba"), 0o600);
    let visits = door.visits.load(Ordering::Relaxed);
    for (builder, words) in [
        (at(&door).key_file(folder.0.join("none")), "key_file: cannot read "),
        (at(&door).key_file(open), "chmod 600 "),
        (at(&door).key_file(mistaken), "its checksum is wrong"),
        (at(&door).key_text("abk1:billing"), "key_text: it is not a key: it has no second `:`"),
    ] {
        let shown = format!("{builder:?}");
        let error = refused(builder).await;
        assert!(error.code() == Code::BadRequest && error.message().contains(words), "{error}");
        assert!(!format!("{error:?} {shown}").contains("aaaqeaye"), "{error}");
    }
    assert_eq!(door.visits.load(Ordering::Relaxed), visits);
}

#[tokio::test]
async fn secrets_are_not_in_what_is_printed_of_a_client() {
    let builder = Client::builder("127.0.0.1:1").key_text(TEXT);
    let mut shown = format!("{builder:?}");
    shown += &format!("{:?}", builder.key(key("billing", 7)).start().unwrap());
    assert!(!shown.contains("aaaq") && !shown.contains("7, 7"), "{shown}");
}
