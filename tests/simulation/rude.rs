//! Bad manners, and strangers: what a broker must bear without harm to anybody else.

use crate::ledger::{Asked, How, Kind, Token};
use crate::network::Way;
use crate::world::World;
use answerback_protocol::frames::{Cancel, Hello, Ping, Release, Serve};
use answerback_protocol::{ClientFrame, DeliveryId, Name, RequestId, SessionId};
use bytes::BytesMut;

/// Heads that the protocol does not allow. The connection bears them.
const BAD_HEADS: [&[u8]; 8] = [
    b"{",
    b"[]",
    b"{\"type\":\"dance\"}",
    b"{\"type\":\"ping\",\"type\":\"ping\"}",
    b"{\"type\":\"ping\",\"x\":[[[[1]]]]}",
    b"{\"type\":\"ping\",\"x\":\"\xff\"}",
    b"{\"type\":\"cancel\",\"id\":9007199254740992}",
    b"{\"type\":\"serve\",\"action\":\"a\",\"credit\":0}",
];

/// Lengths that cannot be, and greetings of other protocols. The connection ends.
const BAD_LENGTHS: [&[u8]; 5] = [
    b"\xff\xff\xff\xff\x00\x10",
    b"\x00\x00\x00\x01\x00",
    b"\x00\x00\x00\x05\x00\x09{}",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x00\xc8",
];

impl World {
    /// Does something that it should not.
    pub(crate) fn be_rude(&mut self, client: usize) {
        if !self.clients[client].is_ready() {
            return;
        }
        match self.random.below(8) {
            0 | 1 => {
                let head = self.random.pick(&BAD_HEADS);
                self.write_raw(client, &frame_of(head));
            }
            2 => {
                let bytes = self.random.pick(&BAD_LENGTHS);
                self.write_raw(client, bytes);
            }
            3 => self.use_an_id_twice(client),
            4 => self.ask_badly(client),
            5 => {
                if let Some(delivery) = self.foreign_delivery(client) {
                    self.intrude(client, delivery, "foreign answer");
                }
            }
            6 => {
                let id = self.foreign_delivery(client).unwrap_or(5);
                self.ledger.rude_releases.insert(id);
                self.say(client, Release { id: DeliveryId::truncated(id) }, b"");
                self.say(client, Cancel { id: RequestId::truncated(u64::MAX) }, b"");
            }
            _ => {
                if let Ok(action) = Name::new("$echo") {
                    self.say(client, Serve { action, credit: 1 }, b"");
                }
            }
        }
    }

    /// Answers what is not (or not any more) its own to answer.
    pub(crate) fn intrude(&mut self, client: usize, delivery: u64, what: &'static str) {
        self.trace.count("rude", what);
        let said = self.ledger.say(None, How::Intruder);
        self.send_answer(client, delivery, said);
    }

    fn foreign_delivery(&mut self, client: usize) -> Option<u64> {
        let recent = &self.recent[self.recent.len().saturating_sub(40)..];
        let foreign: Vec<_> =
            recent.iter().filter(|id| !self.clients[client].holding.contains_key(id)).copied().collect();
        if foreign.is_empty() { None } else { Some(self.random.pick(&foreign)) }
    }

    /// Asks something else with the id of a call that waits.
    fn use_an_id_twice(&mut self, client: usize) {
        let waiting: Vec<_> = self.clients[client].waiting.iter().map(|(id, token)| (*id, *token)).collect();
        if waiting.is_empty() {
            return;
        }
        let (id, first) = self.random.pick(&waiting);
        let one = &self.ledger.asked[first];
        if !one.reply || one.kind != Kind::Ordinary {
            return;
        }
        self.trace.count("rude", "id used twice");
        let mut asked = Asked::new(&one.name, one.session, id, one.action);
        (asked.kind, asked.sent_at) = (Kind::Twice(first), self.now);
        asked.alive = false;
        let token = self.ledger.ask(asked, 100, &mut self.random);
        let asked = self.ledger.asked[token].clone();
        if let Some(frame) = asked.frame(self.now) {
            self.say(client, frame, &asked.data);
        }
    }

    /// Asks with a head that says opposite things; it can be answered, for its id can be read.
    fn ask_badly(&mut self, client: usize) {
        let id = self.next_id(client);
        let (name, session) = (self.clients[client].seen_as.clone(), self.clients[client].session);
        let mut asked = Asked::new(&name, session, id, self.scenario.actions[0]);
        asked.kind = Kind::Malformed;
        let token = self.ledger.ask(asked, 100, &mut self.random);
        self.clients[client].waiting.insert(id, token);
        self.announce_malformed(client, token);
    }

    /// Sends a malformed request, again or for the first time.
    pub(crate) fn announce_malformed(&mut self, client: usize, token: Token) {
        self.ledger.asked[token].sent = true;
        let id = self.ledger.asked[token].id;
        let head = format!("{{\"type\":\"request\",\"id\":{id},\"action\":\"a\",\"broadcast\":true,\"key\":\"k\"}}");
        self.write_raw(client, &frame_of(head.as_bytes()));
    }

    /// Somebody connects who is no client of ours.
    pub(crate) fn stranger(&mut self) {
        if self.calm {
            return;
        }
        if self.down {
            return self.next_stranger();
        }
        let link = self.open_link(None);
        let mut bytes = BytesMut::new();
        match self.random.below(6) {
            0 => {}
            1 => bytes.extend_from_slice(self.random.pick(&BAD_LENGTHS)),
            2 => bytes.extend_from_slice(&frame_of(self.random.pick(&BAD_HEADS))),
            3 => ClientFrame::from(Ping).write(b"", &mut bytes),
            4 => self.foreign_hello((2, 7)).write(b"", &mut bytes),
            _ => {
                self.foreign_hello((1, 1)).write(b"", &mut bytes);
                bytes.truncate(1 + self.random.place(bytes.len() - 1));
            }
        }
        self.trace.count("network", "stranger");
        self.network.write((link, Way::Up), &bytes, self.now, &mut self.random, &mut self.agenda);
        if self.random.chance(300) {
            self.network.links[link].client_open = false;
            self.network.end(link, Way::Up, self.now, &mut self.random, &mut self.agenda);
        }
        self.next_stranger();
    }

    fn foreign_hello(&mut self, protocol: (u32, u32)) -> ClientFrame<'static> {
        let session = SessionId::new(u128::from(self.random.bits()));
        Hello { protocol, name: "stranger".into(), session, agent: None, node: None }.into()
    }
}

/// A frame with this head and no data.
fn frame_of(head: &[u8]) -> Vec<u8> {
    let mut bytes = ((head.len() + 2) as u32).to_be_bytes().to_vec();
    bytes.extend((head.len() as u16).to_be_bytes());
    bytes.extend(head);
    bytes
}
