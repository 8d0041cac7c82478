//! What a person sees first: where the balancer listens, who is behind it, and what to type next.

use crate::pool::Spec;
use crate::settings::Settings;
use answerback_process::units::print_duration;
use std::fmt::Write;
use std::net::SocketAddr;

/// Backends that are named; the rest is counted.
const NAMED: usize = 4;

/// The banner, as lines of text.
pub(crate) fn banner(settings: &Settings, backends: &[Spec], address: SocketAddr, admin: Option<SocketAddr>) -> String {
    let mut text = format!("\nanswerback-balancer {}\n\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<9} {value}");
    };
    let admin = admin.map(|address| format!("http://{address}/backends"));
    line("listen", &address.to_string());
    line("admin", admin.as_deref().unwrap_or("off"));
    let names: Vec<_> = backends.iter().take(NAMED).map(|spec| &*spec.name).collect();
    let more = backends.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    line("backends", &format!("{}{more}", names.join(", ")));
    line("try", &format!("answerback serve hello --echo --server {address}"));
    let deadline = print_duration(settings.drain_deadline);
    line("stop", &format!("Ctrl-C: connections may end within {deadline}; again: at once"));
    text.push('\n');
    text
}
