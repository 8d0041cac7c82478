//! What every command that connects understands about keys and TLS.

use answerback::{Builder, Key, TlsOptions};
use answerback_keys::{Given, KeySource, SourceError};
use clap::Args;
use std::path::PathBuf;
use std::sync::OnceLock;

#[derive(Debug, Clone, Args)]
pub(crate) struct Secure {
    /// Seal connections with the key in this file
    #[arg(help_heading = "Everywhere", long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// Connect over TLS 1.3
    #[arg(help_heading = "Everywhere", long, global = true)]
    pub(crate) tls: bool,

    /// Trust only these authorities [default: the system's]
    #[arg(help_heading = "Everywhere", long, global = true, value_name = "FILE", requires = "tls")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// Name in the server's certificate [default: its host]
    #[arg(help_heading = "Everywhere", long, global = true, value_name = "NAME", requires = "tls")]
    pub(crate) tls_server_name: Option<String>,

    /// Certificate to show to the server
    #[arg(help_heading = "Everywhere", long, global = true, value_name = "FILE", requires_all = ["tls", "tls_certificate_key"])]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// Private key of that certificate
    #[arg(help_heading = "Everywhere", long, global = true, value_name = "FILE", requires_all = ["tls", "tls_certificate"])]
    pub(crate) tls_certificate_key: Option<PathBuf>,

    /// Read once: a pipe gives its key to the first who asks.
    #[arg(skip)]
    key: OnceLock<Option<Key>>,
}

impl Secure {
    /// With what was said here and in the environment.
    pub(crate) fn settle(&self, mut builder: Builder) -> Result<Builder, SourceError> {
        if let Some(key) = self.key()? {
            builder = builder.key(key);
        }
        Ok(match self.tls_options() {
            Some(options) => builder.tls(options),
            None => builder,
        })
    }

    fn key(&self) -> Result<Option<Key>, SourceError> {
        if let Some(key) = self.key.get() {
            return Ok(key.clone());
        }
        let given = Given::by_environment(|name| std::env::var_os(name)).and_flags(self.key_file.clone(), None);
        let key = KeySource::of(&given)?.map(|source| source.read()).transpose()?;
        Ok(self.key.get_or_init(|| key).clone())
    }

    fn tls_options(&self) -> Option<TlsOptions> {
        let mut options = self.tls.then(TlsOptions::default)?;
        if let Some(path) = &self.tls_ca {
            options = options.ca_file(path);
        }
        if let Some(name) = &self.tls_server_name {
            options = options.server_name(name);
        }
        if let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_certificate_key) {
            options = options.client_certificate(certificate, key);
        }
        Some(options)
    }
}
