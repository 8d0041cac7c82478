//! Reads the list of backends again and puts it in place of the one before. A list with a mistake changes nothing.

use crate::control::{Command, Control};
use crate::given::all_backends;
use crate::pool::{Reloaded, Spec};
use std::path::PathBuf;

/// Where backends come from.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) said: Vec<Spec>,
    pub(crate) file: Option<PathBuf>,
}

impl Source {
    /// Reads them on a thread where a slow disk holds nobody up, and tells the data plane.
    pub(crate) async fn reload(&self, control: &Control) -> Result<Reloaded, String> {
        let outcome = self.exchange(control).await;
        match &outcome {
            Ok(Reloaded { added, removed, changed }) => {
                tracing::info!(?added, ?removed, ?changed, "backends read again");
            }
            Err(error) => tracing::error!(error, "the backends cannot be read again; those before go on"),
        }
        outcome
    }

    async fn exchange(&self, control: &Control) -> Result<Reloaded, String> {
        let (said, file) = (self.said.clone(), self.file.clone());
        if file.is_none() {
            return Err("there is no --backends file, so nothing can have changed".to_owned());
        }
        let read = tokio::task::spawn_blocking(move || all_backends(&said, file.as_deref()));
        let specs = read.await.map_err(|error| error.to_string())??;
        if specs.is_empty() {
            return Err("the list is empty; to end, send SIGTERM".to_owned());
        }
        let told = control.ask(|told| Command::Reload(specs, told)).await;
        told.map_err(|_| "the data plane does not answer".to_owned())
    }
}
