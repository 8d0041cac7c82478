//! Answerback as a system under test: the server in a process of its own, on ports that the kernel picks.

use super::ServerArguments;
use super::frames::{ACTION, Asking, Frames};
use super::sealed::Seal;
use super::system::{Opened, Role, Running, System};
use crate::Outcome;
use crate::folder::Folder;
use crate::process::Owned;
use answerback_protocol::envelope::Envelope;
use answerback_protocol::frames::{Hello, Serve};
use answerback_protocol::limits::{FRAME_BYTES_DEFAULT, PREFIX_BYTES, SERVER_EXTRA_BYTES};
use answerback_protocol::sealed::Key;
use answerback_protocol::{ClientFrame, Name, ServerFrame, SessionId};
use bytes::BytesMut;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// More than any shape has in flight.
pub(crate) const CREDIT: u32 = 65_535;

/// A greeting that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Names things apart. Sessions must differ over all runs against one server, so the process's own number stands beside.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// The server, to be started or running already.
pub(crate) enum Answerback {
    /// The program to start, and the connections it shall take.
    Program { program: PathBuf, connections: usize },
    /// Where one listens.
    At(SocketAddr),
}

/// A server that runs, in a process of its own or of somebody else.
pub(crate) struct Started {
    /// Ends before its directory goes.
    process: Option<Owned>,
    _data: Option<Folder>,
    address: SocketAddr,
    asking: Asking,
    /// What connections are sealed with, if they are.
    key: Option<Key>,
}

impl Answerback {
    /// The server that the arguments name, or the one beside this program, for so many connections.
    pub(crate) fn new(arguments: &ServerArguments, connections: usize) -> Outcome<Self> {
        if let Some(address) = arguments.address {
            return Ok(Self::At(address));
        }
        let beside = std::env::current_exe()?.with_file_name("answerback-server");
        let program = arguments.server_binary.clone().unwrap_or(beside);
        if program.is_file() {
            return Ok(Self::Program { program, connections });
        }
        let advice = "build it with `cargo build --release -p answerback-server`, or name one with --server-binary";
        Err(format!("there is no server at {}: {advice}", program.display()).into())
    }
}

impl System for Answerback {
    fn name(&self) -> &'static str {
        "answerback"
    }

    fn start(&self) -> Outcome<Box<dyn Running>> {
        Ok(Box::new(self.launch()?))
    }
}

impl Answerback {
    /// The program that it starts.
    pub(crate) fn program(&self) -> Outcome<&Path> {
        match self {
            Self::Program { program, .. } => Ok(program),
            Self::At(address) => Err(format!("the server at {address} is not ours to start").into()),
        }
    }

    /// Starts it, or finds it running.
    pub(crate) fn launch(&self) -> Outcome<Started> {
        self.launch_with(None)
    }

    /// The same with a key that all clients must hold.
    pub(crate) fn launch_with(&self, key: Option<Key>) -> Outcome<Started> {
        match self {
            Self::At(address) => Ok(Started { key, ..Started::at(*address) }),
            Self::Program { program, connections } => {
                let data = Folder::new()?;
                let mut command = Command::new(program);
                command.args(["--listen", "127.0.0.1:0", "--admin", "off", "--log", "warn"]);
                command.arg("--max-connections").arg(connections.to_string()).arg("--data-dir");
                command.arg(data.path().join("data"));
                if let Some(key) = &key {
                    let file = data.path().join("key");
                    answerback_keys::file::create_key_file(&file, &[], key)?;
                    command.arg("--key-file").arg(file);
                }
                let (process, address) = Owned::start(&mut command, listening_at)?;
                Ok(Started { process: Some(process), _data: Some(data), address, asking: Asking::Call, key })
            }
        }
    }
}

impl Started {
    /// A server that listens there, in a process that somebody else owns.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { process: None, _data: None, address, asking: Asking::Call, key: None }
    }

    /// Makes its requesters ask in another way.
    pub(crate) fn asking(self, asking: Asking) -> Self {
        Self { asking, ..self }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The address in the line of the banner that says where clients connect.
pub(crate) fn listening_at(line: &str) -> Option<SocketAddr> {
    line.trim_start().strip_prefix("listen")?.trim().parse().ok()
}

impl Running for Started {
    fn process(&self) -> Option<u32> {
        self.process.as_ref().map(Owned::id)
    }

    fn open(&self, role: Role) -> Outcome<Opened> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let session = SessionId::new(u128::from(std::process::id()) << 64 | u128::from(number));
        let name = if role == Role::Requester { "requester" } else { "responder" };
        let hello = Hello { protocol: (1, 1), name: name.into(), session, agent: None, node: None };
        let mut seal = self.key.as_ref().map(|key| Seal::open(&mut stream, key)).transpose()?;
        exchange(&mut stream, &mut seal, &hello.into(), "welcome")?;
        if role == Role::Responder {
            let action = Name::new(ACTION).map_err(|problem| format!("{problem:?}"))?;
            exchange(&mut stream, &mut seal, &Serve { action, credit: CREDIT }.into(), "serving")?;
        }
        Ok((stream, Box::new(Frames::new(self.asking, seal))))
    }
}

/// Says something and waits for the answer that is due.
fn exchange(stream: &mut TcpStream, seal: &mut Option<Seal>, frame: &ClientFrame<'_>, expected: &str) -> Outcome<()> {
    let mut out = BytesMut::new();
    frame.write(&[], &mut out);
    let frame = match seal {
        Some(seal) => exchange_sealed(stream, seal, &out)?,
        None => exchange_plain(stream, &out)?,
    };
    let head = head(&frame)?.ok_or("half a frame")?.0;
    let answer = ServerFrame::read(head).map_err(|error| format!("{expected} expected: {error}"))?;
    if answer.kind() == expected {
        return Ok(());
    }
    Err(format!("{expected} expected, and the server says {}", String::from_utf8_lossy(head).escape_debug()).into())
}

fn exchange_plain(stream: &mut TcpStream, out: &[u8]) -> Outcome<Vec<u8>> {
    stream.write_all(out)?;
    let mut bytes = vec![0; PREFIX_BYTES];
    stream.read_exact(&mut bytes)?;
    let total = envelope(&bytes)?.ok_or("a frame without lengths")?.total();
    bytes.resize(total, 0);
    stream.read_exact(&mut bytes[PREFIX_BYTES..])?;
    Ok(bytes)
}

fn exchange_sealed(stream: &mut TcpStream, seal: &mut Seal, out: &[u8]) -> Outcome<Vec<u8>> {
    seal.put(out)?;
    let count = seal.to_write().len();
    stream.write_all(seal.to_write())?;
    seal.written(count);
    let mut bytes = [0; 4 << 10];
    loop {
        if let Some((_, total)) = head(seal.frames())? {
            let frame = seal.frames()[..total].to_vec();
            seal.taken(total);
            return Ok(frame);
        }
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Err("the server closed the connection during the greeting".into());
        }
        seal.take(&bytes[..count])?;
    }
}

/// The head of the first frame and how long that frame is, once it is whole.
fn head(bytes: &[u8]) -> Outcome<Option<(&[u8], usize)>> {
    let envelope = envelope(bytes)?.filter(|envelope| envelope.total() <= bytes.len());
    Ok(envelope.map(|envelope| (&bytes[PREFIX_BYTES..envelope.data_at()], envelope.total())))
}

fn envelope(bytes: &[u8]) -> Outcome<Option<Envelope>> {
    let limit = FRAME_BYTES_DEFAULT + SERVER_EXTRA_BYTES;
    Envelope::peek(bytes, limit).map_err(|error| format!("not a frame: {error:?}").into())
}
