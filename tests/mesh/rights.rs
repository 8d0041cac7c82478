//! Every right, had and lacking, across servers: each server asks the rights of its own clients, and a server's key is what lets requests of others in.

use crate::place::Place;
use crate::stage::{Server, key, key_file, keys_file, soon, until_linked, until_offered, until_told};
use answerback::{Client, Code, Error, Key, Ran};
use serde_json::Value;

/// Two servers with the same keys file; the second one dials with a key that is a server's alone.
struct Pair {
    one: Server,
    two: Server,
}

fn may() -> Key {
    key("may", 1)
}

fn not() -> Key {
    key("not", 2)
}

async fn pair() -> Pair {
    let grants = "call = [\"work\"]\nserve = [\"work\"]\npublish = [\"news\"]\nsubscribe = [\"news\"]\nadmin = true";
    let start = |id: &str, flags: &[&str]| {
        let place = Place::new();
        let keys = keys_file(&place, &[(&may(), grants), (&not(), ""), (&key("mesh", 3), "peer = true")]);
        Server::start_in(place, id, &[&["--keys", &keys][..], flags].concat())
    };
    let one = start("one", &[]);
    let place = Place::new();
    let two = start("two", &["--peer", &one.address(), "--peer-key-file", &key_file(&place, "mesh", &key("mesh", 3))]);
    until_linked(&client(&one, may(), "watcher").await, 1).await;
    Pair { one, two }
}

async fn client(server: &Server, key: Key, name: &str) -> Client {
    soon("a connection", server.builder(name).key(key).connect()).await.unwrap()
}

fn denied(error: &Error) {
    assert_eq!((error.code(), error.ran()), (Code::Denied, Ran::No), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_serve_and_admin_across_servers() {
    let Pair { one, two } = pair().await;
    let service = client(&two, may(), "service").await;
    let who = |context: answerback::Context, (): ()| async move { answerback::Ok(context.caller().to_owned()) };
    service.serve("work", who).await.unwrap();
    let (caller, other) = (client(&one, may(), "web").await, client(&one, not(), "web").await);
    until_offered(&caller, "work", 1).await;
    // Whose key it was where the call was made is what the far handler sees: the server between has no say.
    assert_eq!(soon("an answer", caller.call::<String>("work", ())).await.unwrap(), "may/web");
    denied(&soon("a refusal", other.call::<String>("work", ())).await.unwrap_err());
    denied(&soon("a refusal", other.send("work", ())).await.unwrap_err());
    denied(&soon("a refusal", other.broadcast::<String>("work", ())).await.map(drop).unwrap_err());
    // Who may not serve here offers nothing there.
    let idler = client(&two, not(), "idler").await;
    denied(&soon("a refusal", idler.serve("work", who)).await.map(drop).unwrap_err());
    // Lists of the whole mesh are for those with `admin`.
    let told: Value = soon("an answer", caller.call("$peers", ())).await.unwrap();
    assert_eq!(told["peers"][0]["server"], "two", "{told}");
    for action in ["$peers", "$actions"] {
        denied(&soon("a refusal", other.call::<Value>(action, ())).await.unwrap_err());
    }
}

/// The key of a server is for links: by itself it may call, serve and see nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_servers_key_gives_a_client_no_rights() {
    let Pair { one, .. } = pair().await;
    let spy = client(&one, key("mesh", 3), "spy").await;
    denied(&soon("a refusal", spy.call::<Value>("work", ())).await.unwrap_err());
    denied(&soon("a refusal", spy.call::<Value>("$sessions", ())).await.unwrap_err());
    let serve = spy.serve("work", |(): ()| async { answerback::Ok(()) });
    denied(&soon("a refusal", serve).await.map(drop).unwrap_err());
}

/// When the right to be a peer is taken away, or the key, the link ends; when it is there again, so is the link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_ends_with_its_key() {
    let mesh = key("mesh", 3);
    let (place, at) = (Place::new(), Place::new());
    let keys = keys_file(&place, &[(&may(), "admin = true"), (&mesh, "peer = true")]);
    let file = key_file(&at, "mesh", &mesh);
    let rewritten = place.0.clone();
    let one = Server::start_in(place, "one", &["--keys", &keys]);
    let _two = Server::start("two", &["--peer", &one.address(), "--peer-key-file", &file]);
    let watcher = client(&one, may(), "watcher").await;
    until_linked(&watcher, 1).await;
    let reload = |holders: &[(&Key, &str)]| {
        let same = std::mem::ManuallyDrop::new(Place(rewritten.clone()));
        keys_file(&same, holders);
        let (status, text) = tokio::task::block_in_place(|| one.process.ask("POST", "/reload"));
        assert_eq!(status, 200, "{text}");
    };
    reload(&[(&may(), "admin = true")]);
    until_told("the end of the link", &watcher, "$peers", |told| {
        !told["peers"].as_array().unwrap().iter().any(|peer| peer["up"] == true)
    })
    .await;
    reload(&[(&may(), "admin = true"), (&mesh, "peer = true")]);
    until_linked(&watcher, 1).await;
}
