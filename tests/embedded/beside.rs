//! Something else at the address: nothing is started beside it, and it is said why.

use crate::spot::{PATIENCE, Spot, soon, until};
use answerback::{Code, Obstacle};
use answerback_protocol::frames::ErrorNotice;
use answerback_protocol::{Code as WireCode, ServerFrame};
use answerback_server::embedded::{Builder, Error};
use answerback_server::{Server, Settings};
use bytes::BytesMut;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Answers everybody who connects with these bytes, and closes.
fn answer_all(spot: &Spot, bytes: Vec<u8>) {
    let listener = TcpListener::bind(spot.address).unwrap();
    // Ends with the process: a thread that waits for nobody harms nobody.
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let _ = socket.read(&mut [0; 4096]).and_then(|_| socket.write_all(&bytes));
        }
    });
}

async fn refusal(builder: Builder) -> Error {
    soon("the refusal", builder.connect()).await.unwrap_err()
}

fn client_error(error: Error) -> answerback::Error {
    let Error::Client(error) = error else { panic!("another error: {error}") };
    error
}

/// Seed 48. simple-event-broker ("port used by another program"): the process died.
#[tokio::test]
async fn something_else_at_the_address_is_said_and_left_alone() {
    let spot = Spot::new();
    answer_all(&spot, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    let error = client_error(refusal(spot.builder("late")).await);
    assert_eq!(error.obstacle(), Some(Obstacle::NotAnswerback), "{error}");
    assert_eq!(spot.epoch(), None, "somebody took the lock");
}

/// A newcomer whose version the broker does not speak says so, and starts none of its own.
#[tokio::test]
async fn a_broker_of_another_version_is_said_and_left_alone() {
    let spot = Spot::new();
    let mut bytes = BytesMut::new();
    let message = "this server speaks 900 to 901; this client speaks less: use a newer one";
    let (code, about) = (WireCode::VersionMismatch, None);
    ServerFrame::from(ErrorNotice { code, message: message.into(), about, fatal: true }).write(b"", &mut bytes);
    answer_all(&spot, bytes.to_vec());
    let error = client_error(refusal(spot.builder("old")).await);
    assert_eq!(error.code(), Code::VersionMismatch, "{error}");
    assert!(error.message().contains("use a newer one"), "{error}");
    assert_eq!(spot.epoch(), None, "somebody took the lock");
}

/// Seed 48. simple-event-broker ("port open but silent"): it said that the port was not open, and never tried again.
#[tokio::test]
async fn an_address_that_is_silent_is_not_taken() {
    let spot = Spot::new();
    let _listener = TcpListener::bind(spot.address).unwrap();
    let builder = spot.builder("patient").connect_within(std::time::Duration::from_millis(300));
    let error = refusal(builder).await;
    assert!(matches!(&error, Error::Late(what) if what.contains("connect_within")), "{error}");
    assert_eq!(spot.epoch(), None, "somebody took the lock");
}

/// Point the same address at a server of its own: all are its clients, and when it is started again its place is not taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_its_own_is_used_and_waited_for() {
    let spot = Spot::new();
    let settings = || Settings {
        listen: spot.address,
        admin: None,
        data_dir: spot.folder.join("a server of its own"),
        ..Settings::default()
    };
    let server = Server::start(settings()).unwrap();
    let broker = soon("a connection", spot.builder("one").connect()).await.unwrap();
    broker.serve("hello", |name: String| async move { answerback::Ok(name) }).await.unwrap();
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
    until("the loss", || matches!(broker.state(), answerback::State::Waiting { .. })).await;
    // The client has looked for it several times, and the process has not taken its place.
    let mut states = broker.watch();
    for _ in 0..10 {
        soon("a try", states.changed()).await;
    }
    assert_eq!((broker.epoch(), spot.epoch()), (None, None));
    let _server = Server::start(settings()).unwrap();
    assert_eq!(soon("an answer", broker.call::<String>("hello", "Ada").into_future()).await.unwrap(), "Ada");
    assert_eq!((broker.epoch(), spot.epoch()), (None, None));
}

#[tokio::test]
async fn with_a_key_all_are_sealed_and_nobody_without_it_is_let_in() {
    let spot = Spot::new();
    std::fs::create_dir_all(&spot.folder).unwrap();
    let (ours, other) = (key_file(&spot, "ours", 7), key_file(&spot, "other", 8));
    let one = soon("a connection", spot.builder("one").key_file(&ours).connect()).await.unwrap();
    let two = soon("a connection", spot.builder("two").key_file(&ours).connect()).await.unwrap();
    one.serve("hello", |name: String| async move { answerback::Ok(name) }).await.unwrap();
    assert_eq!(two.call::<String>("hello", "Ada").await.unwrap(), "Ada");
    let error = client_error(refusal(spot.builder("bare")).await);
    assert_eq!(error.obstacle(), Some(Obstacle::KeyWanted), "{error}");
    let error = client_error(refusal(spot.builder("stranger").key_file(other)).await);
    assert_eq!(error.obstacle(), Some(Obstacle::KeyRefused), "{error}");
    let missing = spot.folder.join("nowhere.key");
    let error = spot.builder("keyless").key_file(missing).connect().await.unwrap_err();
    assert!(matches!(&error, Error::Key(what) if what.contains("nowhere.key")), "{error}");
    assert_eq!(spot.epoch(), Some(1));
}

fn key_file(spot: &Spot, name: &str, byte: u8) -> PathBuf {
    let key =
        answerback::Key { id: answerback::KeyId::new(name).unwrap(), secret: answerback::Secret::new([byte; 32]) };
    let path = spot.folder.join(format!("{name}.key"));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
    file.write_all(answerback_server::key_ring::text::print(&key).as_bytes()).unwrap();
    path
}

/// Nothing is started where others could reach it, and it is said why.
#[tokio::test]
async fn nothing_is_started_at_an_address_that_others_can_reach() {
    let spot = Spot::new();
    let far = Builder::new(format!("0.0.0.0:{}", spot.address.port())).data_dir(&spot.folder).connect_within(PATIENCE);
    let error = refusal(far).await;
    assert!(matches!(&error, Error::NotOurs { why, .. } if why.contains("other machines")), "{error}");
    assert_eq!(spot.epoch(), None);
}

/// A folder that cannot be used is an error that names it, and not a client that waits for ever.
#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let spot = Spot::new();
    std::fs::write(&spot.folder, "a file").unwrap();
    let inside = spot.folder.join("inside");
    let error = refusal(spot.builder("one").data_dir(&inside)).await;
    assert!(error.to_string().contains(inside.to_str().unwrap()), "{error}");
    std::fs::remove_file(&spot.folder).unwrap();
}
