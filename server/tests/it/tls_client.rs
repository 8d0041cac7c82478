//! An authority with certificates, and a client made of one blocking socket that speaks TLS.

use crate::client::hello;
use crate::place::{Embedded, PATIENCE, Place};
use answerback_protocol::envelope::Envelope;
use answerback_protocol::frames::Request;
use answerback_protocol::{ClientFrame, Name, RequestId};
use answerback_server::{Settings, Tls, TlsFiles};
use bytes::BytesMut;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An authority, and the files of those that it has signed.
pub(crate) struct Authority {
    place: Place,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let place = Place::new();
        fs::create_dir_all(&place.0).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(place.0.join("ca.pem"), issuer.pem()).unwrap();
        Self { place, issuer }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.place.0.join("ca.pem")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.place.0.join(name)
    }

    /// A certificate with this subject, for these names.
    pub(crate) fn signed(&self, common_name: &str, dns: &[&str]) -> Signed {
        self.signed_with(common_name, dns, |_| {})
    }

    pub(crate) fn signed_with(
        &self,
        common_name: &str,
        dns: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Signed {
        let mut params = CertificateParams::new(dns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = Signed {
            certificate: self.file(&format!("{common_name}.pem")),
            key: self.file(&format!("{common_name}-key.pem")),
        };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        let _ = fs::remove_file(&files.key);
        fs::write(&files.key, key.serialize_pem()).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        files
    }

    /// The certificate of a server; with `asks` clients may show those of this authority.
    pub(crate) fn tls(&self, asks: bool) -> Tls {
        let Signed { certificate, key } = self.signed("server", &["localhost"]);
        Tls::read(TlsFiles { certificate, key, client_ca: asks.then(|| self.ca()) }).unwrap()
    }

    /// A server that speaks TLS too.
    pub(crate) fn server(&self, asks: bool, change: impl FnOnce(&mut Settings)) -> Embedded {
        let tls = self.tls(asks);
        Embedded::with(|settings| {
            settings.tls = Some(tls);
            change(settings);
        })
    }

    /// A client that trusts this authority and has not said anything.
    pub(crate) fn client(&self, address: SocketAddr, shows: Option<&Signed>) -> TlsClient {
        self.client_in_pieces(address, shows, usize::MAX)
    }

    /// One that writes so many bytes at a time.
    pub(crate) fn client_in_pieces(&self, address: SocketAddr, shows: Option<&Signed>, piece: usize) -> TlsClient {
        let connection = self.connection(shows);
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        TlsClient { stream: StreamOwned::new(connection, Pieces { socket, piece }), received: BytesMut::new() }
    }

    pub(crate) fn connection(&self, shows: Option<&Signed>) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match shows {
            None => builder.with_no_client_auth(),
            Some(Signed { certificate, key }) => {
                let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
            }
        };
        ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
    }
}

/// A socket that is written in pieces.
pub(crate) struct Pieces {
    pub(crate) socket: TcpStream,
    piece: usize,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.read(into)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(&bytes[..bytes.len().min(self.piece)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) struct TlsClient {
    pub(crate) stream: StreamOwned<ClientConnection, Pieces>,
    received: BytesMut,
}

impl TlsClient {
    pub(crate) fn say(&mut self, frames: &[(ClientFrame<'_>, &[u8])]) {
        let mut bytes = BytesMut::new();
        frames.iter().for_each(|(frame, data)| frame.write(data, &mut bytes));
        self.stream.write_all(&bytes).unwrap();
    }

    /// Says hello and is welcomed.
    pub(crate) fn welcomed(mut self, name: &str) -> Self {
        self.say(&[(hello(name), b"")]);
        assert_eq!(self.hear().0["type"], "welcome");
        self
    }

    /// The next head, pings passed over, and its data.
    pub(crate) fn hear(&mut self) -> (serde_json::Value, Vec<u8>) {
        self.try_hear().unwrap().unwrap_or_else(|| panic!("the connection has ended"))
    }

    /// The same, or nothing if the server has said that it is the end.
    pub(crate) fn try_hear(&mut self) -> io::Result<Option<(serde_json::Value, Vec<u8>)>> {
        loop {
            if let Some(envelope) = Envelope::peek(&self.received, u32::MAX).unwrap()
                && self.received.len() >= envelope.total()
            {
                let mut frame = self.received.split_to(envelope.total());
                let data = frame.split_off(envelope.data_at()).to_vec();
                let head: serde_json::Value =
                    serde_json::from_slice(&frame[envelope.data_at() - envelope.head..]).unwrap();
                if head["type"] != "ping" {
                    return Ok(Some((head, data)));
                }
                continue;
            }
            let mut piece = [0; 64 << 10];
            match self.stream.read(&mut piece)? {
                0 => return Ok(None),
                count => self.received.extend_from_slice(&piece[..count]),
            }
        }
    }

    pub(crate) fn echo(&mut self, id: u64, data: &[u8]) {
        self.say(&[(call(id, "$echo"), data)]);
        let (head, came) = self.hear();
        assert!(head["id"] == id && came == data, "{head}");
    }

    /// The fatal refusal that is all there is to hear, and the end behind it.
    pub(crate) fn refusal(mut self) -> String {
        let (head, _) = self.hear();
        assert_eq!((&head["type"], &head["code"], &head["fatal"]), (&"error".into(), &"denied".into(), &true.into()));
        assert!(self.try_hear().unwrap().is_none());
        head["message"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn call(id: u64, action: &str) -> ClientFrame<'_> {
    Request::call(RequestId::new(id).unwrap(), Name::new(action).unwrap()).into()
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
