//! Rules of the house that neither the compiler nor clippy knows: how long files are, which way the arrows point, that
//! nothing is left for later.

use crate::named_tests;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file of code at most; about 500 is what a file should have.
const LINES_MAX: usize = 600;

/// Which of the house's crates a crate may use. Arrows only point down.
const MAY_USE: &[(&str, &[&str])] = &[
    ("process", &[]),
    ("protocol", &[]),
    // It opens no frame and holds no key.
    ("balancer", &["answerback-process"]),
    ("keys", &["answerback-protocol"]),
    ("broker", &["answerback-protocol"]),
    ("store", &["answerback-protocol", "answerback-broker"]),
    // It knows the client for `embedded` alone, where each process is a client and one of them the server too.
    (
        "server",
        &[
            "answerback",
            "answerback-process",
            "answerback-protocol",
            "answerback-broker",
            "answerback-keys",
            "answerback-store",
        ],
    ),
    ("client", &["answerback-protocol", "answerback-keys"]),
    ("testing", &["answerback", "answerback-protocol", "answerback-broker", "answerback-server"]),
    ("examples", &["answerback"]),
    ("cli", &["answerback", "answerback-broker", "answerback-keys", "answerback-store"]),
    ("xtask", &[]),
];

/// Crates that the pure crates must not use, whatever for.
const IMPURE: &[&str] = &["tokio", "mio", "getrandom", "rand", "sled", "tracing"];

/// Words that mean that something was left for later. Written apart, so that this file does not hold them.
const LEFT: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimple", "mented!(")];

/// Checks all rules and prints every breach.
pub(crate) fn check(root: &Path) -> bool {
    let mut breaches = Vec::new();
    for file in files(root, "rs") {
        check_file(root, &file, &mut breaches);
    }
    for (name, allowed) in MAY_USE {
        check_manifest(&root.join(name).join("Cargo.toml"), name, allowed, &mut breaches);
    }
    named_tests::check(root, &mut breaches);
    for breach in &breaches {
        println!("{breach}");
    }
    breaches.is_empty()
}

fn check_file(root: &Path, file: &Path, breaches: &mut Vec<String>) {
    let name = file.strip_prefix(root).unwrap_or(file).display();
    let Ok(text) = fs::read_to_string(file) else { return breaches.push(format!("{name}: cannot be read")) };
    let lines = text.lines().count();
    if lines > LINES_MAX {
        breaches.push(format!("{name}: {lines} lines, the most is {LINES_MAX}: a house that wants rooms"));
    }
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if !first.starts_with("//!") {
        breaches.push(format!("{name}: the first line must say what this is (`//! …`)"));
    }
    for (number, line) in text.lines().enumerate() {
        if let Some(word) = LEFT.iter().find(|word| line.contains(**word)) {
            breaches.push(format!("{name}:{}: `{word}` leaves something for later", number + 1));
        }
    }
}

/// Looks at `[dependencies]` only: tests may use what they like.
fn check_manifest(manifest: &Path, name: &str, allowed: &[&str], breaches: &mut Vec<String>) {
    let Ok(text) = fs::read_to_string(manifest) else { return breaches.push(format!("{name}: no Cargo.toml")) };
    let section = text.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    for line in section.lines() {
        let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
        let own = dependency.starts_with("answerback");
        if own && !allowed.contains(&dependency) {
            breaches.push(format!("{name}/Cargo.toml: must not know {dependency}: arrows only point down"));
        }
        if matches!(name, "protocol" | "broker") && IMPURE.contains(&dependency) {
            breaches.push(format!("{name}/Cargo.toml: {dependency} has no place in a pure crate"));
        }
    }
}

/// All files with this ending, in order, but for what is built.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                found.extend(files(&path, ending));
            }
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}
