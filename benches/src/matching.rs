//! `matching`: what it costs to find who wants an event, in the pure core, with so many subscriptions.
//!
//! Each event is for one subscriber, so that the rows differ in nothing but how many others there are: topics have four tokens, and a tenth of the
//! subscriptions have wildcards.

use crate::table::{Table, figures, grouped};
use crate::timing::ns_per_unit;
use crate::{Outcome, machine};
use answerback_broker::{Broker, ConnectionId, Input, Limits, Output, Settings, Time};
use answerback_protocol::{ClientFrame, Payload};
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Milliseconds for each figure
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    millis: u64,
    /// Subscriptions; may be said more than once
    #[arg(long = "subscriptions", default_values_t = [10, 1_000, 10_000, 100_000, 1_000_000])]
    subscriptions: Vec<usize>,
    /// Topics that events are published to
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    topics: u64,
}

/// Subscriptions of one session.
const PER_SESSION: usize = 1_000;

/// One in so many subscriptions has a wildcard.
const WITH_WILDCARD: usize = 10;

/// Runs it and prints a table.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    println!("{}", machine::headline());
    let columns = ["subscriptions", "topics published to", "ns/event", "delivered"];
    let mut table = Table::new("an event that one subscriber wants, among so many", 0, &columns);
    for &subscriptions in &arguments.subscriptions {
        let mut world = World::new(subscriptions)?;
        let heads = world.publishes(arguments.topics as usize);
        let frames = heads.iter().map(|head| ClientFrame::read(head.as_bytes()));
        let frames = frames.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let budget = Duration::from_millis(arguments.millis);
        let ns = ns_per_unit(frames.len() as u64, budget, || frames.iter().for_each(|frame| world.publish(frame)));
        let delivered = world.delivered as f64 / world.published as f64;
        table.row([grouped(subscriptions as f64), grouped(frames.len() as f64), figures(ns), figures(delivered)]);
    }
    println!("{table}");
    Ok(())
}

struct World {
    broker: Broker,
    subscriptions: usize,
    published: u64,
    delivered: u64,
}

/// The connection of the publisher.
const PUBLISHER: ConnectionId = ConnectionId::new(0, 0, 0);

impl World {
    fn new(subscriptions: usize) -> Outcome<Self> {
        let limits = Limits { subscriptions, ..Limits::default() };
        let broker = Broker::new(Settings { limits, ..Settings::default() });
        let mut world = Self { broker, subscriptions, published: 0, delivered: 0 };
        world.open(PUBLISHER)?;
        for number in 0..subscriptions {
            let subscriber = ConnectionId::new(0, 1 + (number / PER_SESSION) as u32, 0);
            if number % PER_SESSION == 0 {
                world.open(subscriber)?;
            }
            world.say(subscriber, &format!(r#"{{"type":"subscribe","topic":"{}"}}"#, pattern(number)))?;
        }
        match world.broker.held().subscriptions {
            held if held == subscriptions => Ok(world),
            held => Err(format!("{held} subscriptions instead of {subscriptions}").into()),
        }
    }

    fn open(&mut self, connection: ConnectionId) -> Outcome<()> {
        let connected = Input::Connected { connection, peer: String::new(), holder: None, waited: Duration::ZERO };
        self.broker.handle(Time::default(), connected);
        let session = connection.place();
        self.say(
            connection,
            &format!(r#"{{"type":"hello","protocol":[1,1],"name":"c{session}","session":"{session:032x}"}}"#),
        )
    }

    fn say(&mut self, connection: ConnectionId, head: &str) -> Outcome<()> {
        let frame = ClientFrame::read(head.as_bytes()).map_err(|error| error.to_string())?;
        self.broker.handle(Time::default(), Input::Frame { connection, frame, data: Payload::NONE });
        while self.broker.next_output().is_some() {}
        Ok(())
    }

    /// So many topics, spread over all that are subscribed to.
    fn publishes(&self, topics: usize) -> Vec<String> {
        let numbers = (0..topics).map(|number| number.wrapping_mul(7_919) % self.subscriptions);
        numbers.map(|number| format!(r#"{{"type":"publish","topic":"{}"}}"#, topic(number))).collect()
    }

    fn publish(&mut self, frame: &ClientFrame<'_>) {
        self.published += 1;
        let input = Input::Frame { connection: PUBLISHER, frame: frame.clone(), data: Payload::NONE };
        self.broker.handle(Time::default(), input);
        while let Some(output) = self.broker.next_output() {
            self.delivered += u64::from(matches!(output, Output::Send { .. }));
        }
    }
}

fn topic(number: usize) -> String {
    format!("site{}.line{}.device{number}.state", number % 10, number % 100)
}

fn pattern(number: usize) -> String {
    match number % WITH_WILDCARD {
        0 => format!("*.line{}.device{number}.>", number % 100),
        _ => topic(number),
    }
}
