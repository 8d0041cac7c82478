//! What a person sees first: where the server listens, and what to type next.

use answerback_server::units::print_duration;
use answerback_server::{Running, Settings};
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
    line("data", &running.data_dir().display().to_string());
    line("try", &serve_command(&running.address().to_string()));
    let deadline = print_duration(settings.drain_deadline);
    line("stop", &format!("Ctrl-C: running work may finish within {deadline}; again: at once"));
    text.push('\n');
    text
}

/// What to type in another terminal. The tool finds a server at the usual address by itself.
fn serve_command(address: &str) -> String {
    let usual = Settings::default().listen.to_string();
    let server = if address == usual { String::new() } else { format!(" --server {address}") };
    format!("answerback serve hello --echo{server}")
}
