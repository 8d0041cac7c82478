//! Looks at what a connection says first, and decides whether it may come in. Costly work is done for nobody who does not have a key.

use super::super::connection::Connection;
use super::strangers::{Stranger, Strangers};
use super::{Greeted, Session, Transport};
use crate::keys::Ring;
use crate::tls::Tls;
use answerback_broker::Holder;
use answerback_protocol::inbox::{Inbox, Scratch};
use answerback_protocol::sealed::{ANSWER_BYTES, Channel, Entropy, Opening, Preamble};
use std::sync::Arc;

/// Who may come in.
#[derive(Debug)]
pub(crate) struct Door {
    /// None on a server without keys.
    ring: Option<Arc<Ring>>,
    /// None on a server without a certificate.
    tls: Option<Tls>,
    frame_bytes: u32,
    pub(crate) strangers: Strangers,
}

/// What came of looking at a connection.
#[derive(Debug)]
pub(crate) enum Met {
    /// More must come.
    Later,
    /// It speaks TLS, whose handshake has begun.
    Tls,
    /// It is answered with these bytes, and its first record must come.
    Greeted([u8; ANSWER_BYTES]),
    /// It comes in. What it has said besides is in its inbox.
    In(Option<Holder>),
    /// The same, and what it has said is no frame: the core tells it so.
    Odd,
    /// It does not.
    Stranger(Stranger),
}

impl Door {
    pub(crate) fn new(ring: Option<Arc<Ring>>, tls: Option<Tls>, frame_bytes: u32) -> Self {
        Self { ring, tls, frame_bytes, strangers: Strangers::default() }
    }

    /// Other keys hold from now on.
    pub(crate) fn rekey(&mut self, ring: Arc<Ring>) {
        self.ring = Some(ring);
    }

    /// Another certificate is shown from now on. Who came over TLS before goes on as it is.
    pub(crate) fn certify(&mut self, tls: Tls) {
        self.tls = Some(tls);
    }

    /// Looks at what was just read from a connection that is not in yet.
    pub(crate) fn meet(&self, connection: &mut Connection, scratch: &mut Scratch) -> Met {
        match connection.transport {
            Transport::Greeted(_) => self.first_record(connection, scratch),
            _ => self.first_bytes(connection, scratch),
        }
    }

    fn first_bytes(&self, connection: &mut Connection, scratch: &mut Scratch) -> Met {
        let came = connection.inbox.0.unread(scratch);
        match (Opening::of(came), &self.ring) {
            (None, _) => {
                connection.inbox.0.park(scratch);
                Met::Later
            }
            (Some(Opening::Sealed), Some(ring)) => self.greet(ring, connection, scratch),
            (Some(Opening::Sealed), None) => Met::Stranger(Stranger::Sealed),
            (Some(Opening::Http), _) => Met::Stranger(Stranger::Http),
            (Some(Opening::Tls), _) if connection.tls.is_none() => self.begin_tls(connection, scratch),
            (Some(Opening::Plain), Some(ring)) => self.certified(ring, connection),
            (Some(Opening::Tls), _) | (Some(Opening::Unknown), Some(_)) => Met::Stranger(Stranger::Unknown),
            (Some(opening @ (Opening::Plain | Opening::Unknown)), None) => {
                connection.transport = Transport::Plain;
                // What is no frame is told so by the core, as later on: bytes that nobody knows are a length over every limit.
                if opening == Opening::Unknown { Met::Odd } else { Met::In(None) }
            }
        }
    }

    /// Its first bytes go to TLS, and what comes out of that is looked at anew.
    fn begin_tls(&self, connection: &mut Connection, scratch: &Scratch) -> Met {
        let Some(tls) = &self.tls else { return Met::Stranger(Stranger::Tls) };
        let session = match Session::new(tls) {
            Ok(session) => connection.tls.insert(Box::new(session)),
            Err(reason) => return Met::Stranger(Stranger::BadTls(reason)),
        };
        let begun = session.begin(connection.inbox.0.unread(scratch));
        connection.inbox.0 = Inbox::new(self.frame_bytes);
        match begun {
            Ok(()) => Met::Tls,
            Err(reason) => Met::Stranger(Stranger::BadTls(reason)),
        }
    }

    /// Lets somebody in without a key whose certificate is that of a holder.
    fn certified(&self, ring: &Ring, connection: &mut Connection) -> Met {
        let asks = self.tls.as_ref().is_some_and(Tls::asks_clients);
        let Some(names) = connection.tls.as_ref().and_then(|session| session.names()) else {
            return Met::Stranger(if asks { Stranger::Nameless } else { Stranger::Plain });
        };
        match ring.holder_by(&names) {
            Some((name, holder)) => {
                connection.transport = Transport::Certified { name, holder: Arc::clone(&holder.id) };
                Met::In(Some(holder))
            }
            None => Met::Stranger(Stranger::Certificate(names.told())),
        }
    }

    fn greet(&self, ring: &Ring, connection: &mut Connection, scratch: &mut Scratch) -> Met {
        let came = connection.inbox.0.unread(scratch);
        let preamble = match Preamble::peek(came) {
            Ok(Some(preamble)) => preamble,
            Ok(None) => {
                connection.inbox.0.park(scratch);
                return Met::Later;
            }
            Err(error) => return Met::Stranger(Stranger::Preamble(error)),
        };
        if preamble.total() != came.len() {
            return Met::Stranger(Stranger::Hasty);
        }
        let Some(entropy) = entropy() else { return Met::Stranger(Stranger::NoChance) };
        let accepted = match ring.key(preamble.key_id()) {
            Some(key) => preamble.accept(key, entropy),
            None => Err(preamble.reject_unknown(entropy)),
        };
        let key = preamble.key_id().clone();
        match accepted {
            Ok((Channel { sealer, opener }, answer)) => {
                connection.inbox.0 = Inbox::sealed(self.frame_bytes, opener);
                connection.transport = Transport::Greeted(Box::new(Greeted { key, sealer }));
                Met::Greeted(answer)
            }
            Err(_) => Met::Stranger(Stranger::Key(key)),
        }
    }

    fn first_record(&self, connection: &mut Connection, scratch: &mut Scratch) -> Met {
        match connection.inbox.0.open_record(scratch) {
            Ok(true) => {}
            Ok(false) => {
                connection.inbox.0.park(scratch);
                return Met::Later;
            }
            Err(_) => return Met::Stranger(Stranger::Record),
        }
        let Transport::Greeted(greeted) = std::mem::replace(&mut connection.transport, Transport::Unknown) else {
            return Met::Stranger(Stranger::Record);
        };
        let Greeted { key, sealer } = *greeted;
        let Some(holder) = self.ring.as_ref().and_then(|ring| ring.holder_of(&key)) else {
            return Met::Stranger(Stranger::Record);
        };
        // Who could seal a record has read our answer to its end, so nothing in the clear is left to be written.
        connection.outbox.seal(sealer);
        connection.transport = Transport::Sealed(key);
        Met::In(Some(holder))
    }
}

/// Random bytes for one handshake.
fn entropy() -> Option<Entropy> {
    let mut bytes = [0; 32];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Some(Entropy::new(bytes)),
        Err(error) => {
            tracing::error!(%error, "the system gives no random bytes, so nobody can be greeted");
            None
        }
    }
}
