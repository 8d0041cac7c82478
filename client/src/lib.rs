//! Call and serve named actions through an Answerback broker.

mod error;
mod fault;
#[allow(dead_code, unused_imports)]
mod session;

pub use answerback_protocol::{Code, Ran};
pub use error::Error;
pub use fault::Fault;
