//! How the process ends, as a number that supervisors and scripts can act on.

use std::process::ExitCode;

/// Why the process ends. The numbers are promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well: it was asked to leave and everything could finish, or it only said something about itself.
    Ok = 0,
    /// Something went wrong while starting or running.
    Runtime = 1,
    /// The command line is not understood.
    Usage = 2,
    /// The drain deadline passed before everything had finished.
    DrainDeadline = 5,
    /// The settings cannot work. 78 is `EX_CONFIG`: starting again would change nothing.
    Configuration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
