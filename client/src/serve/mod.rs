//! Serving: from a delivery to the handler and back.
//!
//! ```text
//!  delivery ──► Services::take ──► Work (a task of its own)
//!                                   │ a free slot, and the pace allows it
//!                        handed     ▼
//!               back ◄────────── UNSTARTED ──► STARTED: Handler::handle(Context, data)
//!                                               │   │        │
//!                                    answered ◄─┘   │        └─► panicked: a fault
//!                                                   └─ cancelled: dropped after its grace, a fault
//! ```

mod context;
mod control;
mod handler;
mod pace;
mod service;
mod services;
mod work;

pub use context::Context;
pub use handler::Handler;
pub use service::{Serve, Service};
pub(crate) use services::{Services, WorkCounts};
pub(crate) use work::Work;
