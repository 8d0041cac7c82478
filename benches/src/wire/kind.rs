//! The systems that take turns: which there are, and whether they are installed here.

use super::ServerArguments;
use super::answerback::Answerback;
use super::peers::gearman::Gearman;
use super::peers::nats::Nats;
use super::relay::Relay;
use super::sealed::Sealed;
use super::system::System;
use crate::Outcome;
use crate::durable::redis::Redis;
use crate::durable::{What, version_of};
use std::path::PathBuf;

/// The systems that can be measured. A further one is a name here, a line in `system` and a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The server of this repository
    Answerback,
    /// The same, its connections sealed
    AnswerbackSealed,
    /// Forwards bytes and reads none: the limit
    Relay,
    /// nats-server: subjects, a queue group, an inbox for each requester
    Nats,
    /// Redis: lists, a list of answers for each requester; nothing on disk
    Redis,
    /// gearmand: jobs, one grab at a time for each worker
    Gearmand,
    /// gearmand: jobs, 16 grabs under way at once for each worker
    Gearmand16,
}

/// The programs of other brokers.
#[derive(clap::Args, Clone)]
pub(crate) struct Programs {
    /// The program of NATS
    #[arg(long, default_value = "nats-server")]
    pub(crate) nats_server: PathBuf,
    /// The program of Redis, version 7 or later
    #[arg(long, default_value = "redis-server")]
    pub(crate) redis_server: PathBuf,
    /// The program of gearmand
    #[arg(long, default_value = "gearmand")]
    pub(crate) gearmand: PathBuf,
}

impl Kind {
    /// Ours, the limit, and the peers.
    pub(crate) const COMPARED: [Self; 6] =
        [Self::Answerback, Self::Relay, Self::Nats, Self::Redis, Self::Gearmand, Self::Gearmand16];

    /// Its version if it is a program of somebody else, or why it cannot be measured here and what to do about it.
    pub(crate) fn version(self, programs: &Programs) -> Result<Option<String>, String> {
        let (program, package, flag) = match self {
            Self::Answerback | Self::AnswerbackSealed | Self::Relay => return Ok(None),
            Self::Nats => (&programs.nats_server, "nats-server", "--nats-server"),
            Self::Redis => (&programs.redis_server, "redis-server", "--redis-server"),
            Self::Gearmand | Self::Gearmand16 => (&programs.gearmand, "gearman-job-server", "--gearmand"),
        };
        let missing = || format!("{self:?} is left out: apt-get install {package}, or name a program with {flag}");
        version_of(program).filter(|line| !line.is_empty()).map(Some).ok_or_else(missing)
    }

    /// The system itself.
    pub(crate) fn system(
        self,
        server: &ServerArguments,
        programs: &Programs,
        connections: usize,
    ) -> Outcome<Box<dyn System>> {
        let gearman = |grabs| Box::new(Gearman { program: programs.gearmand.clone(), grabs });
        Ok(match self {
            Self::Answerback => Box::new(Answerback::new(server, connections)?),
            Self::AnswerbackSealed => Box::new(Sealed(Answerback::new(server, connections)?)),
            Self::Relay => Box::new(Relay),
            Self::Nats => Box::new(Nats { program: programs.nats_server.clone() }),
            Self::Redis => {
                let program = programs.redis_server.clone();
                Box::new(Redis { program, what: What::Call, stream: false, on_disk: false })
            }
            Self::Gearmand => gearman(1),
            Self::Gearmand16 => gearman(16),
        })
    }
}

/// Those of `asked` that are there, and what versions they are. Says of the others why they are left out.
pub(crate) fn installed(asked: &[Kind], programs: &Programs) -> (Vec<Kind>, Vec<String>) {
    let (mut kinds, mut versions) = (Vec::new(), Vec::new());
    for &kind in asked {
        match kind.version(programs) {
            Ok(version) => {
                kinds.push(kind);
                versions.extend(version.filter(|version| !versions.contains(version)));
            }
            Err(why) => eprintln!("{why}"),
        }
    }
    (kinds, versions)
}
