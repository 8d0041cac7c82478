//! One connection of a simulation: bytes on their way between a client and the broker, and how it ends.

use crate::random::Random;
use crate::simulation::world::World;
use answerback_broker::ConnectionId;
use answerback_protocol::ServerFrame;
use bytes::{Buf, BytesMut};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{Notify, watch};

/// Bytes that are on their way at most, in each direction.
pub(super) const BYTES_ON_THEIR_WAY_MAX: usize = 64 << 10;

/// Bytes of one piece at most.
const PIECE_BYTES_MAX: usize = 16 << 10;

/// Of a hundred pieces, so many are tiny: lengths and heads come in two parts then, and a break can fall between them.
const TINY_PERCENT: u64 = 10;

/// Bytes of a tiny piece at most.
const TINY_BYTES_MAX: u64 = 64;

/// How late an end learns of a break at most …
const LEARNS_WITHIN: Duration = Duration::from_millis(50);

/// … unless it does not learn of it at all, so many times in a hundred …
const NEVER_LEARNS_PERCENT: u64 = 5;

/// … and finds it by its heartbeat, which is over before this.
const NEVER: Duration = Duration::from_secs(90);

/// How long a client may take to read the last words of a broker that closes the connection.
const CLOSING: Duration = Duration::from_secs(1);

/// What is to become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on.
    Open,
    /// The broker closes it, once everything is written.
    Closing,
    /// It broke somewhere on the way.
    Broken,
    /// The broker is gone.
    Killed,
}

/// A connection as the world knows it.
#[derive(Debug)]
pub(super) struct Line {
    /// Whether the broker knows it.
    pub(super) known: bool,
    outbox: BytesMut,
    written: Arc<Notify>,
    fate: watch::Sender<Fate>,
}

/// What the task of a connection waits for.
pub(super) struct Ends {
    written: Arc<Notify>,
    fate: watch::Receiver<Fate>,
}

impl Line {
    pub(super) fn new() -> (Self, Ends) {
        let (written, (fate, fate_of)) = (Arc::new(Notify::new()), watch::channel(Fate::Open));
        let ends = Ends { written: Arc::clone(&written), fate: fate_of };
        (Self { known: true, outbox: BytesMut::new(), written, fate }, ends)
    }

    /// Puts a frame into the outbox, and says how much is in there.
    pub(super) fn write(&mut self, frame: &ServerFrame<'_>, data: &[u8]) -> usize {
        frame.write(data, &mut self.outbox);
        self.written.notify_one();
        self.outbox.len()
    }

    /// Its end is decided. The first decision holds, but for a break while it closes.
    pub(super) fn decide(&mut self, fate: Fate) {
        let changed = self.fate.send_if_modified(|now| {
            let may = *now == Fate::Open || (*now == Fate::Closing && fate == Fate::Broken);
            if may {
                *now = fate;
            }
            may
        });
        if changed {
            self.written.notify_one();
        }
    }
}

/// A connection in the history: its number.
pub(super) fn name(id: ConnectionId) -> String {
    format!("c{}", id.turn())
}

/// Carries the bytes of one connection until its end.
pub(super) async fn carry(
    world: Arc<World>,
    id: ConnectionId,
    stream: DuplexStream,
    Ends { written, mut fate }: Ends,
    mut random: Random,
) {
    let (mut from, mut to) = tokio::io::split(stream);
    let (up_random, down_random) = (Random::new(random.bits()), Random::new(random.bits()));
    let mut may_close = fate.clone();
    let ended = tokio::select! {
        biased;
        end = end_of(&mut fate) => end,
        () = too_long(&mut may_close) => Fate::Closing,
        () = world.weather_ends(|weather| weather.drops.map(|about| random.around(about))) => Fate::Broken,
        () = up(&world, id, &mut from, up_random) => Fate::Open,
        () = down(&world, id, &mut to, &written, down_random) => Fate::Closing,
    };
    match ended {
        // The client has closed its end, or the broker has and all is written.
        Fate::Open | Fate::Closing => drop((from, to)),
        Fate::Killed => {
            pass(random.up_to(LEARNS_WITHIN)).await;
            drop((from, to));
        }
        Fate::Broken => {
            world.say(&format!("{} breaks", name(id)));
            let (client, broker) = (learns(&mut random), learns(&mut random));
            let client = async {
                pass(client).await;
                drop((from, to));
            };
            let broker = async {
                pass(broker).await;
                world.disconnected(id);
            };
            tokio::join!(client, broker);
        }
    }
    world.disconnected(id);
    world.inside().lines.remove(&id);
}

/// How long after a break an end learns of it.
fn learns(random: &mut Random) -> Duration {
    if random.percent(NEVER_LEARNS_PERCENT) { NEVER } else { random.up_to(LEARNS_WITHIN) }
}

/// Waits for an end that does not care what is on its way.
async fn end_of(fate: &mut watch::Receiver<Fate>) -> Fate {
    let end = fate.wait_for(|fate| matches!(fate, Fate::Broken | Fate::Killed)).await.map(|end| *end);
    // The world has let go of this connection: it has ended.
    end.unwrap_or(Fate::Killed)
}

/// Waits until a connection has been closing for too long.
async fn too_long(fate: &mut watch::Receiver<Fate>) {
    if fate.wait_for(|fate| *fate == Fate::Closing).await.is_ok() {
        pass(CLOSING).await;
    } else {
        pending::<()>().await;
    }
}

/// Bytes from the client to the broker, until the client closes.
async fn up(world: &World, id: ConnectionId, from: &mut ReadHalf<DuplexStream>, mut random: Random) {
    let (mut bytes, mut piece) = (BytesMut::new(), vec![0; PIECE_BYTES_MAX]);
    loop {
        let most = size(&mut random);
        let count = from.read(&mut piece[..most]).await.unwrap_or(0);
        pass(random.up_to(delay(world))).await;
        if count == 0 {
            return;
        }
        bytes.extend_from_slice(&piece[..count]);
        if !world.take_in(id, &mut bytes) {
            // The broker does not listen any more. What it said before may still be on its way.
            return pending().await;
        }
    }
}

/// Bytes from the broker to the client, until all is written of a connection that closes, or the client is gone.
async fn down(world: &World, id: ConnectionId, to: &mut WriteHalf<DuplexStream>, written: &Notify, mut random: Random) {
    loop {
        let most = size(&mut random);
        let Some(piece) = world.inside().lines.get_mut(&id).map(|line| take(line, most)) else { return };
        match piece {
            Some(bytes) => {
                pass(random.up_to(delay(world))).await;
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            None if is_closing(world, id) => return,
            None => written.notified().await,
        }
    }
}

fn take(line: &mut Line, most: usize) -> Option<BytesMut> {
    let count = line.outbox.remaining().min(most);
    (count > 0).then(|| line.outbox.split_to(count))
}

fn is_closing(world: &World, id: ConnectionId) -> bool {
    world.inside().lines.get(&id).is_none_or(|line| *line.fate.borrow() == Fate::Closing)
}

fn size(random: &mut Random) -> usize {
    if random.percent(TINY_PERCENT) { 1 + random.below(TINY_BYTES_MAX) as usize } else { PIECE_BYTES_MAX }
}

fn delay(world: &World) -> Duration {
    world.inside().weather.delay
}

/// Virtual time passes.
#[allow(clippy::disallowed_methods, reason = "a simulated network takes its time; it costs none")]
pub(super) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
