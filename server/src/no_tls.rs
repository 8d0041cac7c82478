//! What stands in the place of `tls` where the server is built without it: a certificate that cannot be.

use crate::settings::Mistake;

/// No certificate: this build has no TLS.
#[derive(Debug, Clone)]
pub enum Tls {}

impl Tls {
    pub(crate) fn read_again(&self) -> Result<Self, Vec<Mistake>> {
        match *self {}
    }

    /// Whether clients may be known by certificates of their own.
    pub fn asks_clients(&self) -> bool {
        match *self {}
    }
}
