//! What a server does with its store before anybody can connect: opens it, and gives the core what must be known before the
//! first connection. Sends that nobody waits for come later, see `snapshot_keeper`.

use crate::data_dir::{DataDir, DataDirError};
use crate::data_plane::Clock;
use crate::settings::Settings;
use crate::stage::Stage;
use answerback_broker::{Broker, Item, ItemId, Recovery, Time};
use answerback_store::{Calendar, Finding, Items, Journal, OpenError, Options, Part, Snapshots, Store, Strictness};
use std::fmt;
use std::io;
use std::iter::Peekable;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The directory of the store inside the data directory.
const DIRECTORY: &str = "store";

/// Items between two looks at the clock.
const LOOK_EVERY: u64 = 1_024;

/// How often the log says how far a long recovery has come.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// A store that is open, and what of it was restored.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) store: Store,
    pub(crate) journal: Journal,
    pub(crate) snapshots: Box<dyn Snapshots>,
    pub(crate) broker: Broker,
    /// Whether the store told exactly how things were.
    pub(crate) was_clean: bool,
}

impl Recovered {
    /// The server does not start after all. Nothing was changed, so what was exact still is.
    pub(crate) fn abandon(self) {
        mark_unchanged(&self.store, self.was_clean);
    }
}

fn mark_unchanged(store: &Store, was_clean: bool) {
    if was_clean && let Err(error) = store.mark_clean() {
        tracing::warn!(%error, "the store could not be marked as complete again; the next server will wait for handlers");
    }
}

/// Why a store cannot be used.
#[derive(Debug)]
pub enum StoreError {
    /// It could not be opened.
    Open(OpenError),
    /// It could not be read.
    Load(io::Error),
    /// It is new, and a new key that goes with it could not be made.
    Key(DataDirError),
    /// It was asked to stop before it was read.
    Interrupted,
}

/// How far a recovery has come: told to probes and to the log, and told by them to stop.
pub(crate) struct Progress {
    stage: Arc<Stage>,
    begun: Instant,
    said: Instant,
}

impl Progress {
    pub(crate) fn new(stage: Arc<Stage>) -> Self {
        let now = Instant::now();
        Self { stage, begun: now, said: now }
    }

    fn at(&mut self, doing: &'static str, count: u64) -> ControlFlow<()> {
        self.stage.restored(count);
        if self.stage.is_interrupted() {
            return ControlFlow::Break(());
        }
        if self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            let millis = self.begun.elapsed().as_millis().max(1);
            let per_second = u128::from(count) * 1_000 / millis;
            tracing::info!(count, per_second, "{doing}");
        }
        ControlFlow::Continue(())
    }
}

/// Opens the store in `data_dir`, and makes a broker that knows what it must know.
pub(crate) fn recover(
    data_dir: &DataDir,
    settings: &Settings,
    clock: &Clock,
    progress: &mut Progress,
) -> Result<Recovered, StoreError> {
    let calendar = Calendar::now_is(clock.now(), unix_micros());
    let options = options(settings);
    let mut watch = |steps| progress.at("reading the journal", steps);
    let opened =
        Store::open(&data_dir.path().join(DIRECTORY), calendar, &options, &mut watch).map_err(StoreError::from)?;
    let (store, was_clean) = (opened.store, opened.clean);
    opened.findings.iter().for_each(log_finding);
    let mut core = settings.broker.clone();
    (core.has_store, core.first_item) = (true, opened.next_item.0);
    if opened.is_new {
        core.secrets.delivery = data_dir.new_delivery_key().map_err(StoreError::Key)?;
    }
    // Of the key that stays: a server is the same one after its first restart, too.
    core.node = core.secrets.node();
    let mut restorer = Restorer { broker: Broker::new(core), clock, now: clock.now(), restored: 0, progress };
    if !opened.is_new {
        restorer.broker.recover(clock.now(), Recovery { clean: was_clean });
    }
    let mut snapshots = opened.snapshots;
    match restorer.first_part(opened.items, &mut *snapshots, options.strictness) {
        Ok(()) => {}
        Err(error) => {
            mark_unchanged(&store, was_clean);
            return Err(error);
        }
    }
    if !opened.is_new {
        restorer.say_what_came();
    }
    let broker = restorer.broker;
    Ok(Recovered { store, journal: opened.journal, snapshots, broker, was_clean: was_clean || opened.is_new })
}

fn options(settings: &Settings) -> Options {
    let strictness = if settings.strict_store { Strictness::Strict } else { Strictness::Forgiving };
    let options = Options { strictness, segment_bytes: settings.journal_segment as u64, ..Options::default() };
    match &settings.disk {
        Some((disk, snapshots)) => Options { disk: Arc::clone(disk), snapshots: snapshots.clone(), ..options },
        None => options,
    }
}

fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

struct Restorer<'a> {
    broker: Broker,
    clock: &'a Clock,
    now: Time,
    restored: u64,
    progress: &'a mut Progress,
}

impl Restorer<'_> {
    /// Durable requests from the journal and what callers wait for from the snapshot, together in the order of the ids.
    fn first_part(
        &mut self,
        mut items: Items,
        snapshots: &mut dyn Snapshots,
        strictness: Strictness,
    ) -> Result<(), StoreError> {
        let mut journal = items.by_ref().peekable();
        let mut flow = ControlFlow::Continue(());
        let found = snapshots.load(Part::First, &mut |id, item| {
            flow = self.journal_before(&mut journal, id);
            // What became durable after the last snapshot is in both; the journal knows more of it.
            let is_in_both = journal.peek().is_some_and(|(next, _)| *next == id);
            if flow.is_continue() && !is_in_both {
                flow = self.restore(id, item);
            }
            flow
        });
        let mut found = found.map_err(StoreError::Load)?;
        if flow.is_break() || self.journal_before(&mut journal, ItemId(u64::MAX)).is_break() {
            return Err(StoreError::Interrupted);
        }
        found.extend(items.take_findings());
        if strictness == Strictness::Strict && found.iter().any(Finding::is_loss) {
            return Err(StoreError::Open(OpenError::Loss { findings: found }));
        }
        found.iter().for_each(log_finding);
        Ok(())
    }

    fn journal_before(
        &mut self,
        journal: &mut Peekable<impl Iterator<Item = (ItemId, Item)>>,
        id: ItemId,
    ) -> ControlFlow<()> {
        while let Some((id, item)) = journal.next_if(|(next, _)| *next < id) {
            self.restore(id, item)?;
        }
        ControlFlow::Continue(())
    }

    fn restore(&mut self, id: ItemId, item: Item) -> ControlFlow<()> {
        self.broker.restore(self.now, id, item);
        self.restored += 1;
        if self.restored.is_multiple_of(LOOK_EVERY) {
            self.now = self.clock.now();
            return self.progress.at("restoring what was stored", self.restored);
        }
        ControlFlow::Continue(())
    }

    fn say_what_came(&self) {
        let ms = self.progress.begun.elapsed().as_millis() as u64;
        tracing::info!(
            items = self.restored,
            ms,
            "restored what callers wait for and what is durable; stored sends follow"
        );
    }
}

/// Says what was found wrong, what it means and where the damaged file is.
pub(super) fn log_finding(finding: &Finding) {
    let kind = finding.word();
    tracing::warn!(kind, "the store was not as it should be: {finding}");
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Stopped => Self::Interrupted,
            error => Self::Open(error),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Load(error) => write!(
                f,
                "the store cannot be read: {error}; nothing in it was changed: check the disk, or give this server another directory with \
                 --data-dir"
            ),
            Self::Key(error) => error.fmt(f),
            Self::Interrupted => f.write_str("asked to leave before the store was read; everything is still in it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;
    use crate::data_dir::tests::Place;
    use answerback_broker::{Caller, Change, SavedRequest, Step};
    use answerback_protocol::RequestId;
    use answerback_store::Commit;

    /// A call with a key was saved; then a durable one joined it, which made it durable too, and the process was killed before the next snapshot could
    /// say that the journal has it now. It was restored twice, so that one of the two was nobody's.
    #[test]
    fn what_became_durable_after_the_last_snapshot_is_restored_once() {
        let place = Place::new();
        let data_dir = DataDir::open(&place.0, "server1").unwrap();
        let keyed = |durable| match request() {
            Item::Request(saved) => {
                let caller = Some(Caller { session: 7, id: RequestId::new(1).unwrap() });
                let saved = SavedRequest { caller, key: Some("k".into()), durable, ..*saved };
                Item::Request(Box::new(saved))
            }
            other => other,
        };
        let settings = Settings::default();
        let clock = Clock::start();
        let calendar = Calendar::now_is(clock.now(), unix_micros());
        let at = place.0.join(DIRECTORY);
        let mut opened = Store::open(&at, calendar, &options(&settings), &mut |_| ControlFlow::Continue(())).unwrap();
        opened.snapshots.save(&[Change::Put(ItemId(1), keyed(false)), Change::Put(ItemId(2), request())]).unwrap();
        let mut steps = vec![Step(vec![Change::Put(ItemId(1), keyed(true))])];
        assert!(matches!(opened.journal.commit(&mut steps), Commit::Done));
        drop(opened);
        let mut progress = Progress::new(Arc::new(Stage::new(crate::stage::Interrupt::default())));
        let recovered = recover(&data_dir, &settings, &clock, &mut progress).unwrap();
        assert_eq!(recovered.broker.held().requests, 1, "the call; the other is a plain send, which comes later");
    }
}
