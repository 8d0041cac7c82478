//! Clients over TLS at the server itself: calls, services, keys within TLS, and certificates instead of keys.

use crate::sealed_front::key;
use crate::support::{begin, ms, soon};
use crate::tls::Authority;
use answerback::{Builder, Client, Code, Obstacle, TlsOptions};
use answerback_server::key_ring::{HolderEntry, KeyRing, Pattern};
use answerback_server::{Keys, Running, Server, Settings, Tls, TlsFiles};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A server with a certificate of this authority for its address.
fn server(authority: &Authority, asks: bool, change: impl FnOnce(&mut Settings)) -> Running {
    let (certificate, key) = authority.signed("127.0.0.1", |_| {});
    private(&key);
    start(authority, TlsFiles { certificate, key, client_ca: asks.then(|| authority.ca()) }, change)
}

fn start(authority: &Authority, files: TlsFiles, change: impl FnOnce(&mut Settings)) -> Running {
    let tls = Some(Tls::read(files).unwrap());
    let data_dir = authority.ca().with_file_name("data");
    let mut settings = Settings { tls, data_dir, admin: None, ..Settings::default() };
    settings.listen.set_port(0);
    change(&mut settings);
    Server::start(settings).unwrap()
}

fn with_one_key(settings: &mut Settings) {
    settings.keys = Some(Keys::of(KeyRing::of_one(key("billing", 7))));
}

fn over_tls(server: &Running, authority: &Authority) -> Builder {
    Client::builder(server.address().to_string()).tls(TlsOptions::default().ca_file(authority.ca()))
}

async fn works(client: &Client) {
    client.serve("echo", |text: String| async move { answerback::Ok(text) }).await.unwrap();
    for length in [0, 20_000, 66_000, 4_000_000] {
        let text = "x".repeat(length);
        assert_eq!(soon("an answer", client.call::<String>("echo", &text)).await.unwrap(), text);
    }
    let calls: Vec<_> = (0..2_000).map(|n| begin(client.call::<String>("echo", n.to_string()))).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(soon("an answer", call).await.unwrap().unwrap(), n.to_string());
    }
    client.reconnect();
    assert_eq!(soon("an answer", client.call::<String>("echo", "again")).await.unwrap(), "again");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_services_go_over_tls() {
    let authority = Authority::new();
    let server = server(&authority, false, |_| {});
    let client = over_tls(&server, &authority).connect().await.unwrap();
    works(&client).await;
    soon("the goodbye", client.drain(ms(5_000))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_within_tls_and_without() {
    let authority = Authority::new();
    let server = server(&authority, false, with_one_key);
    let client = over_tls(&server, &authority).key(key("billing", 7)).connect().await.unwrap();
    works(&client).await;
    let without = Client::builder(server.address().to_string()).key(key("billing", 7));
    assert_eq!(soon("an answer", without.connect().await.unwrap().call::<u32>("$echo", 7)).await.unwrap(), 7);
    let wrong = over_tls(&server, &authority).key(key("billing", 8));
    let error = soon("a refusal", wrong.connect()).await.unwrap_err();
    assert_eq!(error.obstacle(), Some(Obstacle::KeyRefused), "{error}");
    let none = soon("a refusal", over_tls(&server, &authority).connect()).await.unwrap_err();
    assert!(none.code() == Code::Denied && none.message().contains("wants a key"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_a_holder() {
    let (authority, other) = (Authority::new(), Authority::new());
    let everything: Vec<_> = Pattern::new(">").into_iter().collect();
    let entry = HolderEntry {
        id: "billing".into(),
        keys: Vec::new(),
        call: everything.clone(),
        serve: everything,
        publish: Vec::new(),
        subscribe: Vec::new(),
        admin: false,
        peer: false,
        certificate: Some("billing.internal".into()),
    };
    let server = server(&authority, true, |settings| settings.keys = Some(Keys::of(KeyRing::new(vec![entry]))));
    let showing = |(certificate, key): (std::path::PathBuf, std::path::PathBuf)| {
        let tls = TlsOptions::default().ca_file(authority.ca()).client_certificate(certificate, key);
        Client::builder(server.address().to_string()).tls(tls)
    };
    let client = showing(authority.signed("billing.internal", |_| {})).connect().await.unwrap();
    works(&client).await;
    let unknown = soon("a refusal", showing(authority.signed("mallory.internal", |_| {})).connect()).await.unwrap_err();
    assert!(unknown.code() == Code::Denied && unknown.message().contains("belongs to no holder"), "{unknown}");
    let foreign = soon("a refusal", showing(other.signed("billing.internal", |_| {})).connect()).await.unwrap_err();
    assert_eq!(foreign.obstacle(), Some(Obstacle::TlsRefused), "{foreign}");
    let none = soon("a refusal", over_tls(&server, &authority).connect()).await.unwrap_err();
    assert!(none.code() == Code::Denied && none.message().contains("client certificate"), "{none}");
}

/// A client goes to nobody whose certificate does not hold, and says nothing to them.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_does_not_hold_is_left_alone() {
    let (authority, other) = (Authority::new(), Authority::new());
    let expired = authority.signed("127.0.0.1", |params| {
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2002, 1, 1));
    });
    private(&expired.1);
    let old = start(&authority, TlsFiles { certificate: expired.0, key: expired.1, client_ca: None }, |_| {});
    let sound = server(&other, false, |_| {});
    for (server, words) in [(&old, "has expired"), (&sound, "not signed by an authority that we trust")] {
        let error = soon("the word on it", over_tls(server, &authority).connect()).await.unwrap_err();
        assert_eq!(error.obstacle(), Some(Obstacle::Certificate), "{error}");
        assert!(error.message().contains(words), "{error}");
    }
}

fn private(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
