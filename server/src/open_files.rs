//! How many files this process may have open, and so how many connections.

use crate::data_plane::TURNED_AWAY_MAX;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are not connections of clients: the listeners, the log, the data directory, admin pages, libraries.
const OTHER_FILES: usize = 64;

/// Raises the limit of open files as far as is allowed, and returns how many of the wanted connections fit below it.
pub(crate) fn make_room_for(wanted: usize) -> usize {
    let files = wanted + OTHER_FILES + TURNED_AWAY_MAX;
    let limit = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= files as u64);
    if enough(limit.current) {
        return wanted;
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    if enough(allowed) {
        return wanted;
    }
    let allowed = usize::try_from(allowed.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let fits = connections_below(allowed).min(wanted);
    tracing::warn!(
        open_files = allowed,
        wanted,
        max_connections = fits,
        "fewer connections than --max-connections fit into the limit of open files; raise it (ulimit -n {files})"
    );
    fits
}

/// Connections that fit beside everything else; at least one, for then the error says what is short.
fn connections_below(open_files: usize) -> usize {
    open_files.saturating_sub(OTHER_FILES + TURNED_AWAY_MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_kept_free() {
        assert_eq!(connections_below(1024), 1024 - 128);
        assert_eq!(connections_below(100), 1);
        assert_eq!(make_room_for(10), 10);
    }
}
