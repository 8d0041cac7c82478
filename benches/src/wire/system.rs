//! What a system under test is: something that can be started, and to which clients can be connected.
//!
//! A further system is one file with a `System` and a `Dialect`, with a name in `wire::Kind`.

use super::dialect::Dialect;
use super::shape::Shape;
use crate::Outcome;
use std::net::TcpStream;

/// A system that can be measured.
pub(crate) trait System {
    /// Its name in tables.
    fn name(&self) -> &'static str;

    /// Starts it for one visit. It ends when what is returned is dropped.
    fn start(&self) -> Outcome<Box<dyn Running>>;
}

/// A system that runs.
pub(crate) trait Running: Sync {
    /// Its process, if it is known, for processor time and memory.
    fn process(&self) -> Option<u32>;

    /// How many responder connections this shape takes.
    fn responders(&self, shape: Shape) -> usize {
        shape.responders
    }

    /// A connection that is ready for `role`: greeted, and for a responder serving.
    fn open(&self, role: Role) -> Outcome<Opened>;
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It calls.
    Requester,
    /// It answers.
    Responder,
    /// It is only there.
    Idle,
}

/// A connection and the language spoken on it.
pub(crate) type Opened = (TcpStream, Box<dyn Dialect>);
