//! Counts the system calls of a process, by `strace`. Each of them costs the process two stops, so a visit that is traced tells
//! how many there are and nothing else.

use crate::Outcome;
use crate::folder::Folder;
use crate::process::Owned;
use std::process::Command;

/// A strace that is attached.
pub(super) struct Tracer {
    strace: Owned,
    folder: Folder,
}

/// Where it leaves its summary.
const SUMMARY: &str = "summary";

impl Tracer {
    /// Attaches to all threads of a process, and waits until it is.
    pub(super) fn attach(process: u32) -> Outcome<Self> {
        let folder = Folder::new()?;
        let mut command = Command::new("strace");
        command.args(["-c", "-f", "-o"]).arg(folder.path().join(SUMMARY)).arg("-p").arg(process.to_string());
        let (strace, ()) = Owned::start_by_error(&mut command, |line| line.contains("attached").then_some(()))?;
        Ok(Self { strace, folder })
    }

    /// Detaches, and gives the number of system calls.
    pub(super) fn end(mut self) -> Outcome<u64> {
        self.strace.ask_to_leave();
        let summary = std::fs::read_to_string(self.folder.path().join(SUMMARY))?;
        total(&summary).ok_or_else(|| "strace gave no total".into())
    }
}

/// The calls in the last line: `100.00 SECONDS [USECS/CALL] CALLS [ERRORS] total`. What stands between depends on the version.
fn total(summary: &str) -> Option<u64> {
    let head = summary.lines().find(|line| line.contains("calls"))?;
    let line = summary.lines().rfind(|line| line.trim_end().ends_with("total"))?;
    // Figures stand right-aligned below their heads.
    let end = head.find("calls")? + "calls".len();
    line.get(..end)?.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_figure_below_calls() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           1       600           read
 40.00    0.000400           1       400        20 write
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           1      1000        20 total
";
        assert_eq!(total(summary), Some(1_000));
        assert_eq!(total(""), None);
    }
}
