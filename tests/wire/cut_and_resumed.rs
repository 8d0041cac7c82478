//! A caller and a handler whose connections are cut again and again, and who do what PROTOCOL.md says under "Resuming".
//! As long as both live no call is lost and none is run twice.

use crate::client::{Client, Heard, new_session};
use crate::dice::Dice;
use crate::place::PATIENCE;
use crate::script::Stage;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

const CALLS: u64 = 300;

/// A caller that announces its calls again.
struct Caller {
    client: Client,
    waiting: BTreeMap<u64, String>,
    replies: u64,
    answered: u64,
}

/// A handler that says its replies again until they are acknowledged, and says what it holds.
struct Handler {
    client: Client,
    holding: Vec<Heard>,
    /// Replies that are not acknowledged, in order.
    said: Vec<(Heard, String)>,
    /// Of this connection, how many are acknowledged.
    acknowledged: u64,
    runs: BTreeMap<String, u32>,
}

/// Cuts a connection and comes back with the same session.
fn again(address: SocketAddr, client: &mut Client, name: &str) {
    let session = client.session.clone();
    std::mem::replace(client, Client::greeting(address, name, &session)).reset();
    let welcome = client.hear();
    assert_eq!(welcome.head["type"], "welcome", "{welcome:?}");
}

impl Caller {
    fn call(&mut self, id: u64) {
        let data = format!("[{id}]");
        self.client.call(id, "a", &data);
        self.waiting.insert(id, data);
    }

    fn listen(&mut self, dice: &mut Dice) {
        for heard in self.client.heard_until_now() {
            self.replies += 1;
            let id = heard.head["id"].as_u64().unwrap();
            let data = self.waiting.remove(&id).unwrap_or_else(|| panic!("answered twice: {heard:?}"));
            assert!(heard.code().is_empty() && heard.data == data.as_bytes(), "{heard:?}");
            self.answered += 1;
        }
        if dice.below(2) == 0 {
            self.client.say(format!(r#"{{"type":"ack","replies":{}}}"#, self.replies), "");
        }
    }

    /// Comes back. Before it announces its calls the handler may answer some of them.
    fn again(&mut self, address: SocketAddr, handler: &mut Handler, dice: &mut Dice) {
        again(address, &mut self.client, "web");
        self.replies = 0;
        if dice.below(2) == 0 {
            handler.listen();
            handler.answer(dice);
            handler.client.settle();
        }
        self.client.say(r#"{"type":"resume","holding":[]}"#, "");
        for (id, data) in &self.waiting {
            self.client.call(*id, "a", data);
        }
    }
}

impl Handler {
    fn listen(&mut self) {
        self.client.settle();
        while let Some(heard) = self.client.already_heard() {
            match heard.head["type"].as_str().unwrap() {
                "deliver" => {
                    let data = String::from_utf8(heard.data.clone()).unwrap();
                    *self.runs.entry(data).or_default() += 1;
                    self.holding.push(heard);
                }
                "ack" => {
                    let replies = heard.head["replies"].as_u64().unwrap();
                    self.said.drain(..(replies - self.acknowledged) as usize);
                    self.acknowledged = replies;
                }
                "serving" => {}
                other => panic!("{other}: {heard:?}"),
            }
        }
    }

    fn answer(&mut self, dice: &mut Dice) {
        while !self.holding.is_empty() && dice.below(4) > 0 {
            let delivery = self.holding.swap_remove(dice.below(self.holding.len()));
            let data = String::from_utf8(delivery.data.clone()).unwrap();
            self.client.answer(&delivery, &data);
            self.said.push((delivery, data));
        }
    }

    fn again(&mut self, address: SocketAddr) {
        again(address, &mut self.client, "svc");
        self.acknowledged = 0;
        for (delivery, data) in &self.said {
            self.client.answer(delivery, data);
        }
        let ids: Vec<_> = self.holding.iter().map(|delivery| delivery.head["id"].to_string()).collect();
        self.client.say(format!(r#"{{"type":"resume","holding":[{}]}}"#, ids.join(",")), "");
        self.client.say(r#"{"type":"serve","action":"a","credit":20}"#, "");
    }
}

#[test]
fn every_call_is_answered_once_and_run_once() {
    for seed in 0..8 {
        every_call_is_answered_once(seed);
    }
}

fn every_call_is_answered_once(seed: u64) {
    let mut stage = Stage::with(|_| {});
    let (address, mut dice) = (stage.address, Dice::new(seed));
    let client = Client::serving(address, "svc", "a", 20);
    let mut handler = Handler { client, holding: vec![], said: vec![], acknowledged: 0, runs: BTreeMap::new() };
    let client = Client::greeting(address, "web", &new_session());
    let mut caller = Caller { client, waiting: BTreeMap::new(), replies: 0, answered: 0 };
    assert_eq!(caller.client.hear().head["type"], "welcome");
    let (mut next, until) = (0, Instant::now() + PATIENCE);
    while caller.answered < CALLS {
        assert!(Instant::now() < until, "seed {seed}: these are never answered: {:?}", caller.waiting);
        for _ in 0..dice.below(10) {
            if next < CALLS {
                caller.call(next);
                next += 1;
            }
        }
        match dice.below(8) {
            0 => caller.again(address, &mut handler, &mut dice),
            1 => handler.again(address),
            2 => handler.listen(),
            _ => {
                handler.listen();
                handler.answer(&mut dice);
                caller.listen(&mut dice);
            }
        }
    }
    assert!(
        handler.runs.len() as u64 == CALLS && handler.runs.values().all(|&runs| runs == 1),
        "seed {seed}: {:?}",
        handler.runs
    );
    let stats = stage.stats();
    assert!(stats["total"]["resumed"].as_u64() > Some(0) && stats["bytes"] == 0, "seed {seed}: {stats}");
}
