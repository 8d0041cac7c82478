//! The shell around the broker: bytes that arrive become inputs, outputs become bytes, and both pass the border, where
//! they are compared with what was promised.

use crate::agenda::Event;
use crate::ledger::hold;
use crate::network::{Frame, Piece, Way};
use crate::world::World;
use answerback_broker::{ConnectionId, Disconnect, Held, Input, Note, Output, Time};
use answerback_protocol::envelope::EnvelopeError;
use answerback_protocol::{ClientFrame, Payload, ServerFrame};

impl World {
    /// Opens a link and tells the broker.
    pub(crate) fn open_link(&mut self, client: Option<usize>) -> usize {
        let link = self.network.open(client, self.scenario.settings.max_frame);
        let connection = self.network.links[link].connection;
        self.border.connections.insert(connection, None);
        self.trace.line(self.now, || format!("link {link} is {connection} of client {client:?}"));
        let holder = self.holder_for(client);
        self.give(Input::Connected {
            connection,
            peer: format!("192.0.2.1:{link}"),
            holder,
            waited: std::time::Duration::ZERO,
        });
        link
    }

    /// What has arrived at the end of a pipe is taken in.
    pub(crate) fn arrive(&mut self, link: usize, way: Way) {
        match (self.network.arrived(link, way, self.now), way) {
            (Some(Piece::Bytes(bytes)), Way::Up) if self.network.links[link].broker_open => self.bytes_up(link, &bytes),
            (Some(Piece::Bytes(bytes)), Way::Down) if self.network.links[link].client_open => {
                self.bytes_down(link, &bytes);
            }
            (Some(Piece::End), Way::Up) => self.disconnect(link, Disconnect::ByPeer),
            (Some(Piece::End), Way::Down) => self.client_lost(link),
            _ => {}
        }
    }

    fn bytes_up(&mut self, link: usize, bytes: &[u8]) {
        self.trace.bytes(bytes);
        let (frames, error) = self.network.links[link].at_broker.take_in(&mut self.scratch, bytes);
        for frame in frames {
            if self.network.links[link].broker_open {
                self.frame_up(link, &frame);
            }
        }
        if let (Some(error), true) = (error, self.network.links[link].broker_open) {
            self.not_a_frame(link, error);
        }
    }

    fn frame_up(&mut self, link: usize, (head, data): &Frame) {
        let connection = self.network.links[link].connection;
        match ClientFrame::read(head) {
            Ok(frame) => {
                self.trace.count("input", frame.kind());
                self.trace.line(self.now, || format!("{connection} > {} {frame:?} {}", frame.kind(), shown(data)));
                self.border.frame_in(&mut self.ledger, self.now, connection, &frame, data);
                if let (ClientFrame::Resume(resume), Some(client)) = (&frame, self.network.links[link].client)
                    && !resume.more
                {
                    self.accounted_for(client);
                }
                self.give(Input::Frame { connection, frame, data: data.clone() });
            }
            Err(error) => {
                self.trace.count("malformed", error.word());
                self.trace.line(self.now, || format!("{connection} > malformed: {error}"));
                self.border.malformed_in(&mut self.ledger, self.now, connection, error.id);
                self.give(Input::Malformed { connection, error });
            }
        }
    }

    fn not_a_frame(&mut self, link: usize, error: EnvelopeError) {
        let connection = self.network.links[link].connection;
        self.trace.count("malformed", error.word());
        self.trace.line(self.now, || format!("{connection} > not a frame: {error}"));
        self.give(Input::NotAFrame { connection, error });
        hold!(!self.network.links[link].broker_open, "a connection goes on after {error}");
    }

    /// The broker's end of a link closes.
    pub(crate) fn disconnect(&mut self, link: usize, reason: Disconnect) {
        if !self.network.links[link].broker_open {
            return;
        }
        if self.network.links[link].at_broker.is_amid_a_frame() {
            self.trace.count("network", "ended inside a frame");
        }
        self.network.links[link].broker_open = false;
        let connection = self.network.links[link].connection;
        self.trace.count("input", "disconnected");
        self.trace.line(self.now, || format!("{connection} is gone: {reason:?}"));
        self.border.disconnected(self.now, connection);
        self.give(Input::Disconnected { connection, reason });
        self.network.end(link, Way::Down, self.now, &mut self.random, &mut self.agenda);
    }

    fn give(&mut self, input: Input<'_>) {
        self.broker.handle(self.now, input);
        self.take_outputs();
    }

    /// Does what the broker wants, and then sees that nothing is missing.
    pub(crate) fn take_outputs(&mut self) {
        let mut closing = Vec::new();
        while let Some(output) = self.broker.next_output() {
            match output {
                Output::Send { to, frame, data } => self.send(to, &frame, &data),
                Output::SendAll { to, frame, data } => to.into_iter().for_each(|to| self.send(to, &frame, &data)),
                Output::Say { to, .. } => panic!("broken: {to} is told something as a server, and there is none"),
                Output::Close { connection } => {
                    self.border.disconnected(self.now, connection);
                    closing.push(connection);
                }
                Output::Note(note) => self.note(&note),
                Output::Drained { complete } => self.drained(complete),
            }
        }
        self.border.nothing_is_missing();
        if closing.is_empty() {
            self.look_at_what_is_held();
        }
        for connection in closing {
            self.close(connection);
        }
    }

    fn send(&mut self, to: ConnectionId, frame: &ServerFrame<'static>, data: &Payload) {
        self.trace.count("output", frame.kind());
        self.trace.line(self.now, || format!("{to} < {} {frame:?} {}", frame.kind(), shown(data)));
        match frame {
            ServerFrame::Deliver(deliver) => self.is_marked(deliver, data),
            ServerFrame::Accepted(accepted) => {
                if let Some(token) = self.border.token(to, accepted.id) {
                    self.is_on_disk(token);
                }
            }
            _ => {}
        }
        self.border.frame_out(&mut self.ledger, self.now, to, frame, data);
        let link = self.network.by_connection(to).filter(|link| self.network.links[*link].broker_open);
        let Some(link) = link else { panic!("broken: {} sent to {to}, which is closed", frame.kind()) };
        if let ServerFrame::ErrorNotice(error) = frame {
            self.trace.count("notice", error.code.as_str());
        }
        frame.write(data, self.outboxes.entry(link).or_default());
    }

    /// The broker closes a connection: what it wrote before still goes out, then the pipe ends.
    fn close(&mut self, connection: ConnectionId) {
        let Some(link) = self.network.by_connection(connection) else { return };
        self.trace.line(self.now, || format!("the broker closes {connection}"));
        if let Some(bytes) = self.outboxes.remove(&link) {
            self.trace.bytes(&bytes);
            self.network.write((link, Way::Down), &bytes, self.now, &mut self.random, &mut self.agenda);
        }
        self.disconnect(link, Disconnect::Asked);
    }

    fn note(&mut self, note: &Note) {
        self.trace.line(self.now, || format!("note: {note:?}"));
        let word = match note {
            Note::SessionOpened { resumed: false, .. } => "session opened",
            Note::SessionOpened { resumed: true, .. } => "session resumed",
            Note::SessionClosed { .. } => "session closed",
            Note::ConnectionRefused { .. } => "connection refused",
            Note::SendLost { code, .. } => {
                self.trace.count("send lost", code.as_str());
                "send lost"
            }
            Note::Draining { .. } => "draining",
            Note::PeerUp { .. } | Note::PeerDown { .. } | Note::PeerRefused { .. } => {
                panic!("broken: {note:?}, and there is no other server")
            }
        };
        self.trace.count("note", word);
        self.border.noted(&mut self.ledger, self.now, note);
    }

    fn drained(&mut self, complete: bool) {
        self.trace.line(self.now, || format!("drained, complete: {complete}"));
        self.trace.count("drained", if complete { "complete" } else { "at its deadline" });
        let Some(deadline) = self.border.drain_until else { panic!("broken: drained without a drain") };
        hold!(!self.border.drained, "drained twice");
        hold!(complete || self.now >= deadline, "a drain gave up before its deadline");
        hold!(self.now <= deadline + self.border.slack, "a drain ended {:?} after its deadline", self.now - deadline);
        let held = self.broker.held();
        // With a store, sends that wait are saved.
        let saved = self.store.is_some() && (held.delivered == 0 || !complete);
        hold!(held.requests == 0 || saved, "the drain is over, and the broker holds {held:?}");
        self.border.drained = true;
        if self.store.is_some() {
            let after = self.around(100);
            self.agenda.add(self.now + after, Event::Stop { life: self.life });
        }
    }

    fn look_at_what_is_held(&mut self) {
        let held = self.broker.held();
        let limits = &self.scenario.settings.limits;
        // What the store held is taken back without asking whether there is room.
        let restored = self.border.restored_bytes;
        hold!(
            held.bytes <= limits.bytes_in_all + restored,
            "{} bytes are held, limit {}",
            held.bytes,
            limits.bytes_in_all
        );
        hold!(
            held.actions <= limits.actions || restored > 0,
            "{} actions exist, limit {}",
            held.actions,
            limits.actions
        );
        hold!(held.stored_replies <= limits.stored_replies, "{} replies are stored", held.stored_replies);
        hold!(held.requests == held.queued + held.delivered || held.requests > 0, "counts do not fit: {held:?}");
        let due = self.broker.poll_timeout();
        let held = Held { storing: 0, ..held };
        hold!(held == Held::default() || due.is_some_and(|due| due < Time::NEVER), "no timer is wanted, but {held:?}");
    }
}

/// The first characters of some data.
fn shown(data: &[u8]) -> String {
    String::from_utf8_lossy(data).chars().take(60).collect()
}
