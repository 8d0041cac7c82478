//! Peers that come later, come back, are something else, or have another key: what the log says, and that it is tried again.

use crate::place::Place;
use crate::process::run;
use crate::stage::{Server, key, key_file, keys_file, soon, until_linked};
use std::io::Write;
use std::net::TcpListener;

/// Seed 39: a peer that is not there yet is dialed until it is; one that was there is dialed again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_comes_later_and_one_that_comes_back_are_linked() {
    let mut late = Server::start("late", &[]);
    late.kill();
    let one = Server::linked("one", &[&late]);
    let line = one.logged("no link to this peer yet");
    assert!(line.contains("nobody takes connections there") && line.contains("kind=\"unreachable\""), "{line}");
    let client = one.client("caller").await;
    until_linked(&client, 0).await;
    for _ in 0..2 {
        late.again();
        one.logged("linked with another server");
        until_linked(&client, 1).await;
        late.kill();
        one.logged("the link to another server is down");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_without_an_address_is_told() {
    let place = Place::new();
    let file = key_file(&place, "north.key", &key("north", 3));
    let one = Server::start_in(place, "one", &["--peer", &format!("nowhere.invalid:7040,key-file={file}")]);
    let line = one.logged("no link to this peer yet");
    assert!(line.contains("its name cannot be resolved") && line.contains("nowhere.invalid:7040"), "{line}");
    // It goes on serving meanwhile.
    let client = one.client("caller").await;
    assert_eq!(soon("an answer", client.call::<u32>("$echo", 5)).await.unwrap(), 5);
}

/// Who dials itself is told so, and goes on alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_its_own_peer_is_told_so() {
    let mut one = Server::start("one", &[]);
    let address = one.address();
    one.kill();
    let one = one.restarted_with(&["--peer", &address]);
    let line = one.logged("no link to this peer yet");
    assert!(line.contains("itself") || line.contains("this server"), "{line}");
    let client = one.client("caller").await;
    until_linked(&client, 0).await;
    client.serve("echo", |number: u32| async move { answerback::Ok(number) }).await.unwrap();
    assert_eq!(soon("an answer", client.call::<u32>("echo", 5)).await.unwrap(), 5);
}

/// What answers something else is named, whatever it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_server_of_this_protocol_is_named() {
    for (says, words, kind) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "it answers in HTTP", "foreign"),
        (b"SSH-2.0-OpenSSH_9\r\n", "it answers in SSH", "foreign"),
        (b"\x15\x03\x03\0\x02\x02\x28", "it answers in TLS", "foreign"),
        (b"", "before both had said hello", "lost"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.write_all(says);
            }
        });
        let one = Server::start("one", &["--peer", &address]);
        let line = one.logged("no link to this peer yet");
        assert!(line.contains(words) && line.contains(&format!("kind=\"{kind}\"")), "{words}: {line}");
    }
}

/// Seed 40: each link has its own key. The key of one is not that of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_link_may_have_a_key_of_its_own() {
    let place = Place::new();
    let (north, south) = (key("north", 1), key("south", 2));
    let (north_file, south_file) = (key_file(&place, "north", &north), key_file(&place, "south", &south));
    let one = Server::start("one", &["--key-file", &north_file]);
    let two = Server::start("two", &["--key-file", &south_file]);
    let three = Server::start(
        "three",
        &[
            "--peer-key-file",
            &north_file,
            "--peer",
            &one.address(),
            "--peer",
            &format!("{},key-file={south_file}", two.address()),
        ],
    );
    let caller = three.client("caller").await;
    until_linked(&caller, 2).await;
    for (server, key) in [(&one, north), (&two, south)] {
        let service = soon("a connection", server.builder("service").key(key).connect()).await.unwrap();
        let action = format!("echo-{}", server.address().replace(':', "-"));
        service.serve(&action, |number: u32| async move { answerback::Ok(number) }).await.unwrap();
        assert_eq!(soon("an answer", caller.call::<u32>(&action, 7)).await.unwrap(), 7);
    }
}

/// Both sides say what is wrong with the key, and only what they know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_told_on_both_sides() {
    let place = Place::new();
    let right = key_file(&place, "right", &key("mesh", 1));
    let wrong = key_file(&place, "wrong", &key("mesh", 2));
    let sealed = Server::start("sealed", &["--key-file", &right]);
    let plain = Server::start("plain", &[]);
    let dial = |id: &str, flags: &[&str], to: &Server| {
        Server::start(id, &[&["--peer", &to.address()][..], flags].concat()).logged("no link to this peer yet")
    };
    let line = dial("wrong", &["--peer-key-file", &wrong], &sealed);
    assert!(line.contains("it refuses key mesh, with the unproven words") && line.contains("key_refused"), "{line}");
    let line = sealed.logged("it has no key of this server under that id");
    assert!(line.contains("key_id=\"mesh\""), "{line}");
    let line = dial("keyless", &[], &sealed);
    assert!(line.contains("it wants a key") && line.contains("--peer-key-file"), "{line}");
    sealed.logged("a client without a key was refused");
    let line = dial("eager", &["--peer-key-file", &wrong], &plain);
    assert!(line.contains("it has no keys, with the unproven words"), "{line}");
    plain.logged("a client with a key was refused");
}

/// A key without `peer = true` lets a client in, and no server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_no_servers_is_refused_and_that_is_told() {
    let place = Place::new();
    let (client, server) = (key("shop", 1), key("north", 2));
    let everything = "call = [\">\"]\nserve = [\">\"]\npublish = [\">\"]\nsubscribe = [\">\"]\nadmin = true";
    let keys = keys_file(&place, &[(&client, everything), (&server, "peer = true")]);
    let (shop, north) = (key_file(&place, "shop", &client), key_file(&place, "north.key", &server));
    let sealed = Server::start_in(place, "sealed", &["--keys", &keys]);
    let one = Server::start("one", &["--peer", &sealed.address(), "--peer-key-file", &shop]);
    let line = one.logged("no link to this peer yet");
    assert!(line.contains("peer = true") && line.contains("kind=\"refused\""), "{line}");
    let two = Server::start("two", &["--peer", &sealed.address(), "--peer-key-file", &north]);
    until_linked(&two.client("caller").await, 1).await;
}

/// All mistakes in the flags come at once, before anything is dialed.
#[test]
fn mistakes_about_peers_are_told_at_the_start() {
    let place = Place::new();
    let (one, two) = (key("one", 1), key("two", 2));
    let keys = keys_file(&place, &[(&one, "peer = true"), (&two, "peer = true")]);
    for (flags, all) in [
        (
            &["--peer", "broker2", "--peer", "10.0.0.2:7040", "--max-hops", "9"][..],
            &["`broker2` is not host:port", "10.0.0.2:7040 is on another machine", "--peer-key-file", "1 to 8"][..],
        ),
        (&["--peer", "a:1,key-file=/nowhere", "--max-hops", "many"], &["cannot read /nowhere", "`many` is not"]),
        (&["--peer", "127.0.0.1:9", "--keys", &keys], &["of the many keys of --keys"]),
    ] {
        let base = ["--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", "/nonexistent/x"];
        let told = run(&[&base[..], flags].concat(), &[]);
        assert_eq!(told.code, Some(78), "{}", told.err);
        for words in all {
            assert!(told.err.contains(words), "{words}: {}", told.err);
        }
    }
}
