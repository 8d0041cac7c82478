//! What a person sees first: where the server listens, and what to type next.

use answerback_keys::RingSource;
use answerback_server::units::print_duration;
use answerback_server::{Keys, Peer, Running, Settings};
use std::fmt::Write;

/// The banner, as lines of text.
pub(crate) fn banner(settings: &Settings, running: &Running) -> String {
    let mut text = format!("\nanswerback-server {} · {}\n\n", env!("CARGO_PKG_VERSION"), settings.broker.server);
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<8} {value}");
    };
    let admin = running.admin_address().map(|address| format!("http://{address}"));
    line("listen", &running.address().to_string());
    line("admin", admin.as_deref().unwrap_or("off"));
    line("keys", &keys(settings.keys.as_ref()));
    if let Some(tls) = &settings.tls {
        line(
            "tls",
            if tls.asks_clients() {
                "1.3, on the same port; clients may show certificates"
            } else {
                "1.3, on the same port"
            },
        );
    }
    if !settings.peers.is_empty() {
        let peers: Vec<_> = settings.peers.iter().map(peer).collect();
        line("peers", &peers.join(", "));
    }
    line("data", &running.data_dir().display().to_string());
    line("try", &serve_command(&running.address().to_string(), settings.keys.as_ref()));
    let deadline = print_duration(settings.drain_deadline);
    line("stop", &format!("Ctrl-C: running work may finish within {deadline}; again: at once"));
    text.push('\n');
    text
}

/// A server that is dialed.
fn peer(peer: &Peer) -> String {
    format!("{}{}", peer.address(), if peer.is_sealed() { "" } else { " (no key)" })
}

/// Who may come in.
fn keys(keys: Option<&Keys>) -> String {
    let Some(ring) = keys.map(Keys::ring) else {
        return "none: whoever reaches this address may do everything".to_owned();
    };
    let count = |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    format!("{} of {}", count(ring.key_count(), "key"), count(ring.holders().len(), "holder"))
}

/// What to type in another terminal. The tool finds a server at the usual address by itself, and its key in the same variable.
fn serve_command(address: &str, keys: Option<&Keys>) -> String {
    let usual = Settings::default().listen.to_string();
    let server = if address == usual { String::new() } else { format!(" --server {address}") };
    let key = match keys.and_then(Keys::source) {
        None if keys.is_none() => String::new(),
        Some(RingSource::One(source)) => {
            source.path().map(|path| format!(" --key-file {}", path.display())).unwrap_or_default()
        }
        _ => " --key-file FILE".to_owned(),
    };
    format!("answerback serve hello --echo{server}{key}")
}
