//! How a connection is opened: [`Tcp`] by default, or whatever a program brings as its [`Connector`].

use std::future::Future;
use std::io;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A stream of bytes in both directions: what a [`Connector`] opens.
///
/// ```
/// fn is_one(_: impl answerback::Io) {}
/// # fn example(stream: tokio::net::TcpStream) {
/// is_one(stream);
/// # }
/// ```
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection that is being opened.
///
/// ```
/// let refused: answerback::Connecting = Box::pin(async { Err(std::io::ErrorKind::ConnectionRefused.into()) });
/// # drop(refused);
/// ```
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>>;

/// Opens connections to a broker. A program that does not speak plain TCP brings its own.
///
/// ```
/// use answerback::{Client, Connecting, Connector, Io};
/// use tokio::net::UnixStream;
///
/// /// Takes the address as the path of a socket.
/// struct Unix;
///
/// impl Connector for Unix {
///     fn connect(&self, address: &str) -> Connecting {
///         let path = address.to_owned();
///         Box::pin(async move { Ok(Box::new(UnixStream::connect(path).await?) as Box<dyn Io>) })
///     }
/// }
///
/// let builder = Client::builder("/run/answerback.sock").connector(Unix);
/// # drop(builder);
/// ```
pub trait Connector: Send + Sync + 'static {
    /// Opens a connection to this address, which stands as it was given to the builder.
    fn connect(&self, address: &str) -> Connecting;
}

/// Plain TCP: the address is `host:port`.
///
/// ```
/// let builder = answerback::Client::builder("127.0.0.1:7040").connector(answerback::Tcp);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Connector for Tcp {
    fn connect(&self, address: &str) -> Connecting {
        let address = address.to_owned();
        Box::pin(async move { Ok(Box::new(dial_tcp(&address).await?) as Box<dyn Io>) })
    }
}

pub(super) async fn dial_tcp(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    refuse_itself(&stream)?;
    // Frames are written many at a time already; a small one must not wait for more.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Where nobody listens on this machine, the port of the address may happen to be the one that the connection is given for its own end. TCP then connects it with
/// itself, it hears what it says, and nobody can listen there while it lasts. That is a connection refused.
fn refuse_itself(stream: &TcpStream) -> io::Result<()> {
    let is_itself = stream.local_addr()? == stream.peer_addr()?;
    if is_itself { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpSocket;

    #[tokio::test]
    async fn a_connection_to_itself_is_no_connection() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let itself = socket.connect(address).await.unwrap();
        assert_eq!(refuse_itself(&itself).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
