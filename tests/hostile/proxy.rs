//! Somebody on the way, who understands where records begin and end, remembers all of them, and does to them what he likes.
//!
//! Every connection has two threads, one for each direction. A trick is prepared for the connections that come, or done to the newest one.

use crate::cut::{Cutter, Way};
use crate::place::{PATIENCE, wait_for};
use crate::trick::{Plan, Seen, Trickster};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A proxy on a free port. Dropping it cuts everything.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    over: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// New connections wait.
    holds: bool,
    /// For connections that come, from their first piece on.
    planned: Option<Plan>,
    elsewhere: Both<Vec<Vec<u8>>>,
    connections: Vec<Connection>,
}

/// One for each direction.
#[derive(Clone, Default)]
struct Both<T>([T; 2]);

impl<T> Both<T> {
    fn at(&mut self, way: Way) -> &mut T {
        &mut self.0[usize::from(way == Way::ToClient)]
    }
}

#[derive(Default)]
struct Connection {
    sockets: Vec<TcpStream>,
    seen: Both<Vec<Vec<u8>>>,
    tricks: Both<Option<Trickster>>,
    /// Whether who receives what goes this way has closed the connection.
    closed: Both<bool>,
}

impl Proxy {
    pub(crate) fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (over, state, changed) = (AtomicBool::new(false), Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { target, over, state, changed });
        let for_thread = Arc::clone(&shared);
        let acceptor = Some(std::thread::spawn(move || accept(&listener, &for_thread)));
        Self { address, shared, acceptor }
    }

    /// Does this to connections that come, from their greeting or its answer on.
    pub(crate) fn plan(&self, plan: Plan) {
        self.shared.lock().planned = Some(plan);
    }

    /// Does this to the newest connection from the next record on, and keeps its successors waiting.
    pub(crate) fn strike(&self, plan: Plan) {
        let mut state = self.shared.lock();
        state.holds = true;
        let newest = state.connections.last_mut().unwrap();
        *newest.tricks.at(plan.way) = Some(Trickster::new(plan.trick, plan.seed));
    }

    /// Whether the end that was played a trick has closed the newest connection that there was at the time.
    pub(crate) fn is_closed(&self, connection: usize, way: Way) -> bool {
        *self.shared.lock().connections[connection].closed.at(way)
    }

    /// Lets those go on who come.
    pub(crate) fn let_go(&self) {
        self.shared.lock().holds = false;
        self.shared.changed.notify_all();
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.lock().connections.len()
    }

    /// All that went this way on one connection, as it was said.
    pub(crate) fn seen(&self, connection: usize, way: Way) -> Vec<Vec<u8>> {
        self.shared.lock().connections[connection].seen.at(way).clone()
    }

    /// Gives it what another one has seen on its first connection.
    pub(crate) fn learn_from(&self, other: &Self) {
        let seen = other.shared.lock().connections[0].seen.clone();
        self.shared.lock().elsewhere = seen;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits while connections are held up. Returns whether it goes on.
    fn wait(&self) -> bool {
        let is_held = |state: &mut State| state.holds && !self.over.load(Ordering::Relaxed);
        let (state, _) = self.changed.wait_timeout_while(self.lock(), PATIENCE, is_held).unwrap();
        drop(state);
        !self.over.load(Ordering::Relaxed)
    }

    fn note_closed(&self, connection: usize, way: Way) {
        *self.lock().connections[connection].closed.at(way) = true;
    }

    /// What goes on of a piece, and whether that is the end.
    fn pass(&self, connection: usize, way: Way, piece: Vec<u8>) -> (Vec<u8>, bool) {
        let state = &mut *self.lock();
        let elsewhere = &*state.elsewhere.at(way);
        let connection = &mut state.connections[connection];
        let said_by_receiver = connection.seen.at(way.back()).last().cloned();
        let number = connection.seen.at(way).len();
        connection.seen.at(way).push(piece.clone());
        let Some(trickster) = connection.tricks.at(way) else { return (piece, false) };
        let seen = Seen { number, said_by_receiver: said_by_receiver.as_deref(), elsewhere };
        let passed = trickster.pass(piece, &seen);
        (passed.bytes, passed.ends)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        let _ = self.acceptor.take().map(JoinHandle::join);
        for socket in self.shared.lock().connections.iter().flat_map(|connection| &connection.sockets) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((client, _)) = listener.accept() {
        if !shared.wait() {
            return;
        }
        let Ok(server) = TcpStream::connect(shared.target) else { continue };
        let number = begin(shared, &client, &server);
        for (way, from, to) in [(Way::ToServer, &client, &server), (Way::ToClient, &server, &client)] {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let shared = Arc::clone(shared);
            std::thread::spawn(move || carry(&shared, number, way, from, to));
        }
    }
}

fn begin(shared: &Shared, client: &TcpStream, server: &TcpStream) -> usize {
    let mut connection = Connection::default();
    for socket in [client, server] {
        socket.set_nodelay(true).unwrap();
        connection.sockets.push(socket.try_clone().unwrap());
    }
    let mut state = shared.lock();
    if let Some(plan) = state.planned {
        *connection.tricks.at(plan.way) = Some(Trickster::new(plan.trick, plan.seed));
    }
    state.connections.push(connection);
    state.connections.len() - 1
}

/// Carries one direction to its end.
fn carry(shared: &Shared, number: usize, way: Way, mut from: TcpStream, mut to: TcpStream) {
    let mut cutter = Cutter::new(way);
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut bytes).unwrap_or_default();
        if count == 0 {
            // Who says this direction hears the other one, and has closed both.
            shared.note_closed(number, way.back());
            let _ = to.write_all(&cutter.rest());
            break;
        }
        cutter.add(&bytes[..count]);
        if !carry_pieces(shared, (number, way), &mut cutter, &mut to) {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Carries what is whole. Returns whether more may follow.
fn carry_pieces(shared: &Shared, (number, way): (usize, Way), cutter: &mut Cutter, to: &mut TcpStream) -> bool {
    while let Some(piece) = cutter.next() {
        let (passed, ends) = shared.pass(number, way, piece);
        if to.write_all(&passed).is_err() {
            shared.note_closed(number, way);
            return false;
        }
        if ends {
            return false;
        }
    }
    true
}

/// Waits until the receiver of a way has closed a connection, and says how long that took.
pub(crate) fn until_closed(proxy: &Proxy, connection: usize, way: Way) -> Duration {
    let begun = Instant::now();
    wait_for("the channel to close", || proxy.is_closed(connection, way).then_some(()));
    begun.elapsed()
}
