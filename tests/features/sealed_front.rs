//! For tests of clients with keys: a door in front of a plain server that speaks the sealed channel with whoever has the key, and strangers that say one thing and
//! close.

use answerback_protocol::frames::ErrorNotice;
use answerback_protocol::sealed::{
    Entropy, Key, KeyId, Preamble, RECORD_LENGTH_BYTES, SealedReader, SealedWriter, Secret,
};
use answerback_protocol::{Code, ServerFrame};
use bytes::BytesMut;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// A key that says nothing to anybody but these tests.
pub(crate) fn key(id: &str, byte: u8) -> Key {
    Key { id: KeyId::new(id).unwrap(), secret: Secret::new([byte; 32]) }
}

/// A server's fatal `error`, in the clear.
pub(crate) fn refusal(code: Code, message: &str) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    ServerFrame::from(ErrorNotice { code, message: message.into(), about: None, fatal: true }).write(b"", &mut bytes);
    bytes.to_vec()
}

/// Something that listens, on a thread of its own.
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    /// Spoils the next record to a client.
    #[allow(dead_code, reason = "not every crate whose tests share this does so")]
    pub(crate) spoil: Arc<AtomicBool>,
    /// Connections taken so far.
    pub(crate) visits: Arc<AtomicUsize>,
    end: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Door {
    /// Lets those in that have the key, to the plain server behind it.
    pub(crate) fn before(server: SocketAddr, key: Key) -> Self {
        let key = Arc::new(key);
        Self::open(move |stream, spoil| {
            let key = Arc::clone(&key);
            async move { pass(stream, &key, server, &spoil).await }
        })
    }

    /// Says this to everybody who has said something, and closes.
    pub(crate) fn that_says(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = Arc::new(bytes.into());
        Self::open(move |mut stream, _| {
            let bytes = Arc::clone(&bytes);
            async move {
                stream.read_buf(&mut BytesMut::with_capacity(4_096)).await?;
                stream.write_all(&bytes).await?;
                part(stream).await
            }
        })
    }

    /// Takes connections and says nothing.
    pub(crate) fn that_is_silent() -> Self {
        Self::open(|mut stream, _| async move {
            while stream.read_buf(&mut BytesMut::with_capacity(4_096)).await? > 0 {}
            Ok(())
        })
    }

    /// Does as it is told with each connection.
    pub(crate) fn open<F>(take: impl Fn(TcpStream, Arc<AtomicBool>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + 'static,
    {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, spoil, visits) = (listener.local_addr().unwrap(), Arc::default(), Arc::default());
        let (end, ended) = oneshot::channel();
        let (spoils, counted) = (Arc::clone(&spoil), Arc::<AtomicUsize>::clone(&visits));
        let serving = async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                stream.set_nodelay(true).unwrap();
                tokio::task::spawn_local(take(stream, Arc::clone(&spoils)));
            }
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let serving = async {
                tokio::select! {
                    () = serving => {}
                    _ = ended => {}
                }
            };
            tokio::task::LocalSet::new().block_on(&runtime, serving);
        });
        Self { address, spoil, visits, end: Some((end, thread)) }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.end.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}

/// Ends our side and waits for the other: to close with something unread would take back what was said.
async fn part(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    while stream.read_buf(&mut BytesMut::with_capacity(4_096)).await? > 0 {}
    Ok(())
}

async fn pass(mut stream: TcpStream, key: &Key, server: SocketAddr, spoil: &AtomicBool) -> io::Result<()> {
    let mut came = BytesMut::new();
    let accepted = loop {
        stream.read_buf(&mut came).await?;
        match Preamble::peek(&came) {
            Ok(None) if !came.is_empty() => {}
            Ok(Some(preamble)) => break preamble.accept(key, entropy()).map_err(|refused| refused.to_string()),
            _ => break Err("this server takes only clients with a key".to_owned()),
        }
    };
    let (channel, answer) = match accepted {
        Ok(accepted) => accepted,
        Err(words) => {
            stream.write_all(&refusal(Code::Denied, &words)).await?;
            return part(stream).await;
        }
    };
    stream.write_all(&answer).await?;
    let (mut reader, mut writer) = (SealedReader::new(channel.opener), SealedWriter::new(channel.sealer));
    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = stream.split();
    let (mut from_server, mut to_server) = server.split();
    let inwards = async {
        let mut frames = BytesMut::new();
        while from_client.read_buf(reader.sealed()).await? > 0 {
            reader.open(&mut frames).map_err(io::Error::other)?;
            to_server.write_all(&frames.split()).await?;
        }
        to_server.shutdown().await
    };
    let outwards = async {
        while from_server.read_buf(writer.frames()).await? > 0 {
            writer.finish().map_err(io::Error::other)?;
            let mut sealed = writer.sealed().to_vec();
            if spoil.swap(false, Ordering::Relaxed) {
                sealed[RECORD_LENGTH_BYTES] ^= 1;
            }
            writer.advance(sealed.len());
            to_client.write_all(&sealed).await?;
        }
        to_client.shutdown().await
    };
    tokio::try_join!(inwards, outwards).map(drop)
}

/// Never twice the same, and known to nobody who matters.
fn entropy() -> Entropy {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    Entropy::new(bytes)
}
