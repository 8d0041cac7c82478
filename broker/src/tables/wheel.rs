//! When records are due. A wheel of wheels: six levels of 64 slots, a slot of the lowest level being one millisecond
//! and a slot of each further level as long as the whole level below. A record is put into the slot where its time
//! first differs from now, and falls to lower levels as that time comes near.
//!
//! Setting a time and dropping it cost a few writes, however many there are: a call that ends in time pays no more.

use super::slab::{Key, Slab};
use crate::time::Time;

const NONE: u32 = u32::MAX;
const LEVELS: usize = 6;
const SLOTS: usize = 64;
const BITS: u32 = 6;
/// The list of records that are due and not yet handed out.
const DUE: usize = LEVELS * SLOTS;

pub(crate) struct Wheel {
    /// Milliseconds up to which everything due has been moved to the list of the due.
    passed: u64,
    first: [u32; DUE + 1],
    /// For each level, which slots hold anything.
    occupied: [u64; LEVELS],
}

/// A record's place in the wheel. Packed: two bytes of room at its end would make each record of a request eight bytes longer.
#[derive(Debug, Clone, Copy)]
#[repr(Rust, packed(2))]
pub(crate) struct TimerLinks {
    before: u32,
    after: u32,
    slot: u16,
}

/// A record that is due at some time.
pub(crate) trait Timed {
    fn timer(&mut self) -> &mut TimerLinks;
    /// When. It may move to later by itself; who moves it to earlier sets it again.
    fn due(&self) -> Time;
}

impl TimerLinks {
    pub(crate) const UNSET: Self = Self { before: NONE, after: NONE, slot: u16::MAX };
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { passed: 0, first: [NONE; DUE + 1], occupied: [0; LEVELS] }
    }

    /// Sets or changes the time of a record to what it says.
    pub(crate) fn set<T: Timed>(&mut self, slab: &mut Slab<T>, key: Key<T>) {
        self.unset(slab, key);
        let Some(due) = slab.get(key).map(|record| tick_of(record.due())) else { return };
        let slot = self.slot_for(due.max(self.passed + 1));
        self.link(slab, key.place(), slot);
    }

    /// Takes a record out, if it is in.
    pub(crate) fn unset<T: Timed>(&mut self, slab: &mut Slab<T>, key: Key<T>) {
        let Some(record) = slab.get_mut(key) else { return };
        let TimerLinks { before, after, slot } = std::mem::replace(record.timer(), TimerLinks::UNSET);
        let slot = usize::from(slot);
        if slot > DUE {
            return;
        }
        match slab.at(before) {
            Some(record) => record.timer().after = after,
            None => self.set_first(slot, after),
        }
        if let Some(record) = slab.at(after) {
            record.timer().before = before;
        }
    }

    /// When the next record may be due; not later than it is.
    pub(crate) fn next(&self) -> Option<Time> {
        if self.first[DUE] != NONE {
            return Some(Time::from_millis(self.passed));
        }
        self.next_slot().map(|(_, tick)| Time::from_millis(tick))
    }

    /// The next record that is due at `now`, taken out. `None` when there is none left.
    pub(crate) fn pop<T: Timed>(&mut self, slab: &mut Slab<T>, now: Time) -> Option<Key<T>> {
        let now_tick = now.micros() / 1_000;
        while self.first[DUE] == NONE {
            match self.next_slot() {
                Some((slot, tick)) if tick <= now_tick => {
                    self.passed = tick;
                    self.open(slab, slot);
                }
                _ => {
                    self.passed = self.passed.max(now_tick);
                    return None;
                }
            }
        }
        let key = slab.key_at(self.first[DUE])?;
        self.unset(slab, key);
        Some(key)
    }

    /// Moves every record of a slot to where it belongs now that its time has come: lower down, or to the due.
    fn open<T: Timed>(&mut self, slab: &mut Slab<T>, slot: usize) {
        let mut place = self.first[slot];
        self.set_first(slot, NONE);
        while let Some(record) = slab.at(place) {
            let (after, due) = (record.timer().after, tick_of(record.due()));
            let target = if due <= self.passed { DUE } else { self.slot_for(due) };
            self.link(slab, place, target);
            place = after;
        }
    }

    fn link<T: Timed>(&mut self, slab: &mut Slab<T>, place: u32, slot: usize) {
        let after = self.first[slot];
        if let Some(record) = slab.at(after) {
            record.timer().before = place;
        }
        if let Some(record) = slab.at(place) {
            *record.timer() = TimerLinks { before: NONE, after, slot: slot as u16 };
        }
        self.set_first(slot, place);
    }

    fn set_first(&mut self, slot: usize, place: u32) {
        self.first[slot] = place;
        if slot < DUE {
            let bit = 1 << (slot % SLOTS);
            if place == NONE {
                self.occupied[slot / SLOTS] &= !bit;
            } else {
                self.occupied[slot / SLOTS] |= bit;
            }
        }
    }

    /// The slot for a tick that has not passed: on the level of the highest group of bits in which it differs from now.
    fn slot_for(&self, tick: u64) -> usize {
        let differ = (self.passed ^ tick) | (SLOTS as u64 - 1);
        let level = ((63 - differ.leading_zeros()) / BITS).min(LEVELS as u32 - 1);
        let within = (tick >> (level * BITS)) as usize % SLOTS;
        level as usize * SLOTS + within
    }

    /// The next slot that holds anything, and the tick at which it begins. Lower levels come first, because everything
    /// in them lies before the next slot of the levels above.
    fn next_slot(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let shift = level as u32 * BITS;
        let here = (self.passed >> shift) as u32 % SLOTS as u32;
        // Of the highest level all slots are used, so the next one may lie before the current one: in the next round.
        let ahead = self.occupied[level].rotate_right(here).trailing_zeros();
        let tick = ((self.passed >> shift) + u64::from(ahead)) << shift;
        Some((level * SLOTS + (here + ahead) as usize % SLOTS, tick))
    }
}

/// The millisecond at which `due` has been reached: never before it.
fn tick_of(due: Time) -> u64 {
    due.micros().div_ceil(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bell(Time, TimerLinks);

    impl Timed for Bell {
        fn timer(&mut self) -> &mut TimerLinks {
            &mut self.1
        }
        fn due(&self) -> Time {
            self.0
        }
    }

    /// A sorted list does what the wheel does, slowly and obviously.
    #[test]
    fn rings_when_a_sorted_list_would() {
        let (mut slab, mut wheel) = (Slab::new(), Wheel::new());
        let mut random = 7u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let (mut now, mut model) = (0, Vec::new());
        for round in 0..20_000 {
            let span = [50, 5_000, 500_000, 40_000_000, 90_000_000_000][next(5) as usize];
            let due = now + next(span);
            let key = slab.insert(Bell(Time::from_micros(due), TimerLinks::UNSET));
            wheel.set(&mut slab, key);
            model.push((due, key));
            if round % 3 == 0 {
                let (_, key) = model.swap_remove(next(model.len() as u64) as usize);
                wheel.unset(&mut slab, key);
                slab.remove(key);
            }
            let step = [100, 10_000, 3_000_000][next(3) as usize];
            now += next(step);
            let mut rung = Vec::new();
            while let Some(key) = wheel.pop(&mut slab, Time::from_micros(now)) {
                rung.push(slab.remove(key).unwrap().0.micros());
            }
            let due_now = |due: u64| due.div_ceil(1_000) <= now / 1_000;
            // A time that had passed when it was set rings with the next millisecond.
            let mut expected: Vec<_> = model.iter().map(|m| m.0).filter(|&due| due_now(due)).collect();
            let late: Vec<_> = expected.iter().copied().filter(|due| !rung.contains(due)).collect();
            assert!(late.iter().all(|due| now - due < 2_000), "round {round}: {late:?} did not ring at {now}");
            expected.retain(|due| rung.contains(due));
            rung.sort_unstable();
            expected.sort_unstable();
            assert_eq!(rung, expected, "round {round}");
            model.retain(|&(due, key)| !due_now(due) || slab.get(key).is_some());
            let first = model.iter().map(|m| m.0).min();
            assert_eq!(wheel.next().is_some(), first.is_some());
            assert!(wheel.next().is_none_or(|next| next.micros() <= first.unwrap().div_ceil(1_000) * 1_000 + 1_000));
        }
    }
}
