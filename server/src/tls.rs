//! The certificate of a server: as its files are given, and how they are read again while it runs. TLS 1.3 and nothing older, with the same
//! primitives as the client.
//!
//! Whoever comes over TLS knows the server by this certificate. Who it is itself, a key says within TLS, or a certificate of its own: see
//! `data_plane/transport`. Nothing is resumed: what a ticket would carry over could have been taken back meanwhile.

use crate::settings::Mistake;
use answerback_keys::{Reading, Refused, read_private_file, read_public_file};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a file with certificates at most: some hundreds of authorities, more than any system trusts.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Bytes of a file with a private key at most. The largest in use have 13 KiB.
const KEY_BYTES_MAX: usize = 64 << 10;

const CERTIFICATE: &str = "--tls-certificate";
const KEY: &str = "--tls-key";
const CLIENT_CA: &str = "--tls-client-ca";

/// Where a server finds its certificate. All are PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the server, and behind it those that it was signed with.
    pub certificate: PathBuf,
    /// Its private key, which its owner alone may read.
    pub key: PathBuf,
    /// Authorities whose certificates clients may show. `None`: clients are not asked for any.
    pub client_ca: Option<PathBuf>,
}

/// A certificate that can be put to use.
#[derive(Debug, Clone)]
pub struct Tls {
    files: TlsFiles,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files, and says everything that is wrong with them.
    pub fn read(files: TlsFiles) -> Result<Self, Vec<Mistake>> {
        Self::read_as(files, Reading::First)
    }

    fn read_as(files: TlsFiles, reading: Reading) -> Result<Self, Vec<Mistake>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = certificates(&files.certificate, CERTIFICATE, "the certificate of this server", reading);
        let key = private_key(&files.key, reading);
        let clients = files.client_ca.as_deref().map(|path| verifier(path, &provider, reading)).transpose();
        let (chain, key, clients) = match (chain, key, clients) {
            (Ok(chain), Ok(key), Ok(clients)) => (chain, key, clients),
            (chain, key, clients) => {
                return Err([chain.err(), key.err(), clients.err()].into_iter().flatten().collect());
            }
        };
        let config = config(provider, chain, key, clients).map_err(|error| vec![mismatch(&files, &error)])?;
        Ok(Self { files, config: Arc::new(config) })
    }

    /// Reads the same files once more. What is a pipe is refused: nobody may come to write it.
    pub(crate) fn read_again(&self) -> Result<Self, Vec<Mistake>> {
        Self::read_as(self.files.clone(), Reading::Again)
    }

    /// Where it was read.
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// Whether clients may be known by certificates of their own.
    pub fn asks_clients(&self) -> bool {
        self.files.client_ca.is_some()
    }

    pub(crate) fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

fn config(
    provider: Arc<CryptoProvider>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// A certificate is looked at if one is shown. Without one a key must say who somebody is.
fn verifier(
    path: &Path,
    provider: &Arc<CryptoProvider>,
    reading: Reading,
) -> Result<Arc<dyn ClientCertVerifier>, Mistake> {
    let mut roots = RootCertStore::empty();
    let wrong = |what: String| Mistake {
        flag: CLIENT_CA,
        what: format!("{}: {what}; give a PEM file with the certificates of authorities", path.display()),
    };
    for certificate in certificates(path, CLIENT_CA, "the authorities that sign certificates of clients", reading)? {
        roots.add(certificate).map_err(|error| wrong(format!("one of them is no authority ({error})")))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    builder.allow_unauthenticated().build().map_err(|error| wrong(error.to_string()))
}

fn certificates(
    path: &Path,
    flag: &'static str,
    wanted: &str,
    reading: Reading,
) -> Result<Vec<CertificateDer<'static>>, Mistake> {
    let wrong = |what: &str| Mistake {
        flag,
        what: format!("{}: {what}; give a PEM file with {wanted}, which begins with -----BEGIN", path.display()),
    };
    let bytes = read_public_file(path, FILE_BYTES_MAX, reading).map_err(|refused| match refused {
        Refused::System(error) => wrong(&format!("cannot be read: {error}")),
        other => wrong(&other.to_string()),
    })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(pem::Error::NoItemsFound) => Err(wrong("there is no certificate in it")),
        Err(_) => Err(wrong("it is damaged")),
    }
}

/// Nothing of the file is shown.
fn private_key(path: &Path, reading: Reading) -> Result<PrivateKeyDer<'static>, Mistake> {
    let wrong = |what: String| Mistake { flag: KEY, what };
    let text = read_private_file(path, KEY_BYTES_MAX, reading).map_err(|refused| {
        wrong(format!(
            "{}: {}",
            refused.what(path),
            refused.advice(path, "the private key of --tls-certificate, as PEM")
        ))
    })?;
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        let what = if text.contains("ENCRYPTED") { "is locked with a passphrase" } else { "is not in it" };
        wrong(format!(
            "{}: the private key {what}; give the key of --tls-certificate as PEM, without a passphrase",
            path.display()
        ))
    })
}

fn mismatch(files: &TlsFiles, error: &rustls::Error) -> Mistake {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    Mistake {
        flag: KEY,
        what: format!("{certificate} and {key} cannot be used together: {error}; give a certificate and its own key"),
    }
}
