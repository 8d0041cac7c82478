//! Results as files.

use crate::Outcome;
use serde_json::Value;
use std::path::Path;

/// Writes `value` to `file`, readable.
pub(crate) fn write_json(file: &Path, value: &Value) -> Outcome<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    write(file, &text)
}

/// Writes a text to `file`.
pub(crate) fn write(file: &Path, text: &str) -> Outcome<()> {
    std::fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    eprintln!("wrote {}", file.display());
    Ok(())
}
