//! Where the server's program is.

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The server's program. A run of all tests has built it already, and cargo only says where it is; a run of this package
/// alone has not.
pub(crate) fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build("answerback-server")).clone()
}

/// Builds a program of this workspace, if it is not built already, and says where it is.
pub(crate) fn build(name: &str) -> PathBuf {
    let profile = if cfg!(debug_assertions) { "test" } else { "release" };
    let output = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--workspace", "--bin", name, "--message-format", "json"])
        .args(["--profile", profile])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "cannot build {name}: {}", String::from_utf8_lossy(&output.stderr));
    let messages = output.stdout.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let mut built = messages.filter_map(|message: Value| Some(PathBuf::from(message["executable"].as_str()?)));
    built.next().expect("cargo says what it has built")
}
