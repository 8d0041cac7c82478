//! The JSON of a head: read strictly and without copying, written without intermediate values.
//!
//! Why not serde_json here: a head must be refused for twins at any place, for a fifth level of nesting and for too
//! many members, which serde's derive cannot see in members it ignores. It also takes about two thirds of the time of a
//! serde enum that finds its kind by `type`: 145 against 210 ns for a typical request (`cargo run --release -p
//! answerback-benches -- codec`). A test holds the two against each other on generated heads, so that they never
//! disagree on what is JSON.

mod members;
mod scanner;
mod writer;

pub(crate) use members::{Members, required, salvage_id};
pub(crate) use writer::HeadWriter;
