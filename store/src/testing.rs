//! What the tests of this crate share: dice, items, folders that go away.

use crate::Calendar;
pub(crate) use crate::chance::Dice;
use answerback_broker::{Caller, Item, Progress, SavedKept, SavedRequest, SavedStored, Time};
use answerback_protocol::frames::{CallError, CallInfo, Fault, Gather, Reply};
use answerback_protocol::{Code, Payload, Ran, RequestId};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

impl Dice {
    fn text(&mut self) -> String {
        let length = self.below(40);
        (0..length).map(|_| char::from_u32(32 + self.below(600) as u32).unwrap_or('x')).collect()
    }

    /// What the protocol takes as a name: something, and without control characters.
    fn name(&mut self) -> String {
        format!("n{}", self.text()).replace(char::is_control, "-")
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.one_in(2) { Some(make(self)) } else { None }
    }
}

/// Two hours after the beginning, some day in 2026.
pub(crate) fn calendar() -> Calendar {
    Calendar::now_is(Time::from_millis(7_200_000), 1_795_000_000_000_000)
}

/// A send with about 200 bytes of data.
pub(crate) fn small_request(origin: u64) -> Item {
    Item::Request(Box::new(SavedRequest {
        caller: None,
        origin,
        action: "mail.send".into(),
        from: "shop-1".into(),
        key: None,
        trace: None,
        data: Payload::copy_of(&[b'7'; 200]),
        received: Time::from_millis(7_000_000),
        expires: Time::from_millis(9_000_000),
        deadline: Time::NEVER,
        attempts: 3,
        info: false,
        durable: true,
        progress: Progress::default(),
    }))
}

pub(crate) fn random_item(dice: &mut Dice) -> Item {
    match dice.below(4) {
        0 => Item::Kept(Box::new(SavedKept {
            caller: caller(dice),
            name: dice.text().into(),
            reply: reply(dice),
            data: data(dice),
            durable: dice.one_in(2),
        })),
        1 => Item::Stored(Box::new(SavedStored {
            action: dice.text().into(),
            key: dice.text().into(),
            fingerprint: u128::from(dice.next()) << 64 | u128::from(dice.next()),
            until: Time::from_micros(dice.next() >> 24),
            error: dice.maybe(|dice| Box::new(error(dice))),
            data: data(dice),
            durable: dice.one_in(2),
        })),
        _ => random_request(dice),
    }
}

pub(crate) fn random_request(dice: &mut Dice) -> Item {
    let received = Time::from_micros(dice.next() % 7_200_000_000);
    let later = |dice: &mut Dice| match dice.below(5) {
        0 => Time::NEVER,
        _ => Time::from_micros(received.micros() + dice.next() % 86_400_000_000),
    };
    Item::Request(Box::new(SavedRequest {
        caller: dice.maybe(caller),
        origin: dice.next(),
        action: dice.text().into(),
        from: dice.text().into(),
        key: dice.maybe(|dice| dice.text().into()),
        trace: dice.maybe(|dice| dice.text().into()),
        data: data(dice),
        received,
        expires: later(dice),
        deadline: later(dice),
        attempts: dice.next() as u16,
        info: dice.one_in(2),
        durable: dice.one_in(2),
        progress: if dice.one_in(2) { Progress::default() } else { random_progress(dice) },
    }))
}

pub(crate) fn random_progress(dice: &mut Dice) -> Progress {
    Progress {
        attempt: dice.next() as u16,
        deliveries: dice.next() as u16,
        parts: dice.next() as u32,
        delivered: dice.one_in(2),
        may_have_run: dice.one_in(2),
        handler: dice.maybe(|dice| u128::from(dice.next())),
    }
}

fn caller(dice: &mut Dice) -> Caller {
    Caller { session: u128::from(dice.next()), id: RequestId::truncated(dice.next()) }
}

fn data(dice: &mut Dice) -> Payload {
    let length = if dice.one_in(10) { dice.below(5_000) } else { dice.below(200) };
    Payload::copy_of(&(0..length).map(|_| dice.next() as u8).collect::<Vec<u8>>())
}

fn reply(dice: &mut Dice) -> Reply<'static> {
    let number = |dice: &mut Dice| dice.next() >> 12;
    Reply {
        error: dice.maybe(|dice| Box::new(error(dice))),
        part: dice.one_in(2),
        seq: dice.maybe(|dice| 1 + number(dice)),
        from: dice.maybe(|dice| dice.name().into()),
        info: dice.maybe(|dice| {
            Box::new(CallInfo {
                queued: number(dice),
                ran: dice.maybe(number),
                by: dice.maybe(|dice| dice.name().into()),
            })
        }),
        gather: dice.maybe(|dice| {
            Box::new(Gather {
                expected: number(dice),
                answered: number(dice),
                failed: number(dice),
                lost: number(dice),
            })
        }),
        ..Reply::to(RequestId::truncated(dice.next()))
    }
}

fn error(dice: &mut Dice) -> CallError<'static> {
    CallError {
        code: Code::ALL[dice.below(Code::ALL.len())],
        message: dice.text().into(),
        ran: [Ran::No, Ran::Maybe, Ran::Yes][dice.below(3)],
        attempts: dice.below(1_000) as u32,
        retry_after: dice.maybe(|dice| dice.next() >> 12),
        fault: dice.maybe(|dice| Fault {
            code: dice.name().into(),
            message: dice.text().into(),
            retryable: dice.one_in(2),
        }),
    }
}

/// A folder of its own for each test, removed at its end, however that comes.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("answerback-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes of memory in use, for measurements.
pub(crate) fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// Seconds of processor that this process has used, to the hundredth: what a measurement says also where others work at the same time.
pub(crate) fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = text.split(' ').skip(13).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
