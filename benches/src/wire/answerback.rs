//! Answerback as a system under test: the server in a process of its own, on ports that the kernel picks.

use super::ServerArguments;
use super::frames::{ACTION, Asking, Frames};
use super::system::{Opened, Role, Running, System};
use crate::Outcome;
use crate::folder::Folder;
use crate::process::Owned;
use answerback_protocol::envelope::Envelope;
use answerback_protocol::frames::{Hello, Serve};
use answerback_protocol::limits::{FRAME_BYTES_DEFAULT, PREFIX_BYTES, SERVER_EXTRA_BYTES};
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
        match self {
            Self::At(address) => Ok(Started::at(*address)),
            Self::Program { program, connections } => {
                let data = Folder::new()?;
                let mut command = Command::new(program);
                command.args(["--listen", "127.0.0.1:0", "--admin", "off", "--log", "warn"]);
                command.arg("--max-connections").arg(connections.to_string()).arg("--data-dir").arg(data.path());
                let (process, address) = Owned::start(&mut command, listening_at)?;
                Ok(Started { process: Some(process), _data: Some(data), address, asking: Asking::Call })
            }
        }
    }
}

impl Started {
    /// A server that listens there, in a process that somebody else owns.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { process: None, _data: None, address, asking: Asking::Call }
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
        exchange(&mut stream, &hello.into(), "welcome")?;
        if role == Role::Responder {
            let action = Name::new(ACTION).map_err(|problem| format!("{problem:?}"))?;
            exchange(&mut stream, &Serve { action, credit: CREDIT }.into(), "serving")?;
        }
        Ok((stream, Box::new(Frames::asking(self.asking))))
    }
}

/// Says something and waits for the answer that is due.
fn exchange(stream: &mut TcpStream, frame: &ClientFrame<'_>, expected: &str) -> Outcome<()> {
    let mut out = BytesMut::new();
    frame.write(&[], &mut out);
    stream.write_all(&out)?;
    let mut bytes = vec![0; PREFIX_BYTES];
    stream.read_exact(&mut bytes)?;
    let envelope = Envelope::peek(&bytes, FRAME_BYTES_DEFAULT + SERVER_EXTRA_BYTES)
        .map_err(|error| format!("not a frame: {error:?}"))?
        .ok_or("a frame without lengths")?;
    bytes.resize(envelope.total(), 0);
    stream.read_exact(&mut bytes[PREFIX_BYTES..])?;
    let head = &bytes[PREFIX_BYTES..envelope.data_at()];
    let answer = ServerFrame::read(head).map_err(|error| format!("{expected} expected: {error}"))?;
    if answer.kind() == expected {
        return Ok(());
    }
    Err(format!("{expected} expected, and the server says {}", String::from_utf8_lossy(head).escape_debug()).into())
}
