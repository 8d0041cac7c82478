//! What the kernel says about a process: time on a processor, context switches, memory.

use crate::Outcome;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a process has used since it began, and holds now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Seconds on a processor, in user space and in the kernel. The kernel counts in hundredths.
    pub(crate) cpu_seconds: f64,
    /// Context switches of all its threads, wanted and unwanted.
    pub(crate) switches: u64,
    /// Bytes resident.
    pub(crate) resident_bytes: u64,
    /// The most bytes that have been resident.
    pub(crate) peak_bytes: u64,
    /// How often disks were told to make what they have permanent: by anybody on this machine, so keep it quiet.
    pub(crate) disk_flushes: u64,
}

/// What process `id` uses.
pub(crate) fn usage(id: u32) -> Outcome<Usage> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name of the program stands in brackets and may hold blanks; utime and stime are the 12th and 13th after it.
    let after_name = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name in it")?.1;
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let resident_bytes =
        number_in(&format!("/proc/{id}/status"), "VmRSS:").ok_or("/proc/PID/status has no VmRSS")? << 10;
    let cpu_seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    Ok(Usage {
        cpu_seconds,
        switches: switches(id)?,
        resident_bytes,
        peak_bytes: peak_bytes(id)?,
        disk_flushes: disk_flushes(),
    })
}

/// The most bytes of process `id` that have been resident.
pub(crate) fn peak_bytes(id: u32) -> Outcome<u64> {
    let kib = number_in(&format!("/proc/{id}/status"), "VmHWM:").ok_or("/proc/PID/status has no VmHWM")?;
    Ok(kib << 10)
}

/// Bytes of this process that are resident.
pub(crate) fn own_resident_bytes() -> Outcome<u64> {
    usage(std::process::id()).map(|usage| usage.resident_bytes)
}

fn switches(id: u32) -> Outcome<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{id}/task"))? {
        let status = task?.path().join("status").to_string_lossy().into_owned();
        for name in ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"] {
            sum += number_in(&status, name).unwrap_or(0);
        }
    }
    Ok(sum)
}

/// The 16th figure behind the name of each disk; kernels before 5.5 do not have it.
fn disk_flushes() -> u64 {
    let disks = fs::read_to_string("/proc/diskstats").unwrap_or_default();
    disks.lines().filter_map(|line| line.split_whitespace().nth(18)?.parse::<u64>().ok()).sum()
}

fn number_in(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Lets this process, and those it starts, open as many sockets as the machine allows. Fails if that is fewer than `least`.
pub(crate) fn allow_sockets(least: u64) -> Outcome<()> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(1 << 20);
    if most < least {
        return Err(format!("{least} open files are needed and the machine allows {most}; see `ulimit -Hn`").into());
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum })?;
    Ok(())
}

/// A process of ours, ended when this is dropped.
pub(crate) struct Owned {
    child: Child,
}

impl Owned {
    /// Starts `command` and waits for the line of its output in which `find` finds what it looks for.
    pub(crate) fn start<T>(command: &mut Command, find: impl Fn(&str) -> Option<T>) -> Outcome<(Self, T)> {
        let mut owned = Self::spawn(command.stdout(Stdio::piped()))?;
        let output = owned.child.stdout.take().ok_or("the child's output is not piped")?;
        owned.wait_for_line(output, find)
    }

    /// The same for a program that says it on standard error.
    pub(crate) fn start_by_error<T>(command: &mut Command, find: impl Fn(&str) -> Option<T>) -> Outcome<(Self, T)> {
        let mut owned = Self::spawn(command.stderr(Stdio::piped()))?;
        let output = owned.child.stderr.take().ok_or("the child's errors are not piped")?;
        owned.wait_for_line(output, find)
    }

    /// Starts one that says nothing.
    pub(crate) fn quietly(command: &mut Command) -> Outcome<Self> {
        Self::spawn(command)
    }

    /// Asks it to leave; it is killed if it has not when this is dropped.
    pub(crate) fn ask_to_leave(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let end = Instant::now() + Duration::from_secs(1);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn spawn(command: &mut Command) -> Outcome<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::piped()).spawn();
        Ok(Self { child: child.map_err(|error| format!("cannot start {program}: {error}"))? })
    }

    fn wait_for_line<T>(
        self,
        output: impl Read + Send + 'static,
        find: impl Fn(&str) -> Option<T>,
    ) -> Outcome<(Self, T)> {
        let mut lines = BufReader::new(output).lines();
        let mut said = String::new();
        while let Some(line) = lines.next() {
            let line = line?;
            if let Some(found) = find(&line) {
                // The pipe is read to its end, so that the child never waits for us.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok((self, found));
            }
            said = line;
        }
        Err(format!("a program ended without saying where it listens; its last words: {said}").into())
    }

    /// Asks it to leave and waits until it has, for so long at most.
    pub(crate) fn leave(mut self, within: Duration) -> Outcome<()> {
        let id = Pid::from_child(&self.child);
        kill_process(id, Signal::TERM)?;
        let end = Instant::now() + within;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("it left with {status}").into()),
                None if Instant::now() > end => return Err("it does not leave".into()),
                None => std::thread::park_timeout(Duration::from_millis(5)),
            }
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Both fail only if the process has ended by itself, and then there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
