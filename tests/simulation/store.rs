//! A model of a store: what is on disk, what is on its way there, and what a crash leaves of it. It is obviously right because
//! it is two ordered maps: a step of the journal or a batch of the snapshot changes them at one moment, or never.

use crate::random::Random;
use answerback_broker::{Change, Item, ItemId, SavedRequest, Step};
use std::collections::{BTreeMap, VecDeque};

/// The store of a server, over all its lives.
#[derive(Default)]
pub(crate) struct Store {
    /// What is on disk.
    journal: BTreeMap<ItemId, Item>,
    snapshot: BTreeMap<ItemId, Item>,
    /// Changes of steps that failed, but for their requests: they are written before anything else.
    backlog: Vec<Change>,
    /// Steps that are not on disk, with their numbers.
    steps: VecDeque<(u64, Step)>,
    /// The last step that was handed over.
    last: u64,
    /// The last of the steps that are being synced.
    pub(crate) syncing: Option<u64>,
    /// What was gathered for the next snapshot.
    pub(crate) batch: Vec<Change>,
    pub(crate) round: Round,
    /// Nothing that is written now comes to the disk.
    pub(crate) failing: bool,
}

/// Where the snapshot stands that is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Round {
    #[default]
    Idle,
    Gathering,
    Saving,
}

impl Store {
    /// Takes steps over, of which the last one has this number.
    pub(crate) fn take(&mut self, last: u64, steps: Vec<Step>) {
        let first = last + 1 - steps.len() as u64;
        self.steps.extend((first..).zip(steps));
        self.last = last;
    }

    /// The number of the last step that could be synced now.
    pub(crate) fn to_sync(&self) -> Option<u64> {
        let any = !self.steps.is_empty() || !self.backlog.is_empty();
        (any && self.syncing.is_none()).then_some(self.last)
    }

    /// The steps up to this one are on disk.
    pub(crate) fn synced(&mut self, upto: u64) {
        self.syncing = None;
        std::mem::take(&mut self.backlog).into_iter().for_each(|change| change.apply(&mut self.journal));
        while self.steps.front().is_some_and(|(number, _)| *number <= upto) {
            let step = self.steps.pop_front().map(|(_, step)| step.0);
            step.into_iter().flatten().for_each(|change| change.apply(&mut self.journal));
        }
    }

    /// The disk took none of the steps up to this one: the requests in them are given up, the rest is tried again.
    pub(crate) fn refused(&mut self, upto: u64) {
        self.syncing = None;
        while self.steps.front().is_some_and(|(number, _)| *number <= upto) {
            let step = self.steps.pop_front().map(|(_, step)| step.0);
            let rest = step.into_iter().flatten().filter(|change| !matches!(change, Change::Put(_, Item::Request(_))));
            self.backlog.extend(rest);
        }
    }

    /// What was gathered is on disk.
    pub(crate) fn saved(&mut self) {
        self.round = Round::Idle;
        std::mem::take(&mut self.batch).into_iter().for_each(|change| change.apply(&mut self.snapshot));
    }

    /// The process dies. Of what was being written some first steps may be on disk, and the snapshot or not.
    pub(crate) fn crash(&mut self, random: &mut Random) {
        if self.syncing.is_some() && !self.failing {
            let under_way = self.steps.iter().take_while(|(number, _)| Some(*number) <= self.syncing).count();
            let written = random.place(under_way + 1);
            if let Some((number, _)) = written.checked_sub(1).and_then(|last| self.steps.get(last)) {
                self.synced(*number);
            }
        }
        if self.round == Round::Saving && !self.failing && random.chance(500) {
            self.saved();
        }
        self.forget();
    }

    /// A life is over: what is not on disk is gone.
    pub(crate) fn forget(&mut self) {
        self.backlog.clear();
        self.steps.clear();
        self.batch.clear();
        (self.last, self.syncing, self.round) = (0, None, Round::Idle);
    }

    /// What a server finds: all that must be there at once, and sends that may come while it serves. What is in the journal
    /// is newer than what the snapshot says about it.
    pub(crate) fn found(&self) -> [Vec<(ItemId, Item)>; 2] {
        let merged =
            self.snapshot.iter().chain(&self.journal).map(|(id, item)| (*id, item)).collect::<BTreeMap<_, _>>();
        let later = |id: &ItemId, item: &Item| {
            let send = |saved: &SavedRequest| saved.caller.is_none() && saved.key.is_none();
            !self.journal.contains_key(id) && matches!(item, Item::Request(saved) if send(saved))
        };
        let (sends, first): (Vec<_>, Vec<_>) =
            merged.into_iter().map(|(id, item)| (id, item.clone())).partition(|(id, item)| later(id, item));
        [first, sends]
    }

    /// A number that no item on disk has, nor a later one.
    pub(crate) fn next_item(&self) -> u64 {
        let last = |items: &BTreeMap<ItemId, Item>| items.last_key_value().map_or(0, |(id, _)| id.0);
        last(&self.journal).max(last(&self.snapshot)) + 1
    }

    /// The requests on disk.
    pub(crate) fn requests(&self) -> impl Iterator<Item = &SavedRequest> {
        self.journal.values().chain(self.snapshot.values()).filter_map(|item| match item {
            Item::Request(saved) => Some(&**saved),
            _ => None,
        })
    }

    /// Everything on disk, to be shown.
    pub(crate) fn items(&self) -> impl Iterator<Item = (&'static str, &ItemId, &Item)> {
        let journal = self.journal.iter().map(|(id, item)| ("journal", id, item));
        journal.chain(self.snapshot.iter().map(|(id, item)| ("snapshot", id, item)))
    }
}
