//! The network: links of two pipes each. A pipe keeps the order of its bytes and nothing else: it delays them, cuts them
//! into pieces anywhere, and may lose everything from some byte on, which ends it for its reader sooner, later or never.

use crate::agenda::{Agenda, Event};
use crate::random::Random;
use answerback_broker::{ConnectionId, Time};
use answerback_protocol::Payload;
use answerback_protocol::envelope::EnvelopeError;
use answerback_protocol::inbox::{Inbox, Scratch};
use std::collections::VecDeque;
use std::time::Duration;

/// A direction of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From a client to the broker.
    Up,
    /// From the broker to a client.
    Down,
}

/// How the network behaves in a run.
#[derive(Debug, Clone)]
pub(crate) struct Weather {
    /// The least delay of a piece, in microseconds.
    pub(crate) delay_us: u64,
    /// What may come on top of it.
    pub(crate) jitter_us: u64,
    /// How often a piece is held up for long, per mille.
    pub(crate) stall: u64,
    /// How often what was written at once arrives in pieces, per mille.
    pub(crate) split: u64,
    /// The mean pause between two mischiefs, in milliseconds; none if 0.
    pub(crate) mischief_ms: u64,
}

/// What arrives at the end of a pipe.
pub(crate) enum Piece {
    /// Some bytes, at least one.
    Bytes(Vec<u8>),
    /// Nothing more will come.
    End,
}

/// One direction of a link.
#[derive(Default)]
struct Pipe {
    under_way: VecDeque<(Time, Piece)>,
    last: Time,
    /// What is written now gets lost.
    broken: bool,
}

/// A connection, as both ends see it.
pub(crate) struct Link {
    /// Its name at the broker.
    pub(crate) connection: ConnectionId,
    /// Whose it is; nobody's if a stranger opened it.
    pub(crate) client: Option<usize>,
    /// Whether the broker's end is open.
    pub(crate) broker_open: bool,
    /// Whether the client's end is open.
    pub(crate) client_open: bool,
    /// Puts frames together at the broker's end.
    pub(crate) at_broker: Wire,
    /// Puts frames together at the client's end.
    pub(crate) at_client: Wire,
    up: Pipe,
    down: Pipe,
}

/// All links there ever were.
pub(crate) struct Network {
    pub(crate) links: Vec<Link>,
    pub(crate) weather: Weather,
}

impl Network {
    /// A network without links.
    pub(crate) fn new(weather: Weather) -> Self {
        Self { links: Vec::new(), weather }
    }

    /// Opens a link. Its place in the broker's table is the first free one, so that places are used again.
    pub(crate) fn open(&mut self, client: Option<usize>, max_frame: u32) -> usize {
        let mut turns = std::collections::BTreeMap::<usize, (u32, bool)>::new();
        for link in &self.links {
            let place = turns.entry(link.connection.place()).or_default();
            *place = (place.0 + 1, place.1 | link.broker_open);
        }
        let place = (0..).find(|place| turns.get(place).is_none_or(|(_, taken)| !taken)).unwrap_or(0);
        let turn = turns.get(&place).map_or(0, |(turn, _)| *turn);
        self.links.push(Link {
            connection: ConnectionId::new(0, place as u32, turn),
            client,
            broker_open: true,
            client_open: true,
            at_broker: Wire::new(max_frame),
            at_client: Wire::new(max_frame + answerback_protocol::limits::SERVER_EXTRA_BYTES),
            up: Pipe::default(),
            down: Pipe::default(),
        });
        self.links.len() - 1
    }

    /// The link that the broker knows by this name.
    pub(crate) fn by_connection(&self, connection: ConnectionId) -> Option<usize> {
        self.links.iter().rposition(|link| link.connection == connection)
    }

    /// Sends bytes on their way.
    pub(crate) fn write(
        &mut self,
        on: (usize, Way),
        bytes: &[u8],
        now: Time,
        random: &mut Random,
        agenda: &mut Agenda,
    ) {
        let (link, way) = on;
        if bytes.is_empty() || self.links[link].pipe(way).broken {
            return;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = if random.chance(self.weather.split) { self.piece(rest.len(), random) } else { rest.len() };
            let (piece, left) = rest.split_at(count);
            rest = left;
            let at = now + self.delay(random);
            self.links[link].pipe(way).push(at, Piece::Bytes(piece.to_vec()), (link, way), agenda);
        }
    }

    /// Ends a pipe in good order: the end comes behind all that was written.
    pub(crate) fn end(&mut self, link: usize, way: Way, now: Time, random: &mut Random, agenda: &mut Agenda) {
        let at = now + self.delay(random);
        let pipe = self.links[link].pipe(way);
        if !pipe.broken {
            pipe.push(at, Piece::End, (link, way), agenda);
            pipe.broken = true;
        }
    }

    /// Breaks a link: each way loses its tail from some byte on, and its reader learns of it soon, late or never.
    pub(crate) fn cut(&mut self, link: usize, now: Time, random: &mut Random, agenda: &mut Agenda) {
        for way in [Way::Up, Way::Down] {
            let noticed = match random.below(10) {
                0 | 1 => None,
                2 | 3 => Some(Duration::from_millis(random.between(50, 2_500))),
                _ => Some(self.delay(random)),
            };
            let pipe = self.links[link].pipe(way);
            pipe.lose_tail(random);
            if let (Some(after), false) = (noticed, pipe.broken) {
                pipe.push(now + after, Piece::End, (link, way), agenda);
            }
            pipe.broken = true;
        }
    }

    /// What has arrived at the end of a pipe by now, a piece at a time.
    pub(crate) fn arrived(&mut self, link: usize, way: Way, now: Time) -> Option<Piece> {
        let pipe = self.links[link].pipe(way);
        if pipe.under_way.front().is_some_and(|(at, _)| *at <= now) {
            pipe.under_way.pop_front().map(|(_, piece)| piece)
        } else {
            None
        }
    }

    fn delay(&self, random: &mut Random) -> Duration {
        let stall = if random.chance(self.weather.stall) { random.between(20_000, 400_000) } else { 0 };
        Duration::from_micros(self.weather.delay_us + random.below(self.weather.jitter_us + 1) + stall)
    }

    /// Often a few bytes, so that lengths and heads are cut too.
    fn piece(&self, most: usize, random: &mut Random) -> usize {
        let most = if random.chance(500) { most.min(8) } else { most };
        1 + random.place(most)
    }
}

impl Link {
    fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

impl Pipe {
    fn push(&mut self, at: Time, piece: Piece, on: (usize, Way), agenda: &mut Agenda) {
        self.last = self.last.max(at);
        self.under_way.push_back((self.last, piece));
        agenda.add(self.last, Event::Arrive { link: on.0, way: on.1 });
    }

    fn lose_tail(&mut self, random: &mut Random) {
        let keep = match random.below(3) {
            0 => self.under_way.len(),
            1 => 0,
            _ => random.place(self.under_way.len() + 1),
        };
        let cut_inside = keep < self.under_way.len();
        self.under_way.truncate(keep);
        if let (true, Some((_, Piece::Bytes(bytes)))) = (cut_inside, self.under_way.back_mut()) {
            bytes.truncate(1 + random.place(bytes.len()));
        }
    }
}

/// One end's way from bytes to frames.
pub(crate) struct Wire(Inbox);

/// Head and data of a frame.
pub(crate) type Frame = (Vec<u8>, Payload);

impl Wire {
    /// For frames whose first length says at most `limit`.
    pub(crate) fn new(limit: u32) -> Self {
        Self(Inbox::new(limit))
    }

    /// Takes bytes in and gives the frames that are complete, and why the stream cannot go on if it cannot.
    pub(crate) fn take_in(&mut self, scratch: &mut Scratch, bytes: &[u8]) -> (Vec<Frame>, Option<EnvelopeError>) {
        let (mut rest, mut frames) = (bytes, Vec::new());
        while !rest.is_empty() {
            let space = self.0.space(scratch);
            let count = space.len().min(rest.len());
            space[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            self.0.received(scratch, count);
            loop {
                match self.0.next(scratch) {
                    Ok(Some(raw)) => frames.push((raw.head.to_vec(), raw.payload())),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
        (frames, None)
    }

    /// Whether the stream ended inside a frame.
    pub(crate) fn is_amid_a_frame(&self) -> bool {
        self.0.is_amid_a_frame()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use answerback_protocol::ClientFrame;
    use answerback_protocol::frames::{Ack, Ping};
    use bytes::BytesMut;

    fn stormy() -> Network {
        Network::new(Weather { delay_us: 100, jitter_us: 5_000, stall: 100, split: 700, mischief_ms: 0 })
    }

    fn read_all(network: &mut Network, agenda: &mut Agenda) -> (Vec<Frame>, bool) {
        let (mut scratch, mut frames, mut ended) = (Scratch::new(0), Vec::new(), false);
        while let Some((now, event)) = agenda.take() {
            assert!(matches!(event, Event::Arrive { link: 0, .. }));
            match network.arrived(0, Way::Up, now) {
                Some(Piece::Bytes(bytes)) => frames.extend(network.links[0].at_broker.take_in(&mut scratch, &bytes).0),
                Some(Piece::End) => ended = true,
                None => {}
            }
        }
        (frames, ended)
    }

    #[test]
    fn frames_come_out_of_a_storm_as_they_were_written() {
        let (mut network, mut agenda, mut random) = (stormy(), Agenda::default(), Random::new(1));
        network.open(None, 1 << 20);
        let mut bytes = BytesMut::new();
        for number in 0..200 {
            bytes.clear();
            ClientFrame::Ack(Ack { replies: number }).write(&vec![7; random.place(40_000)], &mut bytes);
            network.write((0, Way::Up), &bytes, Time::from_millis(number), &mut random, &mut agenda);
        }
        network.end(0, Way::Up, Time::from_millis(300), &mut random, &mut agenda);
        let (frames, ended) = read_all(&mut network, &mut agenda);
        assert!(ended && frames.len() == 200);
        for (number, (head, _)) in frames.iter().enumerate() {
            assert_eq!(ClientFrame::read(head), Ok(ClientFrame::Ack(Ack { replies: number as u64 })));
        }
    }

    #[test]
    fn a_cut_loses_a_tail_and_nothing_else() {
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let (mut network, mut agenda, mut random) = (stormy(), Agenda::default(), Random::new(seed));
            network.open(None, 1 << 20);
            let mut bytes = BytesMut::new();
            (0..20).for_each(|_| ClientFrame::Ping(Ping).write(b"", &mut bytes));
            network.write((0, Way::Up), &bytes, Time::default(), &mut random, &mut agenda);
            network.cut(0, Time::default(), &mut random, &mut agenda);
            network.write((0, Way::Up), &bytes, Time::default(), &mut random, &mut agenda);
            let (frames, _) = read_all(&mut network, &mut agenda);
            assert!(frames.len() <= 20);
            lengths.insert((frames.len(), network.links[0].at_broker.is_amid_a_frame()));
        }
        assert!(lengths.len() > 5 && lengths.contains(&(0, false)) && lengths.contains(&(20, false)), "{lengths:?}");
    }

    #[test]
    fn places_are_used_again_with_another_turn() {
        let mut network = stormy();
        let (first, second) = (network.open(None, 1024), network.open(None, 1024));
        network.links[first].broker_open = false;
        let third = network.open(None, 1024);
        let [first, second, third] = [first, second, third].map(|link| network.links[link].connection);
        assert_eq!((first.place(), second.place(), third.place()), (0, 1, 0));
        assert_eq!((first.turn(), third.turn()), (0, 1));
        assert_eq!(network.by_connection(third), Some(2));
    }
}
