//! What the handles of one client and its tasks share: the sessions, the services, the work that is under way.
//!
//! ```text
//!  Client, Call, Context ──► Shared (one lock, never held across an await) ◄── link: one task for each connection
//!                              ├ links: a session each; the last is the current one, the others leave
//!                              ├ services: handlers by action
//!                              └ works: deliveries being worked on, so that they can be stopped
//! ```
//!
//! The lock is held for what a session decides, which is a few hundred nanoseconds, and for no I/O. Whoever gives a session something to say
//! wakes the link's task if it sleeps; so many calls made at once are written at once.

use crate::ask::Waiter;
use crate::bell::Bell;
use crate::builder::Settings;
use crate::client::{Client, Handle};
use crate::dice::Dice;
use crate::error::Error;
use crate::events::Book;
use crate::link::{self, Link, LinkNumber, Order, Rota};
use crate::serve::Services;
use crate::session::{Ask, Caller as _, Ending, Identity, Limits, Session};
use crate::state::State;
use answerback_protocol::{Code, Ran, RequestId};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How much longer than its timeout a call waits for the broker's own word on it: the broker knows whether the work ran.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    inside: Mutex<Inside>,
    state: watch::Sender<State>,
    /// Rung after every turn, and whenever a call, a piece of work or a link has ended.
    pub(crate) bell: Bell,
    /// The handle that all clones of the client share, for contexts.
    handle: OnceLock<Weak<Handle>>,
}

/// Everything that is behind the lock.
pub(crate) struct Inside {
    /// Never empty while the client is open. The last one is where new calls go; those before it finish what they have.
    pub(crate) links: Vec<Link>,
    pub(crate) services: Services,
    /// Who hears of which topics.
    pub(crate) book: Book,
    pub(crate) dice: Dice,
    next_link: u64,
    next_request: u64,
    /// Why nothing works any more.
    pub(crate) closed: Option<Error>,
    /// Whether the client leaves, which is told instead of what its links do.
    draining: bool,
}

impl Inside {
    /// A number that no request and no event of this client has had.
    pub(crate) fn next_request(&mut self) -> u64 {
        let number = self.next_request;
        self.next_request += 1;
        number
    }
}

impl Shared {
    /// Makes a client and lets it connect. Must be called within a tokio runtime.
    pub(crate) fn launch(settings: Settings, fail_first: bool) -> Result<Client, Error> {
        if tokio::runtime::Handle::try_current().is_err() {
            let message = "a client needs a tokio runtime: call this in an async function that tokio runs";
            return Err(Error::new(Code::Unavailable, Ran::No, message));
        }
        let dice = Dice::new(settings.seed).map_err(|error| no_randomness(&error))?;
        let address = settings.addresses[0].to_string();
        let rota = Rota::new(settings.reconnect.clone(), settings.addresses.clone());
        let shared = Arc::new(Self {
            settings,
            inside: Mutex::new(Inside {
                links: Vec::new(),
                services: Services::default(),
                book: Book::default(),
                dice,
                next_link: 0,
                next_request: 1,
                closed: None,
                draining: false,
            }),
            state: watch::Sender::new(State::Connecting { address }),
            bell: Bell::default(),
            handle: OnceLock::new(),
        });
        let number = shared.add_link(&mut shared.lock())?;
        let client = Client::new(&shared);
        link::spawn(&shared, number, rota, fail_first);
        Ok(client)
    }

    /// Another session, which is the current one from now on. Its task is not started here.
    pub(crate) fn add_link(&self, inside: &mut Inside) -> Result<LinkNumber, Error> {
        let number = LinkNumber(inside.next_link);
        inside.next_link += 1;
        let session = self.new_session(inside)?;
        inside.links.push(Link::new(number, session));
        Ok(number)
    }

    /// A session that no server knows yet.
    pub(crate) fn new_session(&self, inside: &mut Inside) -> Result<Session<Waiter>, Error> {
        let session = inside.dice.session().map_err(|error| no_randomness(&error))?;
        let limits = Limits {
            calls: self.settings.max_calls,
            bytes: self.settings.max_bytes,
            welcome_within: self.settings.connect_timeout,
            patience: PATIENCE,
        };
        let mut session = Session::new(Identity { name: Arc::clone(&self.settings.name), session }, limits);
        for (action, credit) in inside.services.served() {
            session.serve(&action, credit);
        }
        inside.book.topics().for_each(|topic| session.subscribe(topic));
        Ok(session)
    }

    /// Nothing that is done under the lock can leave things half done, so a panic elsewhere does not spoil them.
    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked { inside: Some(self.inside.lock().unwrap_or_else(PoisonError::into_inner)) }
    }

    /// Something may have changed for those who wait.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    /// The time as the sessions count it; a test that pauses tokio's clock pauses this.
    pub(crate) fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// Asks, and says under which id.
    pub(crate) fn ask(&self, ask: Ask, waiter: Waiter) -> Option<RequestId> {
        let mut inside = self.lock();
        if let Some(error) = &inside.closed {
            let result = Err(error.clone().with_ran(Ran::No));
            waiter.end(Ending { result, info: None, counts: None });
            return None;
        }
        let id = RequestId::truncated(inside.next_request());
        // While it is not closed, there is a link.
        let link = inside.links.last_mut()?;
        link.session.ask(ask.asked, id, ask, waiter);
        link.rouse();
        Some(id)
    }

    /// Nobody waits for this call any more.
    pub(crate) fn cancel(&self, id: RequestId) {
        let mut inside = self.lock();
        if let Some(link) = inside.links.iter_mut().rev().find_map(|link| link.session.cancel(id).then_some(link)) {
            link.rouse();
        }
        drop(inside);
        self.ring();
    }

    /// Lets every link say goodbye and end.
    pub(crate) fn order_leave(&self) {
        for link in self.lock().links.iter_mut().filter(|link| link.order != Order::Stop) {
            link.order = Order::Leave;
            link.rouse();
        }
    }

    /// Lets the current link connect anew. One that finishes what it has goes on.
    pub(crate) fn order_reconnect(&self) {
        if let Some(link) = self.lock().links.last_mut().filter(|link| link.order == Order::Go) {
            link.order = Order::Reconnect;
            link.rouse();
        }
    }

    /// The handle of the program, unless it has gone.
    pub(crate) fn handle(&self) -> Option<Arc<Handle>> {
        self.handle.get()?.upgrade()
    }

    pub(crate) fn set_handle(&self, handle: &Arc<Handle>) {
        // Set once, right after it was made.
        let _ = self.handle.set(Arc::downgrade(handle));
    }

    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Tells the state, if it comes from the current link and nothing more important was told.
    pub(crate) fn tell(&self, from: LinkNumber, state: State) {
        self.tell_within(&self.lock(), from, state);
    }

    /// The same for who holds the lock already.
    pub(crate) fn tell_within(&self, inside: &Inside, from: LinkNumber, state: State) {
        let current = inside.links.last().is_some_and(|link| link.number == from);
        if current && !inside.draining && inside.closed.is_none() {
            self.state.send_replace(state);
        }
    }

    /// From now on the state is that of a client that leaves.
    pub(crate) fn begin_draining(&self) {
        self.lock().draining = true;
        self.state.send_if_modified(|state| {
            let open = !state.is_closed();
            if open {
                *state = State::Draining;
            }
            open
        });
    }

    /// Ends everything that still waits, for good. Links from which another has taken over finish what they have. The first reason counts.
    pub(crate) fn close(&self, why: Option<Error>) {
        self.close_within(&mut self.lock(), why);
        self.ring();
    }

    fn close_within(&self, inside: &mut Inside, why: Option<Error>) {
        if inside.closed.is_some() {
            return;
        }
        let asked_for = || Error::new(Code::Disconnected, Ran::No, "this client was closed by its program");
        let error = why.clone().unwrap_or_else(asked_for);
        for link in inside.links.iter_mut().filter(|link| link.order != Order::Retire) {
            link.session.give_up(Code::Disconnected, error.message());
            link.order = Order::Stop;
            link.rouse();
            inside.services.cut_off(Some(link.number));
        }
        inside.services.give_up(&error);
        inside.book.give_up(&error, why.is_some());
        inside.closed = Some(error);
        self.state.send_replace(State::Closed { why });
    }

    /// A link's task has ended, and with it the link. The client ends with its last link.
    pub(crate) fn ended(&self, number: LinkNumber) {
        let mut inside = self.lock();
        if let Some(at) = inside.links.iter().position(|link| link.number == number) {
            let mut link = inside.links.remove(at);
            link.session.give_up(Code::Disconnected, "the connection of this client was given up");
        }
        inside.services.cut_off(Some(number));
        inside.settle_endings();
        if inside.links.is_empty() {
            self.close_within(&mut inside, None);
        }
        drop(inside);
        self.ring();
    }

    /// Waits until a server has let the client in, or the client has given up.
    pub(crate) async fn connected(&self) -> Result<(), Error> {
        let mut watch = self.watch();
        loop {
            match &*watch.borrow_and_update() {
                State::Connected { .. } => return Ok(()),
                State::Closed { why: Some(why) } => return Err(why.clone()),
                State::Closed { why: None } => {
                    return Err(Error::new(Code::Disconnected, Ran::No, "the client was closed"));
                }
                _ => {}
            }
            // The sender lives in `self`.
            let _ = watch.changed().await;
        }
    }
}

/// The inside, while the lock is held. After it, tasks that were roused wake, since they want it first thing; and what a user's closures own is dropped: they may
/// own a client, whose end wants it, too.
pub(crate) struct Locked<'a> {
    /// There until this is dropped.
    inside: Option<MutexGuard<'a, Inside>>,
}

impl Deref for Locked<'_> {
    type Target = Inside;

    fn deref(&self) -> &Inside {
        match &self.inside {
            Some(inside) => inside,
            None => unreachable!("a lock that was given back is not used"),
        }
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Inside {
        match &mut self.inside {
            Some(inside) => inside,
            None => unreachable!("a lock that was given back is not used"),
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let Some(mut inside) = self.inside.take() else { return };
        let ended = inside.services.take_ended();
        let roused: Vec<Waker> = inside.links.iter_mut().filter_map(Link::take_roused).collect();
        drop(inside);
        drop(ended);
        roused.into_iter().for_each(Waker::wake);
    }
}

fn no_randomness(error: &getrandom::Error) -> Error {
    Error::new(Code::Unavailable, Ran::No, format!("the system has no random numbers for a session: {error}"))
}
