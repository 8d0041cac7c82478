//! The pure half of the client: what it says and hears on one session with one server. No socket, no clock, no task: frames
//! and times go in, bytes and [`Event`]s come out, and the same goes in, the same comes out.
//!
//! ```text
//!  Client, Context      ask, cancel, serve, answer, release         what the application wants
//!        │
//!        ▼
//!     Session ◄── handle(now, frame) ◄── bytes read ◄─┐
//!        │                                            │   connection: one task that owns the socket
//!        ├──────► transmit(now, out) ──► bytes written┘
//!        ├──────► Caller::part, Caller::end               answers go straight to who waits for them
//!        └──────► next_event()                            deliveries and what happens to the connection
//! ```
//!
//! The life of a call here, from [`Session::ask`] to [`Caller::end`], which comes exactly once:
//!
//! ```text
//!            over a limit, ttl 0 and no connection
//!   ask ─────────────────────────────► refused (ran: no)
//!    │
//!    ▼             written to a connection               reply, or accepted
//!  UNSAID ───────────────────────────► SAID ───────────────────────► ended
//!    │ ▲                               │  │ └─ its time, and a little more, is up ──► timeout (ran: maybe)
//!    │ └── draining; or the session is │  └─ caller dropped it ─► CANCELLING ─ reply ─► gone
//!    │     lost and attempts are left ─┘                             (said again on every new connection)
//!    ├── ttl or deadline ─► expired, timeout (ran: no)
//!    ├── caller dropped it ─► gone
//!    └── taken over by the session with another server (`take_unsaid`)
//! ```
//!
//! When a connection breaks, the session stays. Bytes that were written may not have arrived, so on the next connection everything is
//! said again, in the order of PROTOCOL's chapter on resuming. If the server does not know the session any more, a call that was said may have
//! run: it is announced again only if `attempts` allow one more handler, else it ends as `disconnected` (ran: maybe).

pub(crate) mod words;

pub(crate) use words::{Ask, Broken, Caller, Counts, Delivery, Ending, Event, Identity, Info, Limits, Part, Verdict};
