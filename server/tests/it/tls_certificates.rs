//! Clients known by their certificates, and the files of a server: what is wrong with them, and how they are read again.

use crate::client::{Client, hello, key};
use crate::process::{Process, run, value};
use crate::rights::{holder, patterns};
use crate::tls_client::{Authority, Signed, call, text};
use answerback_protocol::Code;
use answerback_server::Keys;
use answerback_server::key_ring::{HolderEntry, KeyRing};
use rcgen::{DnType, date_time_ymd};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A holder without a key, known by this name.
fn known_by(id: &str, certificate: &str) -> HolderEntry {
    let mut entry = holder(key(id, 1));
    entry.keys = Vec::new();
    entry.certificate = Some(certificate.into());
    entry
}

fn ring() -> KeyRing {
    let mut billing = known_by("billing", "CN=billing");
    (billing.call, billing.serve) = (patterns(&["pay"]), patterns(&["pay"]));
    KeyRing::new(vec![billing, known_by("web", "web.internal"), holder(key("keyed", 3))])
}

/// The holder, and so the rights, come from the certificate: by its subject or by a DNS name.
#[test]
fn a_certificate_is_a_holder_with_its_rights() {
    let authority = Authority::new();
    let server = authority.server(true, |settings| settings.keys = Some(Keys::of(ring())));
    let address = server.running.address();
    let billing = authority.signed("billing", &["x.internal"]);
    let mut handler = authority.client(address, Some(&billing)).welcomed("handler");
    handler.say(&[(serve("pay"), b"")]);
    assert_eq!(handler.hear().0["type"], "serving");
    let mut caller = authority.client(address, Some(&billing)).welcomed("caller");
    caller.say(&[(call(1, "pay"), b"1")]);
    assert_eq!(handler.hear().0["from"], "billing/caller");
    caller.say(&[(call(2, "other"), b"1")]);
    let (head, _) = caller.hear();
    assert_eq!(head["error"]["code"], "denied");
    assert!(head["error"]["message"].as_str().unwrap().starts_with("billing may not call other"), "{head}");
    let web = authority.signed("somebody", &["a.internal", "Web.Internal"]);
    let mut web = authority.client(address, Some(&web)).welcomed("web");
    web.say(&[(call(1, "pay"), b"1")]);
    assert!(web.hear().0["error"]["message"].as_str().unwrap().starts_with("web may not call pay"));
    web.echo(2, b"2");
}

fn serve(action: &str) -> answerback_protocol::ClientFrame<'_> {
    let action = answerback_protocol::Name::new(action).unwrap();
    answerback_protocol::ClientFrame::Serve(answerback_protocol::frames::Serve { action, credit: 8 })
}

/// Each is told what is missing, within TLS.
#[test]
fn who_is_no_holder_does_not_come_in() {
    let authority = Authority::new();
    let server = authority.server(true, |settings| settings.keys = Some(Keys::of(ring())));
    let address = server.running.address();
    let refused = |shows: Option<&Signed>| {
        let mut client = authority.client(address, shows);
        client.say(&[(hello("stranger"), b"")]);
        client.refusal()
    };
    let unknown = authority.signed("mallory", &["mallory.internal"]);
    let said = refused(Some(&unknown));
    assert!(
        said.contains("your certificate, CN=mallory, belongs to no holder") && said.contains("`certificate`"),
        "{said}"
    );
    let part = authority.signed_with("billing", &[], |params| {
        params.distinguished_name.push(DnType::OrganizationName, "Elsewhere");
    });
    assert!(refused(Some(&part)).contains("O=Elsewhere,CN=billing"));
    // The names of two holders are nobody's.
    let both = authority.signed("billing", &["web.internal"]);
    assert!(refused(Some(&both)).contains("CN=billing, belongs to no holder"));
    let said = refused(None);
    assert!(said.contains("client certificate") && said.contains("--key-file"), "{said}");
    // And without TLS.
    let mut plain = Client::connect(address);
    plain.say(&hello("plain"), b"");
    let heard = plain.hear();
    assert!(heard.error().code == Code::Denied && heard.error().message.contains("connect over TLS"));
    // A key is good without a certificate.
    Client::sealed(address, &key("keyed", 3), "keyed");
    let strangers = server.report().counters.strangers;
    assert_eq!((strangers["certificate"], strangers["nameless"], strangers.len()), (3, 2, 2));
}

/// What does not hold ends in TLS, whoever it would have been.
#[test]
fn certificates_that_do_not_hold() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server(true, |settings| settings.keys = Some(Keys::of(ring())));
    let expired = authority.signed_with("billing", &[], |params| {
        (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    });
    for shows in [expired, other.signed("billing", &[])] {
        let mut client = authority.client(server.running.address(), Some(&shows));
        // The client may think that all is well until it reads.
        let said = std::io::Write::write_all(&mut client.stream, b"\0\0\0\0").err();
        let error = said.or_else(|| client.try_hear().err()).unwrap();
        assert!(error.to_string().contains("alert"), "{error}");
    }
    let report = server.until("both are gone", |report| report.connections == 0);
    assert_eq!((report.counters.strangers["tls"], report.counts.connections), (2, 0));
}

/// A certificate that is taken away closes at once, as a key does; what changes beside it does not.
#[test]
fn a_certificate_that_is_taken_away_closes() {
    let authority = Authority::new();
    let server = authority.server(true, |settings| settings.keys = Some(Keys::of(ring())));
    let address = server.running.address();
    let mut billing = authority.client(address, Some(&authority.signed("billing", &[]))).welcomed("billing");
    let mut web = authority.client(address, Some(&authority.signed("w", &["web.internal"]))).welcomed("web");
    let after = KeyRing::new(vec![known_by("billing", "CN=other"), known_by("web", "web.internal")]);
    assert_eq!(server.running.keys().replace(after).unwrap().closed, 1);
    assert_eq!(billing.hear().0["fatal"], true);
    assert!(billing.try_hear().unwrap().is_none());
    web.echo(1, b"1");
}

fn args<'a>(signed: &'a Signed, more: &[&'a str]) -> Vec<&'a str> {
    [&["--tls-certificate", text(&signed.certificate), "--tls-key", text(&signed.key)], more].concat()
}

/// Where a client looks at who the server is.
fn shown(authority: &Authority, process: &Process) -> Vec<u8> {
    let mut client = authority.client(process.address, None).welcomed("looker");
    client.echo(1, b"1");
    client.stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn a_certificate_is_read_again_and_a_bad_one_changes_nothing() {
    let authority = Authority::new();
    let signed = authority.signed("server", &["localhost"]);
    let process = Process::start(&args(&signed, &[]));
    assert!(value(&process.banner, "tls").starts_with("1.3"));
    let mut stays = authority.client(process.address, None).welcomed("stays");
    let first = shown(&authority, &process);
    authority.signed("server", &["localhost"]);
    assert_eq!(shown(&authority, &process), first);
    process.signal(Signal::HUP);
    process.logged("the TLS certificate too");
    let second = shown(&authority, &process);
    assert_ne!(second, first);
    fs::write(&signed.certificate, "nothing").unwrap();
    process.signal(Signal::HUP);
    let line = process.logged("cannot be read again");
    assert!(line.contains("--tls-certificate") && line.contains("there is no certificate in it"), "{line}");
    let (status, body) = process.ask("POST", "/reload");
    assert!(status == 400 && body.contains("--tls-certificate"), "{body}");
    assert_eq!(shown(&authority, &process), second);
    authority.signed("server", &["localhost"]);
    let (status, body) = process.ask("POST", "/reload");
    assert!(status == 200 && body.contains("\"certificate\":true"), "{body}");
    assert!(![first, second].contains(&shown(&authority, &process)));
    stays.echo(1, b"1");
}

#[test]
fn what_is_wrong_with_files_is_told_with_all_other_mistakes() {
    let authority = Authority::new();
    let (signed, other) = (authority.signed("server", &["localhost"]), authority.signed("other", &[]));
    let said = |args: &[&str], words: &[&str]| {
        let said = run(args, &[]);
        assert_eq!((said.code, said.out.as_str()), (Some(78), ""));
        for word in words {
            assert!(said.err.contains(word), "{word}: {}", said.err);
        }
    };
    let missing = ["--tls-certificate", "/nowhere/a", "--tls-key", "/nowhere/b", "--tls-client-ca", "/nowhere/c"];
    let words = ["/nowhere/a", "/nowhere/b", "/nowhere/c", "--heartbeat (or", "--tls-key (or ANSWERBACK_TLS_KEY)"];
    said(&[&missing[..], &["--heartbeat", "15"]].concat(), &words);
    said(&["--tls-key", text(&signed.key)], &["--tls-certificate (or", "is missing"]);
    said(&["--tls-certificate", text(&signed.certificate)], &["--tls-key (or", "is missing"]);
    let mixed = Signed { key: other.key.clone(), ..signed.clone() };
    said(&args(&mixed, &[]), &["cannot be used together", "give a certificate and its own key"]);
    let swapped = Signed { certificate: signed.key.clone(), key: signed.key.clone() };
    said(&args(&swapped, &[]), &["there is no certificate in it"]);
    let public = authority.file("public.pem");
    fs::copy(&signed.certificate, &public).unwrap();
    fs::set_permissions(&public, fs::Permissions::from_mode(0o600)).unwrap();
    said(&args(&Signed { key: public, ..signed.clone() }, &[]), &["the private key is not in it"]);
    fs::set_permissions(&signed.key, fs::Permissions::from_mode(0o640)).unwrap();
    said(&args(&signed, &[]), &["others can read", "chmod 600"]);
}

/// TLS says who the server is. Beyond loopback it must know who its clients are, too.
#[test]
fn tls_alone_knows_nobody() {
    let authority = Authority::new();
    let signed = authority.signed("server", &["localhost"]);
    let ca = authority.ca();
    let anywhere = ["--listen", "0.0.0.0:0", "--admin", "off"];
    let said = run(&args(&signed, &anywhere), &[]);
    assert!(said.code == Some(78) && said.err.contains("TLS alone knows nobody"), "{}", said.err);
    let with_ca = [&anywhere[..], &["--tls-client-ca", text(&ca)]].concat();
    let said = run(&args(&signed, &with_ca), &[]);
    assert!(said.code == Some(78) && said.err.contains("no holder has a certificate"), "{}", said.err);
    let keys = authority.file("keys");
    private(&keys, "[billing]\ncertificate = \"CN=billing\"\n");
    let with_keys = [&["--tls-client-ca", text(&ca), "--keys", text(&keys), "--listen", "0.0.0.0:0"][..]].concat();
    let mut command = crate::process::command();
    let place = crate::place::Place::new();
    command.args(args(&signed, &with_keys)).args(["--admin", "off", "--data-dir"]).arg(&place.0);
    let process = Process::spawn(command);
    let address = ([127, 0, 0, 1], process.address.port()).into();
    authority.client(address, Some(&authority.signed("billing", &[]))).welcomed("billing");
}

fn private(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
