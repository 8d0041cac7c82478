//! What stands in the place of `tls` where the server is built without it: a session that cannot be.

use super::super::buffers::Buffers;
use super::super::connection::Came;
use super::super::outbox::{Outbox, Written};
use super::certificate::Names;
use crate::tls::Tls;
use mio::net::TcpStream;
use std::io;

/// No session: this build has no TLS.
#[derive(Debug)]
pub(in crate::data_plane) enum Session {}

impl Session {
    pub(in crate::data_plane) fn new(tls: &Tls) -> Result<Self, String> {
        match *tls {}
    }

    pub(in crate::data_plane) fn begin(&mut self, _: &[u8]) -> Result<(), String> {
        match *self {}
    }

    pub(in crate::data_plane) fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub(in crate::data_plane) fn wants_write(&self) -> bool {
        match *self {}
    }

    pub(in crate::data_plane) fn say_goodbye(&mut self) -> bool {
        match *self {}
    }

    pub(in crate::data_plane) fn names(&self) -> Option<Names> {
        match *self {}
    }

    pub(in crate::data_plane) fn read(&mut self, _: &mut TcpStream, _: &mut [u8]) -> io::Result<Came> {
        match *self {}
    }

    pub(in crate::data_plane) fn write(
        &mut self,
        _: &mut TcpStream,
        _: &mut Outbox,
        _: &mut Buffers,
    ) -> io::Result<Written> {
        match *self {}
    }
}

/// Why TLS has failed: it cannot.
pub(in crate::data_plane) fn reason_of(_: &io::Error) -> Option<String> {
    None
}
