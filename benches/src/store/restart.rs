//! A server with a full queue is ended and started again, and then its queue is emptied.

use super::Arguments;
use super::server::{Server, Site};
use super::talk::Talk;
use crate::Outcome;
use crate::table::{Table, figures, grouped};
use crate::wire::shape;
use std::time::{Duration, Instant};

const ACTION: &str = "queued";

/// Deliveries that are held at once while the queue is emptied.
const CREDIT: u32 = 10_000;

/// How long disk and memory may take to get smaller after the queue is empty.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

/// How long a server may take to save or to load everything.
const LEAVES_WITHIN: Duration = Duration::from_secs(300);

/// How a life of a server ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    InOrder,
}

/// How long a server that has everything back is asked for small things before its memory is looked at: allocators give back what a start took when they are used.
const IN_USE: Duration = Duration::from_secs(2);

const COLUMNS: [&str; 10] = [
    "queue in",
    "ended",
    "sent/s",
    "disk MiB",
    "answers ms",
    "delivers ms",
    "has all ms",
    "peak MiB",
    "RSS MiB",
    "RSS / data",
];

const AFTERWARDS: [&str; 7] =
    ["queue in", "taken/s", "peak MiB", "RSS MiB at once", "RSS MiB", "disk MiB at once", "disk MiB"];

/// Both tables.
pub(super) fn measure(arguments: &Arguments) -> Outcome<String> {
    let count = arguments.count();
    let title = format!("{} sends of {} B, restarted", grouped(count as f64), arguments.size);
    let mut restarts = Table::new(title, 2, &COLUMNS);
    let floor = floor(arguments)?;
    let title = format!("emptied; an empty server has {} MiB resident and {} MiB on disk", mib(floor.0), mib(floor.1));
    let mut drains = Table::new(title, 1, &AFTERWARDS);
    for (durable, end) in [(true, End::Killed), (false, End::InOrder)] {
        let site = Site::new(arguments, "1s")?;
        let (server, cells) = restart(&site, arguments, durable, end)?;
        restarts.row(cells);
        drains.row(empty(&site, &server, count, durable)?);
    }
    Ok(format!("{restarts}{drains}"))
}

/// What an empty server takes: bytes resident and on disk.
fn floor(arguments: &Arguments) -> Outcome<(u64, u64)> {
    let site = Site::new(arguments, "1s")?;
    let server = site.start()?;
    server.talk("looker")?.requests()?;
    Ok((server.resident()?.0, site.disk_bytes()?))
}

fn place(durable: bool) -> String {
    if durable { "journal" } else { "snapshot" }.to_owned()
}

fn restart(site: &Site, arguments: &Arguments, durable: bool, end: End) -> Outcome<(Server, Vec<String>)> {
    let (count, data) = (arguments.count(), shape::data(arguments.size));
    let server = site.start()?;
    let begin = Instant::now();
    server.talk("publisher")?.send_many(ACTION, count, &data, durable)?;
    let sent_per_second = count as f64 / begin.elapsed().as_secs_f64();
    match end {
        End::InOrder => server.process.leave(LEAVES_WITHIN)?,
        End::Killed => drop(server),
    }
    let disk = site.disk_bytes()?;

    let server = site.start()?;
    let mut watcher = server.talk("watcher")?;
    let answers = server.begun.elapsed();
    let mut first = server.talk("first")?;
    first.serve(ACTION, 1)?;
    first.wait_for(1)?;
    let delivers = server.begun.elapsed();
    while watcher.requests()? < count {
        std::thread::park_timeout(Duration::from_millis(2));
        if server.begun.elapsed() > LEAVES_WITHIN {
            return Err(format!("only {} of {count} came back", watcher.requests()?).into());
        }
    }
    let has_all = server.begun.elapsed();
    let in_use_until = Instant::now() + IN_USE;
    while Instant::now() < in_use_until {
        watcher.requests()?;
    }
    let (resident, peak) = server.resident()?;
    let ms = |time: Duration| figures(time.as_secs_f64() * 1e3);
    let ended = if end == End::Killed { "kill -9" } else { "SIGTERM" };
    let cells = vec![
        place(durable),
        ended.to_owned(),
        grouped(sent_per_second),
        mib(disk),
        ms(answers),
        ms(delivers),
        ms(has_all),
        mib(peak),
        mib(resident),
        figures(resident as f64 / (count * arguments.size as u64) as f64),
    ];
    Ok((server, cells))
}

/// Takes all that is queued, and looks what is left of it.
fn empty(site: &Site, server: &Server, count: u64, durable: bool) -> Outcome<Vec<String>> {
    let begin = Instant::now();
    let mut handler = server.talk("handler")?;
    handler.serve(ACTION, CREDIT)?;
    take(&mut handler, count)?;
    let took = begin.elapsed();
    let at_once = (server.resident()?.0, site.disk_bytes()?);
    settle(site, &mut handler)?;
    let (resident, peak) = server.resident()?;
    Ok(vec![
        place(durable),
        grouped(count as f64 / took.as_secs_f64()),
        mib(peak),
        mib(at_once.0),
        mib(resident),
        mib(at_once.1),
        mib(site.disk_bytes()?),
    ])
}

fn take(handler: &mut Talk, count: u64) -> Outcome<()> {
    let mut taken = 0;
    // One of them was given to the client that only looked, and comes back now that it has gone.
    while taken < count {
        handler.wait_for(1)?;
        handler.keep_what_came()?;
        taken += handler.answer_all()? as u64;
    }
    Ok(())
}

/// Waits until the disk has not got smaller for a while, on a server that is in use.
fn settle(site: &Site, asks: &mut Talk) -> Outcome<()> {
    let end = Instant::now() + SETTLES_WITHIN;
    let (mut least, mut since) = (site.disk_bytes()?, Instant::now());
    while Instant::now() < end && since.elapsed() < SETTLES_WITHIN / 5 {
        std::thread::park_timeout(Duration::from_millis(200));
        asks.requests()?;
        let now = site.disk_bytes()?;
        if now < least {
            (least, since) = (now, Instant::now());
        }
    }
    Ok(())
}

fn mib(bytes: u64) -> String {
    figures(bytes as f64 / f64::from(1 << 20))
}
