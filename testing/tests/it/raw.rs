//! A client that says what it is told to say, over whatever carries bytes.

use answerback_protocol::codec::FrameCodec;
use answerback_protocol::frames::{Answer, Hello, Request, Serve};
use answerback_protocol::{ClientFrame, DeliveryId, Name, RequestId, SessionId};
use bytes::BytesMut;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::codec::Decoder;

pub(crate) struct Raw<S> {
    stream: S,
    received: BytesMut,
}

/// A head and its data.
pub(crate) type Frame = (Value, String);

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// Says hello on a fresh connection, as the session of this number.
    pub(crate) async fn hello(stream: S, session: u128) -> Self {
        let mut raw = Self { stream, received: BytesMut::new() };
        let session = SessionId::new(session);
        raw.say(Hello { protocol: (1, 1), name: "raw".into(), session, agent: None, node: None }, "").await.unwrap();
        raw
    }

    pub(crate) async fn say(&mut self, frame: impl Into<ClientFrame<'_>>, data: &str) -> std::io::Result<()> {
        let mut bytes = BytesMut::new();
        frame.into().write(data.as_bytes(), &mut bytes);
        self.stream.write_all(&bytes).await
    }

    pub(crate) async fn serve(&mut self, action: &str) {
        self.say(Serve { action: Name::new(action).unwrap(), credit: 8 }, "").await.unwrap();
        assert_eq!(self.next_of("serving").await.0["action"], action);
    }

    pub(crate) async fn request(&mut self, id: u64, action: &str, data: &str) -> std::io::Result<()> {
        let (id, action) = (RequestId::new(id).unwrap(), Name::new(action).unwrap());
        self.say(Request::call(id, action), data).await
    }

    /// Answers a delivery with its own data.
    pub(crate) async fn answer(&mut self, (head, data): &Frame) -> std::io::Result<()> {
        let id = DeliveryId::new(head["id"].as_u64().unwrap()).unwrap();
        self.say(Answer { id, error: None, part: false, seq: None }, data).await
    }

    /// The next frame; nothing when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = FrameCodec::for_client().decode(&mut self.received).unwrap() {
                let data = String::from_utf8(frame.data.to_vec()).unwrap();
                return Some((serde_json::from_slice(&frame.head).unwrap(), data));
            }
            if self.stream.read_buf(&mut self.received).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The next frame of a type; nothing when the connection has ended before.
    pub(crate) async fn look_for(&mut self, kind: &str) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.0["type"] == kind {
                return Some(frame);
            }
        }
    }

    pub(crate) async fn next_of(&mut self, kind: &str) -> Frame {
        self.look_for(kind).await.unwrap_or_else(|| panic!("the connection ended before {kind}"))
    }
}
