//! TLS: a [`Connector`] that checks the server's certificate before a byte of ours goes out. Version 1.3 and nothing older.

use super::dial::dial_tcp;
use super::{Connecting, Connector, Io};
use crate::obstacle::{Met, Obstacle};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// How a client speaks TLS, for [`Builder::tls`](crate::Builder::tls): by default it trusts the authorities that the system trusts, and expects the name that
/// stands in the address.
///
/// TLS shows the client who the server is, and hides what is said. Who the client is, a key says, which works within TLS as without; or a client certificate.
///
/// ```
/// use answerback::{Client, TlsOptions};
///
/// let tls = TlsOptions::default().ca_file("ca.pem").server_name("broker.internal");
/// let builder = Client::builder("10.0.0.1:7040").tls(tls);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    ca_file: Option<PathBuf>,
    server_name: Option<String>,
    certificate: Option<(PathBuf, PathBuf)>,
}

impl TlsOptions {
    /// Trusts the authorities in this PEM file, and no others.
    ///
    /// ```
    /// let tls = answerback::TlsOptions::default().ca_file("/etc/answerback/ca.pem");
    /// # drop(tls);
    /// ```
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// The name, or IP address, that the server's certificate must have. Default: the host of the address.
    ///
    /// ```
    /// let tls = answerback::TlsOptions::default().server_name("broker.internal");
    /// # drop(tls);
    /// ```
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Shows this certificate to a server that asks for one: PEM files with the certificate, those that it was signed with, and its private key.
    ///
    /// ```
    /// let tls = answerback::TlsOptions::default().client_certificate("billing.pem", "billing-key.pem");
    /// # drop(tls);
    /// ```
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificate = Some((certificate.into(), key.into()));
        self
    }

    /// Reads the files. Fails with what is wrong and what to do.
    pub(crate) fn connector(&self) -> Result<Tls, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), Arc::clone(&provider));
        let verifier = verifier.build().map_err(|error| {
            format!("tls: no certificate can be checked: {error}: give the authorities with ca_file")
        })?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| format!("tls: {error}: this build cannot speak it"))?
            .with_webpki_verifier(verifier);
        let config = match &self.certificate {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate, "client_certificate")?;
                let private =
                    PrivateKeyDer::from_pem_file(key).map_err(|error| unread(key, "client_certificate", &error))?;
                let config = config.with_client_auth_cert(chain, private);
                config.map_err(|error| mismatched(certificate, key, &error))?
            }
        };
        let server_name = self.server_name.as_deref().map(name).transpose()?;
        Ok(Tls { connector: TlsConnector::from(Arc::new(config)), server_name })
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match &self.ca_file {
            Some(path) => {
                for certificate in certificates(path, "ca_file")? {
                    let added = roots.add(certificate);
                    added.map_err(|error| {
                        format!(
                            "ca_file: {} holds what is no certificate: {error}: give a file with those of authorities",
                            path.display()
                        )
                    })?;
                }
            }
            // Those that cannot be used are left out, as every other program does.
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        if roots.is_empty() {
            return Err(
                "tls: this system has no authorities to trust: give those of the server with ca_file".to_owned()
            );
        }
        Ok(roots)
    }
}

fn certificates(path: &Path, setting: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read: Vec<_> = read.map_err(|error| unread(path, setting, &error))?;
    if read.is_empty() { Err(unread(path, setting, &pem::Error::NoItemsFound)) } else { Ok(read) }
}

/// Nothing of the file is shown: it may hold a key.
fn unread(path: &Path, setting: &str, error: &pem::Error) -> String {
    let path = path.display();
    match error {
        pem::Error::Io(error) => {
            format!("{setting}: cannot read {path}: {error}: look at the path, and at who may read it")
        }
        pem::Error::NoItemsFound => {
            format!("{setting}: {path} holds nothing of what is wanted: give a PEM file, which begins with -----BEGIN")
        }
        _ => format!("{setting}: {path} is not sound: give a PEM file, which begins with -----BEGIN"),
    }
}

fn mismatched(certificate: &Path, key: &Path, error: &rustls::Error) -> String {
    let (certificate, key) = (certificate.display(), key.display());
    format!(
        "client_certificate: {certificate} and {key} cannot be used: {error}: give a certificate and its own private key"
    )
}

fn name(text: &str) -> Result<ServerName<'static>, String> {
    let wrong = |_| {
        format!(
            "server_name: {} is neither a name nor an IP address: give the one that is in the server's certificate",
            crate::obstacle::quoted(text)
        )
    };
    ServerName::try_from(text.to_owned()).map_err(wrong)
}

/// Opens TCP connections, and TLS on them.
pub(crate) struct Tls {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
}

impl Connector for Tls {
    fn connect(&self, address: &str) -> Connecting {
        let (connector, address) = (self.connector.clone(), address.to_owned());
        let server_name = self.server_name.clone().map_or_else(|| host_of(&address), Ok);
        Box::pin(async move {
            let server_name = server_name?;
            let stream = dial_tcp(&address).await?;
            match connector.connect(server_name, stream).await {
                Ok(stream) => Ok(Box::new(stream) as Box<dyn Io>),
                Err(error) => Err(explained(error)),
            }
        })
    }
}

fn host_of(address: &str) -> io::Result<ServerName<'static>> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    name(host).map_err(|what| Met::new(Obstacle::Certificate, what).into())
}

/// An error of the handshake, with what to do.
fn explained(error: io::Error) -> io::Error {
    if let Some(met) = of_tls(&error) {
        return met.into();
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Met::new(Obstacle::NoTls, "the connection was closed within the TLS handshake").into()
        }
        _ => error,
    }
}

/// What TLS says by an error of its stream. A server refuses a client's certificate only after the handshake.
pub(super) fn of_tls(error: &io::Error) -> Option<Met> {
    use rustls::Error as Tls;
    Some(match error.get_ref()?.downcast_ref()? {
        Tls::InvalidCertificate(why) => Met::new(Obstacle::Certificate, unsound(why)),
        Tls::NoCertificatesPresented => Met::new(Obstacle::Certificate, "it shows no certificate"),
        Tls::AlertReceived(alert) => Met::new(Obstacle::TlsRefused, format!("it ends TLS with the alert {alert:?}")),
        Tls::InvalidMessage(_) | Tls::InappropriateMessage { .. } => {
            Met::new(Obstacle::NoTls, "what it answers is not TLS")
        }
        Tls::PeerIncompatible(why) => {
            Met::new(Obstacle::TlsRefused, format!("it speaks another TLS than version 1.3 ({why:?})"))
        }
        other => Met::new(Obstacle::TlsRefused, format!("TLS fails: {other}")),
    })
}

fn unsound(why: &CertificateError) -> String {
    match why {
        // The signature is bad where another authority has the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not signed by an authority that we trust".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        // What `openssl req -x509` makes when it is told nothing else.
        other if other.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate is that of an authority and not of a server (CA:TRUE where CA:FALSE belongs)".to_owned()
        }
        other => format!("its certificate is not accepted: {other}"),
    }
}
