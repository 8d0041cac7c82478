//! Two ends of a sealed connection as a server and a client put them together: the pieces of the crate, and a network that cuts as it likes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall stop")]

use answerback_protocol::codec::FrameCodec;
use answerback_protocol::frames::Ack;
use answerback_protocol::inbox::{Inbox, Scratch};
use answerback_protocol::limits::FRAME_BYTES_DEFAULT;
use answerback_protocol::sealed::{
    Answer, Entropy, Greeting, Key, KeyId, Opening, Preamble, SealedReader, SealedWriter, Secret,
};
use answerback_protocol::{ClientFrame, ServerFrame};
use bytes::BytesMut;
use std::collections::VecDeque;
use tokio_util::codec::Decoder;

fn key() -> Key {
    Key { id: KeyId::new("billing").unwrap(), secret: Secret::new([7; 32]) }
}

/// Echoes acks with as much data. What it is to send lies in `out`.
struct Server {
    scratch: Scratch,
    inbox: Inbox,
    writer: Option<SealedWriter>,
    out: VecDeque<u8>,
}

impl Server {
    fn new() -> Self {
        Self { scratch: Scratch::new(0), inbox: Inbox::new(FRAME_BYTES_DEFAULT), writer: None, out: VecDeque::new() }
    }

    /// Reads as often as it takes to have room for all of it.
    fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.inbox.space(&mut self.scratch);
            let (now, later) = bytes.split_at(space.len().min(bytes.len()));
            space[..now.len()].copy_from_slice(now);
            bytes = later;
            self.inbox.received(&mut self.scratch, now.len());
            self.turn();
        }
    }

    fn turn(&mut self) {
        let Some(writer) = &mut self.writer else { return self.greet() };
        while let Some(frame) = self.inbox.next(&mut self.scratch).unwrap() {
            let ClientFrame::Ack(ack) = ClientFrame::read(frame.head).unwrap() else { panic!("only acks are sent") };
            let frame_back = ServerFrame::from(ack);
            frame_back.write_head(frame.data().len(), writer.frames());
            writer.append(frame.data()).unwrap();
        }
        writer.finish().unwrap();
        self.out.extend(writer.sealed());
        writer.advance(writer.sealed().len());
    }

    fn greet(&mut self) {
        let came = self.inbox.unread(&self.scratch);
        match Opening::of(came) {
            None => return self.inbox.park(&mut self.scratch),
            other => assert_eq!(other, Some(Opening::Sealed)),
        }
        let Some(preamble) = Preamble::peek(came).unwrap() else { return self.inbox.park(&mut self.scratch) };
        assert_eq!((preamble.key_id(), preamble.total()), (&key().id, came.len()));
        let (channel, answer) = preamble.accept(&key(), Entropy::new([2; 32])).unwrap();
        self.inbox = Inbox::sealed(FRAME_BYTES_DEFAULT, channel.opener);
        self.writer = Some(SealedWriter::new(channel.sealer));
        self.out.extend(answer);
    }

    /// The next bytes that it sends, at most `count`.
    fn take(&mut self, count: usize) -> Vec<u8> {
        self.out.drain(..count.min(self.out.len())).collect()
    }
}

#[test]
fn frames_go_there_and_back_however_the_network_cuts() {
    let sizes = [0, 1, 300, 70_000, 5, 200_000, 16_384, 2];
    for piece in [1, 3, 50, 1_000, 20_000, 32_000] {
        let mut server = Server::new();
        let (greeting, bytes) = Greeting::new(&key(), Entropy::new([1; 32])).unwrap();
        bytes.chunks(piece).for_each(|bytes| server.read(bytes));
        let mut answer = Vec::new();
        let channel = loop {
            answer.extend(server.take(piece));
            match Answer::peek(&answer) {
                Answer::Incomplete => {}
                Answer::Sealed(answer) => break greeting.read(answer).unwrap(),
                Answer::InTheClear => panic!("the server refuses"),
            }
        };
        let (mut writer, mut reader) = (SealedWriter::new(channel.sealer), SealedReader::new(channel.opener));
        for (replies, size) in (1..).zip(sizes) {
            ClientFrame::from(Ack { replies }).write(&vec![b'x'; size], writer.frames());
        }
        writer.finish().unwrap();
        let (mut inbound, mut came, mut codec) = (BytesMut::new(), Vec::new(), FrameCodec::for_client());
        for bytes in writer.sealed().chunks(piece) {
            server.read(bytes);
            reader.sealed().extend_from_slice(&server.take(piece));
        }
        while came.len() < sizes.len() {
            reader.sealed().extend_from_slice(&server.take(piece));
            reader.open(&mut inbound).unwrap();
            while let Some(frame) = codec.decode(&mut inbound).unwrap() {
                let head = String::from_utf8(frame.head.to_vec()).unwrap();
                assert_eq!(head, format!(r#"{{"type":"ack","replies":{}}}"#, came.len() + 1));
                came.push(frame.data.len());
            }
        }
        assert_eq!(came, sizes, "pieces of {piece}");
        assert!(server.out.is_empty() && server.inbox.memory() == 0);
    }
}
