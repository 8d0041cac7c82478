//! Clients over TLS, against a small TLS server in front of a plain broker: certificates that hold and those that do not, and keys within TLS.

use crate::sealed_front::{Door, key, refusal};
use crate::support::{ms, soon};
use answerback::{Builder, Client, Code, Error, Obstacle, TlsOptions};
use answerback_testing::TestBroker;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// An authority, and the files of those that it has signed.
pub(crate) struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("answerback-tls-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The files of a certificate with this name and of its key.
    pub(crate) fn signed(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = (self.folder.join(format!("{name}.pem")), self.folder.join(format!("{name}-key.pem")));
        fs::write(&files.0, certificate.pem()).unwrap();
        fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }

    /// A TLS server with a certificate for this name, before a plain one. With `asks` it takes only clients with a certificate of ours.
    fn door(&self, name: &str, server: SocketAddr, asks: bool) -> Door {
        let (certificate, key) = self.signed(name, |_| {});
        door_with(&certificate, &key, server, asks.then(|| self.ca()).as_deref())
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn door_with(certificate: &Path, key: &Path, server: SocketAddr, ca: Option<&Path>) -> Door {
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let builder = match ca {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    Door::open(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await?;
            let mut server = TcpStream::connect(server).await?;
            tokio::io::copy_bidirectional(&mut stream, &mut server).await.map(drop)
        }
    })
}

fn address_of(broker: &TestBroker) -> SocketAddr {
    broker.address().parse().unwrap()
}

fn over_tls(door: &Door, authority: &Authority) -> Builder {
    Client::builder(door.address()).tls(TlsOptions::default().ca_file(authority.ca()))
}

async fn refused(builder: Builder) -> Error {
    soon("the word on it", builder.connect()).await.unwrap_err()
}

#[tokio::test]
async fn calls_go_over_tls_whatever_their_size() {
    let (broker, authority) = (TestBroker::start().await, Authority::new());
    let door = authority.door("127.0.0.1", address_of(&broker), false);
    let client = over_tls(&door, &authority).connect().await.unwrap();
    client.serve("echo", |text: String| async move { answerback::Ok(text) }).await.unwrap();
    // Far more than the socket takes at once: what TLS keeps must be written without anything new to say.
    for length in [0, 20_000, 4_000_000] {
        let text = "x".repeat(length);
        assert_eq!(soon("an answer", client.call::<String>("echo", &text)).await.unwrap(), text);
    }
    client.reconnect();
    assert_eq!(soon("an answer", client.call::<String>("echo", "again")).await.unwrap(), "again");
    soon("the goodbye", client.close()).await;
}

#[tokio::test]
async fn a_key_works_within_tls() {
    let (broker, authority) = (TestBroker::start().await, Authority::new());
    let sealed = Door::before(address_of(&broker), key("billing", 7));
    let door = authority.door("127.0.0.1", sealed.address, false);
    let client = over_tls(&door, &authority).key(key("billing", 7)).connect().await.unwrap();
    assert_eq!(soon("an answer", client.call::<u32>("$echo", 7)).await.unwrap(), 7);
    let error = refused(over_tls(&door, &authority).key(key("billing", 8))).await;
    assert_eq!(error.obstacle(), Some(Obstacle::KeyRefused), "{error}");
}

#[tokio::test]
async fn only_a_certificate_that_holds_is_taken() {
    let (broker, authority, other) = (TestBroker::start().await, Authority::new(), Authority::new());
    let named = authority.door("broker.internal", address_of(&broker), false);
    let tls = || TlsOptions::default().ca_file(authority.ca());
    let expected = Client::builder(named.address()).tls(tls().server_name("broker.internal"));
    soon("the connection", expected.connect()).await.unwrap();
    let (old, old_key) = authority.signed("127.0.0.1", |params| {
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2002, 1, 1));
    });
    let expired = door_with(&old, &old_key, address_of(&broker), None);
    for (builder, words) in [
        (over_tls(&named, &authority), "its certificate is for another name"),
        (over_tls(&named, &other), "not signed by an authority that we trust"),
        (Client::builder(named.address()).tls(TlsOptions::default()), "not signed by an authority that we trust"),
        (over_tls(&expired, &authority), "its certificate has expired"),
    ] {
        let error = refused(builder).await;
        assert_eq!((error.obstacle(), error.code()), (Some(Obstacle::Certificate), Code::Denied), "{error}");
        assert!(error.message().contains(words) && error.message().contains("TlsOptions::ca_file"), "{error}");
    }
}

#[tokio::test]
async fn a_client_shows_its_certificate_to_a_server_that_asks() {
    let (broker, authority) = (TestBroker::start().await, Authority::new());
    let door = authority.door("127.0.0.1", address_of(&broker), true);
    let (certificate, private) = authority.signed("billing", |_| {});
    let options = TlsOptions::default().ca_file(authority.ca()).client_certificate(&certificate, &private);
    let client = Client::builder(door.address()).tls(options).connect().await.unwrap();
    assert_eq!(soon("an answer", client.call::<u32>("$echo", 7)).await.unwrap(), 7);
    for builder in [over_tls(&door, &authority), over_tls(&door, &authority).key(key("billing", 7))] {
        let error = refused(builder).await;
        assert_eq!(error.obstacle(), Some(Obstacle::TlsRefused), "{error}");
        assert!(error.message().contains("CertificateRequired"), "{error}");
    }
}

#[tokio::test]
async fn what_speaks_no_tls_is_told() {
    let (broker, authority) = (TestBroker::start().await, Authority::new());
    let plain = Client::builder(broker.address()).tls(TlsOptions::default().ca_file(authority.ca()));
    let error = refused(plain).await;
    assert!(matches!(error.obstacle(), Some(Obstacle::NoTls | Obstacle::TlsRefused)), "{error}");
    for (says, obstacle) in [
        (refusal(Code::BadRequest, "no TLS here"), Obstacle::NoTls),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Obstacle::NoTls),
        (Vec::new(), Obstacle::NoTls),
        (b"\x15\x03\x03\0\x02\x02\x28".to_vec(), Obstacle::TlsRefused),
    ] {
        let door = Door::that_says(says);
        let error = refused(over_tls(&door, &authority)).await;
        assert_eq!(error.obstacle(), Some(obstacle), "{error}");
    }
    let silent = Door::that_is_silent();
    let error = refused(over_tls(&silent, &authority).connect_timeout(ms(100))).await;
    assert_eq!(error.obstacle(), Some(Obstacle::Unreachable), "{error}");
    // And the other way round: a client that was not told to speak it.
    let door = authority.door("127.0.0.1", address_of(&broker), false);
    for builder in [Client::builder(door.address()), Client::builder(door.address()).key(key("billing", 7))] {
        let error = refused(builder).await;
        assert_eq!(error.obstacle(), Some(Obstacle::NotAnswerback), "{error}");
        assert!(error.message().contains("answers in TLS"), "{error}");
    }
}

#[tokio::test]
async fn mistakes_in_the_files_are_told_before_anything_is_connected() {
    let authority = Authority::new();
    let (certificate, private) = authority.signed("billing", |_| {});
    let (_, others) = authority.signed("mail", |_| {});
    let tls = || TlsOptions::default().ca_file(authority.ca());
    for (options, words) in [
        (TlsOptions::default().ca_file("/nowhere/ca.pem"), "ca_file: cannot read /nowhere/ca.pem: No such file"),
        (TlsOptions::default().ca_file(&private), "holds nothing of what is wanted"),
        (tls().server_name("two words"), "server_name: \"two words\" is neither a name nor an IP address"),
        (tls().client_certificate(&certificate, &others), "give a certificate and its own private key"),
        (tls().client_certificate(&certificate, &certificate), "holds nothing of what is wanted"),
    ] {
        let error = Client::builder("127.0.0.1:1").tls(options).start().unwrap_err();
        assert!(error.code() == Code::BadRequest && error.message().contains(words), "{error}");
    }
}
