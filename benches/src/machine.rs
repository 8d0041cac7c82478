//! The machine and the command, for the head of every report: figures without them say nothing.

use std::fs;

/// Two lines: what was run, and on what.
pub(crate) fn headline() -> String {
    format!("command  {}\nmachine  {}", command(), description())
}

/// The command, without the folder the program lies in.
pub(crate) fn command() -> String {
    let arguments = std::env::args().skip(1);
    std::iter::once("answerback-benches".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Cores, processor, memory and kernel.
pub(crate) fn description() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.trim_end_matches(" kB").trim().parse::<u64>().ok())
        .map_or(String::new(), |kib| format!(", {} GiB", (kib + (1 << 19)) >> 20));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or(String::new(), |release| format!(", Linux {}", release.trim()));
    format!("{cores} cores, {processor}{memory}{kernel}")
}

/// What the machine had to do in the last minute, in processors; 0 if it is not told.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
