//! Servers: they dial each other, say and hear frames, are killed or leave, and start again.

use super::plan::{Mood, Plan};
use super::wire::{End, Frame, Line};
use super::world::{Event, World};
use crate::ledger::hold;
use answerback_broker::{Broker, ConnectionId, Disconnect, Input, Note, Output};
use answerback_protocol::frames::{LinkFrame, Reply, Request};
use answerback_protocol::{ClientFrame, Code, NodeId, Payload, Ran, ServerFrame};
use bytes::BytesMut;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct Server {
    pub(super) broker: Broker,
    pub(super) node: NodeId,
    pub(super) is_up: bool,
    pub(super) life: u32,
    pub(super) is_leaving: bool,
    /// Which line each connection is, and which end of it.
    lines: BTreeMap<ConnectionId, (usize, usize)>,
    turns: u32,
}

impl Server {
    pub(super) fn new(number: usize, plan: &Plan) -> Self {
        Self::born(number, 0, plan)
    }

    fn born(number: usize, life: u32, plan: &Plan) -> Self {
        let settings = plan.settings(number, life);
        let node = settings.node;
        let broker = Broker::new(settings);
        Self { broker, node, is_up: true, life, is_leaving: false, lines: BTreeMap::new(), turns: 0 }
    }

    fn new_connection(&mut self, line: usize, end: usize) -> ConnectionId {
        let is_free = |place: &u32| !self.lines.keys().any(|connection| connection.place() == *place as usize);
        let place = (0..).find(is_free).unwrap_or(0);
        self.turns += 1;
        let connection = ConnectionId::new(0, place, self.turns);
        self.lines.insert(connection, (line, end));
        connection
    }
}

impl World {
    /// A client connects.
    pub(super) fn connect_client(&mut self, client: usize, server: usize) -> usize {
        let line = self.lines.len();
        let connection = self.servers[server].new_connection(line, 1);
        self.lines.push(Line::new([End::Client(client), End::Server { server, connection }], None));
        self.accept(server, connection, format!("client {client}"));
        line
    }

    fn accept(&mut self, server: usize, connection: ConnectionId, peer: String) {
        self.give(server, Input::Connected { connection, peer, holder: None, waited: Duration::ZERO });
    }

    /// A server dials another one, if it can.
    pub(super) fn dial(&mut self, edge: usize) {
        let (from, to) = self.plan.edges[edge];
        if !self.servers[from].is_up || self.servers[from].is_leaving {
            // It dials when it has started again.
            return;
        }
        if !self.servers[to].is_up {
            return self.after_around(150, Event::Dial(edge));
        }
        let is_dialed = self.servers[from].lines.values().any(|at| self.lines[at.0].edge == Some(edge));
        if is_dialed {
            return;
        }
        let line = self.lines.len();
        let here = self.servers[from].new_connection(line, 0);
        let there = self.servers[to].new_connection(line, 1);
        let ends = [End::Server { server: from, connection: here }, End::Server { server: to, connection: there }];
        self.lines.push(Line::new(ends, Some(edge)));
        self.trace.count("mesh", "dialed");
        self.accept(to, there, format!("server {from}"));
        self.give(from, Input::Dialed { connection: here, address: format!("link {edge}").into() });
    }

    pub(super) fn frame_to_server(&mut self, server: usize, connection: ConnectionId, line: usize, frame: &Frame) {
        let (head, data) = frame;
        self.trace.bytes(head);
        if !self.servers[server].broker.is_link(connection) {
            let frame = ClientFrame::read(head).unwrap_or_else(|error| panic!("broken: {error}"));
            self.trace.line(self.now, || format!("server {server} < {frame:?}, line {line}"));
            return self.give(server, Input::Frame { connection, frame, data: data.clone() });
        }
        let read = LinkFrame::read(head).unwrap_or_else(|error| panic!("broken: a server said {error}"));
        self.trace.line(self.now, || format!("server {server} <= {read:?}, line {line}"));
        self.heard_of_a_server(server, line, &read);
        match read {
            LinkFrame::AsClient(frame) => self.give(server, Input::Frame { connection, frame, data: data.clone() }),
            LinkFrame::AsServer(frame) => self.give(server, Input::Told { connection, frame, data: data.clone() }),
        }
    }

    /// What servers say to each other keeps to the rules.
    fn heard_of_a_server(&mut self, server: usize, line: usize, frame: &LinkFrame<'_>) {
        let small = matches!(frame, LinkFrame::AsClient(ClientFrame::Ping(_) | ClientFrame::Pong(_)));
        hold!(!self.quiet || small, "all is quiet, but server {server} is told {frame:?}");
        match frame {
            LinkFrame::AsClient(ClientFrame::Request(request)) => self.passed_on(server, line, request),
            LinkFrame::AsServer(ServerFrame::Reply(reply)) => self.passed_back(reply, line),
            _ => {}
        }
    }

    fn passed_on(&mut self, server: usize, line: usize, request: &Request<'_>) {
        let Some(via) = &request.via else { panic!("broken: a server asks for itself: {request:?}") };
        let path = &via.path;
        let unique: std::collections::BTreeSet<_> = path.iter().collect();
        hold!(unique.len() == path.len(), "it was twice at the same server: {path:?}");
        hold!(path.len() <= self.plan.max_hops, "it comes over {} servers", path.len());
        let senders = self.lines[line].ends.map(|end| match end {
            End::Server { server, .. } => self.servers[server].node,
            End::Client(_) => panic!("broken: a client is a server"),
        });
        let is_old = self.lines[line].open != [true; 2];
        hold!(is_old || path.last().is_some_and(|last| senders.contains(last)), "the last server is not on its way");
        let here = self.servers[server].node;
        if path.contains(&here) && via.home != Some(here) {
            // Only an offer that was believed too long leads here.
            panic!("broken: it has been at server {server} before: {path:?}");
        }
        self.trace.count("mesh", "passed on");
        if path.len() >= 2 {
            self.trace.count("mesh", "over two links");
        }
        if via.home.is_some() {
            self.trace.count("mesh", "home of a key elsewhere");
        }
        if via.cast.is_some() {
            self.trace.count("mesh", "broadcast over servers");
        }
    }

    fn passed_back(&mut self, reply: &Reply<'_>, line: usize) {
        let Some(error) = &reply.error else { return };
        if error.ran != Ran::No {
            return;
        }
        self.trace.count("mesh", "taken back");
        let leaving = self.lines[line].ends.iter().any(|end| match end {
            End::Server { server, .. } => self.servers[*server].is_leaving,
            End::Client(_) => false,
        });
        if error.code == Code::Draining && !leaving {
            self.trace.count("mesh", "stranded handed back");
        }
    }

    /// A server's end of a connection is found closed.
    pub(super) fn server_lost(&mut self, server: usize, line: usize) {
        self.close_at(server, line, Disconnect::ByPeer);
    }

    fn close_at(&mut self, server: usize, line: usize, reason: Disconnect) {
        let lines = &self.servers[server].lines;
        let Some((connection, end)) = lines.iter().find(|(_, at)| at.0 == line).map(|(id, at)| (*id, at.1)) else {
            return;
        };
        self.trace.line(self.now, || format!("server {server} loses line {line}: {reason:?}"));
        self.servers[server].lines.remove(&connection);
        self.hang_up(line, end);
        self.give(server, Input::Disconnected { connection, reason });
        self.dial_again(server, line);
    }

    fn dial_again(&mut self, server: usize, line: usize) {
        if let Some(edge) = self.lines[line].edge.filter(|edge| self.plan.edges[*edge].0 == server) {
            self.after_around(150, Event::Dial(edge));
        }
    }

    pub(super) fn give(&mut self, server: usize, input: Input<'_>) {
        self.servers[server].broker.handle(self.now, input);
        self.take_outputs(server);
    }

    pub(super) fn take_outputs(&mut self, server: usize) {
        let mut closing = Vec::new();
        while let Some(output) = self.servers[server].broker.next_output() {
            let mut bytes = BytesMut::new();
            match output {
                Output::Send { to, frame, data } => {
                    frame.write(&data, &mut bytes);
                    self.send(server, to, &bytes, data);
                }
                Output::Say { to, frame, data } => {
                    frame.write(&data, &mut bytes);
                    self.send(server, to, &bytes, data);
                }
                Output::Close { connection } => closing.push(connection),
                Output::Note(note) => self.note(server, &note),
                Output::Drained { complete } => self.drained(server, complete),
            }
        }
        for connection in closing {
            if let Some((line, _)) = self.servers[server].lines.get(&connection).copied() {
                self.close_at(server, line, Disconnect::Asked);
            }
        }
    }

    fn send(&mut self, server: usize, to: ConnectionId, bytes: &[u8], data: Payload) {
        let Some((line, end)) = self.servers[server].lines.get(&to).copied() else {
            panic!("broken: server {server} says something on {to}, which is closed")
        };
        let head = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
        self.write(line, 1 - end, (bytes[6..6 + head].to_vec(), data));
    }

    fn note(&mut self, server: usize, note: &Note) {
        self.trace.line(self.now, || format!("server {server} notes {note:?}"));
        match note {
            Note::PeerUp { .. } => self.trace.count("mesh", "link up"),
            Note::PeerDown { waiting: 1.., .. } => self.trace.count("mesh", "link down with work on it"),
            Note::PeerRefused { code, message, .. } => {
                let fits = matches!(code, Code::Draining | Code::Silent | Code::Replaced);
                hold!(fits, "server {server} is refused: {code:?} {message}");
            }
            _ => {}
        }
    }

    /// Something happens to a server.
    pub(super) fn misfortune(&mut self) {
        if self.calm {
            return;
        }
        self.after_around(self.plan.end_ms, Event::Misfortune);
        let server = self.random.place(self.servers.len());
        let others = self.servers.iter().any(|server| !server.is_up || server.is_leaving);
        // Over a server that leaves no handler is reached, and what is at the home of its key on the other side of it waits.
        let is_needed = others || !self.plan.can_spare(server);
        if !self.servers[server].is_up || (self.plan.mood == Mood::Drains && is_needed) {
            return;
        }
        if self.plan.mood == Mood::War && self.random.chance(600) {
            self.trace.count("mesh", "server killed");
            return self.die(server);
        }
        if !self.servers[server].is_leaving {
            self.trace.count("mesh", "server drained");
            let within = if self.plan.mood == Mood::Drains { 30_000 } else { self.random.between(0, 2_000) };
            self.trace.line(self.now, || format!("server {server} shall leave"));
            self.servers[server].is_leaving = true;
            let deadline = self.now + Duration::from_millis(within);
            self.give(server, Input::Drain { deadline });
        }
    }

    fn drained(&mut self, server: usize, complete: bool) {
        hold!(complete || self.plan.mood == Mood::War, "server {server} could not finish");
        let life = self.servers[server].life;
        // For half a second it listens, so that who asked before reading `goaway` is told.
        self.after(Duration::from_millis(500), Event::Stop { server, life });
    }

    pub(super) fn stop(&mut self, server: usize, life: u32) {
        if self.servers[server].life == life && self.servers[server].is_up {
            self.end_life(server);
        }
    }

    fn die(&mut self, server: usize) {
        for (line, _) in self.servers[server].lines.clone().into_values() {
            self.cut(line);
        }
        self.end_life(server);
    }

    fn end_life(&mut self, server: usize) {
        self.trace.line(self.now, || format!("server {server} is gone"));
        for (line, end) in std::mem::take(&mut self.servers[server].lines).into_values() {
            self.hang_up(line, end);
        }
        self.servers[server].is_up = false;
        self.after_around(400, Event::Start(server));
    }

    /// A server starts again, with nothing, as another one.
    pub(super) fn start(&mut self, server: usize) {
        let life = self.servers[server].life + 1;
        self.trace.line(self.now, || format!("server {server} starts"));
        self.servers[server] = Server::born(server, life, &self.plan);
        for edge in 0..self.plan.edges.len() {
            if self.plan.edges[edge].0 == server {
                self.after_around(20, Event::Dial(edge));
            }
        }
    }
}
