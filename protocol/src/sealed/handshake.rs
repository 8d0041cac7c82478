//! The handshake: two messages, after which both ends have a key for each direction that nobody else has.
//!
//! ```text
//!  client   AB 53 01  length of key id  key id   48 bytes: message 1     all in one write
//!           └─────── the preamble ───────────┘
//!  server   AB 53 01                             48 bytes: message 2
//!           or a plain `error` frame, whose first byte is never AB
//! ```
//!
//! It is `Noise_NNpsk0_25519_ChaChaPoly_SHA256` with the secret as pre-shared key and the preamble as prologue, so that neither version nor
//! id can be exchanged on the way. The server finds the key by the id and never by trying: message 1 has no payload, so that one message
//! cannot test many guesses. A wrong key fails at its tag, before any costly work.
//!
//! A [`Channel`] comes out of a handshake that is finished, and from nowhere else.

use super::key::{KEY_ID_BYTES_MAX, Key, KeyId, Secret};
use super::record::{DirectionKey, Opener, Sealer};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use std::cell::Cell;
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// The first bytes of either side: a byte that no frame starts with, a letter, and the version of the channel.
pub const GREETING: [u8; 3] = [0xab, b'S', 1];

/// Bytes of either message: an ephemeral public key and a tag.
pub const MESSAGE_BYTES: usize = 32 + 16;

/// Bytes of the server's answer.
pub const ANSWER_BYTES: usize = GREETING.len() + MESSAGE_BYTES;

/// Bytes that a client sends before it has an answer, at most.
pub const OPENING_BYTES_MAX: usize = PREFIX_BYTES + KEY_ID_BYTES_MAX + MESSAGE_BYTES;

/// Bytes in front of the key's id.
const PREFIX_BYTES: usize = GREETING.len() + 1;

const NOISE: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";

/// 32 random bytes for one handshake. Whoever calls gets them from the system; used twice, they would give two channels one key.
pub struct Entropy(Zeroizing<[u8; 32]>);

impl Entropy {
    /// Takes 32 bytes that nobody can guess and that are used for nothing else.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

/// What both directions are sealed and opened with.
#[derive(Debug)]
pub struct Channel {
    /// For what we send.
    pub sealer: Sealer,
    /// For what comes.
    pub opener: Opener,
}

/// A client that has greeted and waits for the answer.
pub struct Greeting(Box<HandshakeState>);

/// What a server's first bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// More must come.
    Incomplete,
    /// A sealed answer, for [`Greeting::read`].
    Sealed(&'a [u8; ANSWER_BYTES]),
    /// Frames in the clear: the server refuses, and says why. Anybody on the way could have said it.
    InTheClear,
}

impl<'a> Answer<'a> {
    /// Looks at all that has come from the server so far. Nothing comes behind a sealed answer before the client has sent a record.
    pub fn peek(bytes: &'a [u8]) -> Self {
        match bytes.first() {
            None => Self::Incomplete,
            Some(&first) if first == GREETING[0] => bytes.first_chunk().map_or(Self::Incomplete, Self::Sealed),
            Some(_) => Self::InTheClear,
        }
    }
}

impl Greeting {
    /// A client's first bytes, to be written at once, and what waits for the answer to them.
    pub fn new(key: &Key, entropy: Entropy) -> Result<(Self, Vec<u8>), HandshakeError> {
        let id = key.id.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(OPENING_BYTES_MAX);
        bytes.extend_from_slice(&GREETING);
        bytes.push(id.len() as u8);
        bytes.extend_from_slice(id);
        let mut state = builder(&key.secret, &bytes, entropy)?.build_initiator()?;
        let preamble = bytes.len();
        bytes.resize(preamble + MESSAGE_BYTES, 0);
        state.write_message(&[], &mut bytes[preamble..])?;
        Ok((Self(Box::new(state)), bytes))
    }

    /// Takes the server's answer. It proves that the server has the key too.
    pub fn read(mut self, answer: &[u8; ANSWER_BYTES]) -> Result<Channel, HandshakeError> {
        let (greeting, message) = answer.split_at(GREETING.len());
        if greeting != GREETING {
            return Err(HandshakeError::OtherVersion);
        }
        self.0.read_message(message, &mut [])?;
        let Keys { to_server, to_client } = keys(&mut self.0)?;
        Ok(Channel { sealer: Sealer::new(&to_server), opener: Opener::new(&to_client) })
    }
}

/// A client's first bytes, as a server reads them. Nothing in them is proven yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preamble<'a> {
    prologue: &'a [u8],
    key_id: KeyId,
    message: &'a [u8; MESSAGE_BYTES],
}

impl<'a> Preamble<'a> {
    /// Reads the preamble and message 1 at the start of `bytes`, once they are there. What cannot become one is refused at the first byte that
    /// shows it, and [`OPENING_BYTES_MAX`] bytes are always enough.
    pub fn peek(bytes: &'a [u8]) -> Result<Option<Self>, PreambleError> {
        let known = bytes.len().min(2);
        if bytes[..known] != GREETING[..known] {
            return Err(PreambleError::NotSealed);
        }
        if let Some(&version) = bytes.get(2).filter(|version| **version != GREETING[2]) {
            return Err(PreambleError::OtherVersion(version));
        }
        let Some(&length) = bytes.get(GREETING.len()) else { return Ok(None) };
        if !(1..=KEY_ID_BYTES_MAX).contains(&usize::from(length)) {
            return Err(PreambleError::BadKeyId);
        }
        let Some((prologue, rest)) = bytes.split_at_checked(PREFIX_BYTES + usize::from(length)) else {
            return Ok(None);
        };
        let id = std::str::from_utf8(&prologue[PREFIX_BYTES..]).ok().and_then(|id| KeyId::new(id).ok());
        let key_id = id.ok_or(PreambleError::BadKeyId)?;
        Ok(rest.first_chunk().map(|message| Self { prologue, key_id, message }))
    }

    /// Under which key the client wants to speak.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// Bytes that it took up. What stands behind them is the client's first record, which cannot be there before the answer.
    pub fn total(&self) -> usize {
        self.prologue.len() + self.message.len()
    }

    /// Checks that the client has the key, and makes the answer. The client may be a replay: only a first record that opens shows that somebody is there.
    pub fn accept(&self, key: &Key, entropy: Entropy) -> Result<(Channel, [u8; ANSWER_BYTES]), Refused> {
        if key.id != self.key_id {
            return Err(Refused);
        }
        let (Keys { to_server, to_client }, answer) = self.shake(&key.secret, entropy).map_err(|_| Refused)?;
        Ok((Channel { sealer: Sealer::new(&to_client), opener: Opener::new(&to_server) }, answer))
    }

    /// What a server does for an id that it does not know: the work of refusing a wrong key, so that the time tells nobody which ids there are.
    pub fn reject_unknown(&self, entropy: Entropy) -> Refused {
        // Nobody has this secret, so the message cannot be made with it.
        let nobodys = Secret::new(*entropy.0);
        drop(self.shake(&nobodys, entropy));
        Refused
    }

    fn shake(&self, secret: &Secret, entropy: Entropy) -> Result<(Keys, [u8; ANSWER_BYTES]), HandshakeError> {
        let mut state = builder(secret, self.prologue, entropy)?.build_responder()?;
        state.read_message(self.message, &mut [])?;
        let mut answer = [0; ANSWER_BYTES];
        let (greeting, message) = answer.split_at_mut(GREETING.len());
        greeting.copy_from_slice(&GREETING);
        state.write_message(&[], message)?;
        Ok((keys(&mut state)?, answer))
    }
}

/// The keys of both directions.
struct Keys {
    to_server: DirectionKey,
    to_client: DirectionKey,
}

fn builder<'k>(secret: &'k Secret, prologue: &'k [u8], entropy: Entropy) -> Result<Builder<'k>, snow::Error> {
    Builder::with_resolver(NOISE.parse()?, Box::new(Primitives(Cell::new(Some(entropy)))))
        .psk(0, secret.expose())?
        .prologue(prologue)
}

/// The keys that a handshake comes to. The library gives them out at any time; here, only at the end.
fn keys(state: &mut HandshakeState) -> Result<Keys, HandshakeError> {
    if !state.is_handshake_finished() {
        return Err(HandshakeError::Forged);
    }
    let (mut to_server, mut to_client) = state.dangerously_get_raw_split();
    let keys = Keys { to_server: Zeroizing::new(to_server), to_client: Zeroizing::new(to_client) };
    to_server.zeroize();
    to_client.zeroize();
    Ok(keys)
}

/// The library's primitives, with randomness that was given to us: it asks once, for its ephemeral secret.
struct Primitives(Cell<Option<Entropy>>);

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(self.0.take())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// Gives its bytes out once, and fails if anybody asks again.
struct Once(Option<Entropy>);

impl Random for Once {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let entropy = self.0.take().ok_or(snow::Error::Rng)?;
        if dest.len() != entropy.0.len() {
            return Err(snow::Error::Rng);
        }
        dest.copy_from_slice(&*entropy.0);
        Ok(())
    }
}

/// Why a client's first bytes are no preamble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreambleError {
    /// Something else.
    NotSealed,
    /// A version of the channel that this side does not speak.
    OtherVersion(u8),
    /// What should be the id of a key is none.
    BadKeyId,
}

/// The client does not have the key that it names, or nobody has it. There is no telling which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// Why a client has no channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeError {
    /// The answer begins with another version of the channel.
    OtherVersion,
    /// The answer was not made with our key for our greeting.
    Forged,
}

impl From<snow::Error> for HandshakeError {
    fn from(_: snow::Error) -> Self {
        Self::Forged
    }
}

impl fmt::Display for PreambleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSealed => write!(f, "this is not the start of a sealed connection"),
            Self::OtherVersion(version) => {
                write!(f, "the sealed channel has version {} here, not {version}", GREETING[2])
            }
            Self::BadKeyId => write!(f, "what should be the id of a key is none"),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this server does not know this key: give the client a key that the server has, id and secret")
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherVersion => write!(f, "the server speaks another version of the sealed channel"),
            Self::Forged => write!(f, "the answer was not made with our key: whoever answers is not our server"),
        }
    }
}

impl std::error::Error for PreambleError {}
impl std::error::Error for Refused {}
impl std::error::Error for HandshakeError {}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Debug for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Greeting([secret])")
    }
}

/// What tests want to see of a handshake.
#[cfg(test)]
pub(super) mod seen {
    use super::*;

    /// What asking for the keys amid a handshake comes to.
    pub(in super::super) fn keys_too_soon(mut greeting: Greeting) -> Option<HandshakeError> {
        keys(&mut greeting.0).err()
    }

    /// To the server and to the client, as the client has them.
    pub(in super::super) fn keys_at_client(mut greeting: Greeting, answer: &[u8]) -> [DirectionKey; 2] {
        greeting.0.read_message(&answer[GREETING.len()..], &mut []).unwrap();
        let keys = keys(&mut greeting.0).unwrap();
        [keys.to_server, keys.to_client]
    }

    /// The same as the server has them.
    pub(in super::super) fn keys_at_server(
        preamble: &Preamble<'_>,
        secret: &Secret,
        entropy: Entropy,
    ) -> [DirectionKey; 2] {
        let (keys, _) = preamble.shake(secret, entropy).unwrap();
        [keys.to_server, keys.to_client]
    }
}
