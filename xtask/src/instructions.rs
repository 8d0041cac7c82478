//! `cargo xtask instructions`: how many instructions a call takes in the core and the codec, against the record in
//! `benches/instructions.txt`. The programs are `benches/instructions`; valgrind counts.
//!
//! Time on a machine that others use says little about a few percent; instructions are the same each time. They do depend on the
//! compiler and a little on the processor, which the C library looks at, so the record says for which compiler it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const RECORD: &str = "benches/instructions.txt";

/// What is done in the first run, and twice as often in the second: the difference is without what it takes to begin.
const COUNT: u64 = 2_048;

/// A growth beyond this is not taken without a word: the record is changed on purpose or the code is.
const GROWTH_MAX: f64 = 0.05;

/// Compares with the record; `write` makes it the record. Without valgrind nothing is counted, and that is said.
pub(crate) fn check(root: &Path, write: bool) -> bool {
    if run(Command::new("valgrind").arg("--version")).is_none() {
        println!("valgrind is not installed, instructions are not counted: apt-get install valgrind");
        return !write;
    }
    let Some(counted) = count_all(root) else { return false };
    if write {
        return record(root, &counted);
    }
    let text = fs::read_to_string(root.join(RECORD)).unwrap_or_default();
    let breaches = breaches(&recorded(&text), &counted);
    for breach in &breaches {
        eprintln!("{breach}");
    }
    if !breaches.is_empty() {
        eprintln!("if that is wanted: `cargo xtask instructions record`, and say why where it is committed");
    }
    breaches.is_empty()
}

type Counted = Vec<(String, f64)>;

fn count_all(root: &Path) -> Option<Counted> {
    let build = ["build", "--release", "--package", "answerback-instructions", "--locked"];
    if !Command::new(env!("CARGO")).args(build).current_dir(root).status().is_ok_and(|status| status.success()) {
        return None;
    }
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let program = folder.join("release/answerback-instructions");
    let names = run(&mut Command::new(&program))?.0;
    let mut counted = Vec::new();
    for name in names.lines() {
        let (one, two) = (count(&program, name, COUNT)?, count(&program, name, 2 * COUNT)?);
        let each = two.saturating_sub(one) as f64 / COUNT as f64;
        println!("{name:<26} {each:>9.0}");
        counted.push((name.to_owned(), each));
    }
    Some(counted)
}

/// Instructions of one run.
fn count(program: &Path, name: &str, count: u64) -> Option<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).arg(name).arg(count.to_string());
    let said = run(&mut command)?.1;
    let collected = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    if collected.is_none() {
        eprintln!("{name}: valgrind gave no count");
    }
    collected
}

/// What a command said on both outputs, if it ended well.
fn run(command: &mut Command) -> Option<(String, String)> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() {
        return Some((out, err));
    }
    eprint!("{err}");
    None
}

fn record(root: &Path, counted: &Counted) -> bool {
    let compiler = run(Command::new("rustc").arg("--version")).map_or(String::new(), |(out, _)| out);
    let mut text = format!(
        "# Instructions for each call, frame or record; `cargo xtask instructions` compares, `cargo xtask instructions record` writes.\n# {compiler}",
    );
    for (name, each) in counted {
        text += &format!("{name:<26} {each:>9.0}\n");
    }
    fs::write(root.join(RECORD), text).is_ok()
}

fn recorded(text: &str) -> Counted {
    let line = |line: &str| {
        let (name, each) = line.split_once(' ')?;
        Some((name.to_owned(), each.trim().parse().ok()?))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(line).collect()
}

fn breaches(recorded: &Counted, counted: &Counted) -> Vec<String> {
    let mut breaches = Vec::new();
    for (name, each) in counted {
        match recorded.iter().find(|(known, _)| known == name) {
            None => breaches.push(format!("{RECORD}: has no {name}")),
            Some((_, before)) if *each > before * (1.0 + GROWTH_MAX) => {
                let growth = 100.0 * (each / before - 1.0);
                breaches.push(format!("{name}: {each:.0} instructions instead of {before:.0}, {growth:.1} % more"));
            }
            Some(_) => {}
        }
    }
    for (name, _) in recorded.iter().filter(|(name, _)| counted.iter().all(|(known, _)| known != name)) {
        breaches.push(format!("{RECORD}: {name} is no longer counted"));
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_growth_beyond_the_limit_is_a_breach() {
        let before = recorded("# head\na    100\nb 1000\n");
        assert_eq!(before, [("a".to_owned(), 100.0), ("b".to_owned(), 1_000.0)]);
        let counted = |a: f64, b: f64| vec![("a".to_owned(), a), ("b".to_owned(), b)];
        assert_eq!(breaches(&before, &counted(105.0, 1.0)).len(), 0);
        assert_eq!(breaches(&before, &counted(106.0, 1_000.0)).len(), 1);
        assert_eq!(breaches(&before, &counted(100.0, 1_000.0)[..1].to_vec()).len(), 1);
        assert_eq!(breaches(&before[..1].to_vec(), &counted(100.0, 1_000.0)).len(), 1);
    }
}
