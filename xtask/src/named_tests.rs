//! Whether the tests that a document names are there. A promise in `docs/DURABILITY.md` has a test that shows it, and a test that was
//! renamed or removed must not leave the promise without one.

use std::fs;
use std::path::Path;

/// Documents that name tests, and how many they name at least: a document whose form has changed must not pass unread.
const DOCUMENTS: [(&str, usize); 1] = [("docs/DURABILITY.md", 40)];

/// Adds a line for each test that is named and not there.
pub(crate) fn check(root: &Path, breaches: &mut Vec<String>) {
    for (document, least) in DOCUMENTS {
        let Ok(text) = fs::read_to_string(root.join(document)) else {
            breaches.push(format!("{document}: cannot be read"));
            continue;
        };
        let tests = named(&text);
        if tests.len() < least {
            breaches.push(format!("{document}: names {} tests as `file.rs::test`, it should be {least}", tests.len()));
        }
        for (file, test) in tests {
            let code = fs::read_to_string(root.join(file)).unwrap_or_default();
            if !has_test(&code, test) {
                breaches.push(format!("{document}: there is no test `{test}` in {file}"));
            }
        }
    }
}

/// All `path/file.rs::name` in a text.
fn named(text: &str) -> Vec<(&str, &str)> {
    let words = text.split('`').skip(1).step_by(2);
    words.filter_map(|word| word.split_once("::")).filter(|(file, _)| file.ends_with(".rs")).collect()
}

/// Whether there is a function of this name, and an attribute above it that makes it a test.
fn has_test(code: &str, name: &str) -> bool {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let is_it =
        |line: &str| line.trim_start_matches("async ").strip_prefix("fn ").is_some_and(|rest| begins(rest, name));
    let Some(at) = lines.iter().position(|line| is_it(line)) else { return false };
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    above.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
}

fn begins(rest: &str, name: &str) -> bool {
    rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('('))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_by_their_attribute() {
        let code = "#[test]\nfn one() {}\n\n    /// Why.\n    #[tokio::test(flavor = \"x\")]\n    async fn two() {}\nfn three() {}\n";
        let there = ["one", "two", "three", "on", "four"].map(|name| has_test(code, name));
        assert_eq!(there, [true, true, false, false, false]);
    }

    #[test]
    fn only_files_of_code_count_as_named() {
        let text = "see `a/b.rs::c`, `Store::open` and `d.rs`; `e.rs::f`";
        assert_eq!(named(text), [("a/b.rs", "c"), ("e.rs", "f")]);
    }
}
