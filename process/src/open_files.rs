//! How many files a process may have open, and so how many connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process needs its files for.
#[derive(Debug, Clone, Copy)]
pub struct Files {
    /// For each connection.
    pub each: usize,
    /// For everything else.
    pub others: usize,
}

impl Files {
    /// Raises the limit of open files as far as is allowed, and returns how many of the wanted connections fit below it.
    pub fn make_room_for(self, wanted: usize) -> usize {
        let files = self.each * wanted + self.others;
        let limit = getrlimit(Resource::Nofile);
        let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= files as u64);
        if enough(limit.current) {
            return wanted;
        }
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        let allowed = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
        if enough(allowed) {
            return wanted;
        }
        let allowed = usize::try_from(allowed.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let fits = self.connections_below(allowed).min(wanted);
        tracing::warn!(
            open_files = allowed,
            wanted,
            max_connections = fits,
            "fewer connections than --max-connections fit into the limit of open files; raise it (ulimit -n {files})"
        );
        fits
    }

    /// Connections that fit beside everything else; at least one, for then the error says what is short.
    fn connections_below(self, open_files: usize) -> usize {
        (open_files.saturating_sub(self.others) / self.each).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_kept_free() {
        let files = Files { each: 1, others: 128 };
        assert_eq!(files.connections_below(1024), 1024 - 128);
        assert_eq!(files.connections_below(100), 1);
        assert_eq!(files.make_room_for(10), 10);
        assert_eq!(Files { each: 2, others: 256 }.connections_below(1024), 384);
    }
}
