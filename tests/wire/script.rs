//! How a script is read. One line each:
//!
//! ```text
//! web > {"type":"request","id":1,"action":"a"} {"x":1}     client `web` says this; it connects at its first line
//! web < {"type":"reply","id":1} {"x":1}                    the next thing it hears, at least these members
//! svc < {"type":"deliver","id":$d} {"x":1}                 $d takes what stands there; later lines may use it
//! svc < {"type":"deliver"} …                               with any data
//! web .                                                    it has heard all there was: the answer to a ping comes next
//! web breaks                                               its connection ends with a reset
//! web leaves                                               its connection ends without a `bye`
//! web returns                                              it connects again with the same session
//! two takes web                                            client `two` connects with the session of `web`
//! web closed                                               the server has closed its connection
//! ```
//!
//! Before another client speaks, the server has taken in what the last one said, so that a script has one order. Nothing
//! is said about time: what a line waits for comes, or the test fails after a long while. At the end every client must
//! have heard all there was, but for acknowledgements, which pass unseen unless asked for.

use crate::client::{Client, Heard};
use crate::pattern::{Bound, fill, matches, split};
use crate::place::{Embedded, wait_for};
use answerback_server::Settings;
use answerback_store::{Fault, FaultyDisk, MemoryShelf, SnapshotsIn};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    clients: BTreeMap<String, Actor>,
    bound: Bound,
    /// Who said something that the server may not have taken in yet.
    speaker: Option<String>,
    /// Looks at the server's numbers.
    observer: Client,
    asked: u64,
    server: Option<Embedded>,
}

struct Actor {
    session: String,
    /// None once its connection is over.
    client: Option<Client>,
}

/// Plays a script with the default settings.
pub(crate) fn play(script: &str) -> Stage {
    play_with(|_| {}, script)
}

/// Plays a script with other settings.
pub(crate) fn play_with(change: impl FnOnce(&mut Settings), script: &str) -> Stage {
    let mut stage = Stage::with(change);
    stage.play(script);
    stage
}

impl Stage {
    /// A stage with a server of its own.
    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let server = Embedded::with(change);
        let mut stage = Self::at(server.running.address());
        stage.server = Some(server);
        stage
    }

    /// A stage with a server whose disk became read-only after it had started.
    pub(crate) fn with_a_broken_disk() -> Self {
        let disk = FaultyDisk::default();
        let stage = Self::with(|settings| {
            settings.disk = Some((Arc::new(disk.clone()), SnapshotsIn::Memory(MemoryShelf::default())));
        });
        disk.inject(Fault::ReadOnly);
        stage
    }

    /// A stage before a server that runs somewhere else.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self {
            address,
            clients: BTreeMap::new(),
            bound: Bound::new(),
            speaker: None,
            observer: Client::welcomed(address, "observer"),
            asked: 0,
            server: None,
        }
    }

    /// The server inside this process.
    pub(crate) fn server(&self) -> &Embedded {
        self.server.as_ref().expect("a server of its own")
    }

    /// Plays lines and checks at the end that nobody has anything left to hear.
    pub(crate) fn play(&mut self, script: &str) {
        self.lines(script);
        self.settle();
        for name in self.clients.keys().cloned().collect::<Vec<_>>() {
            self.heard_all(&name, "the end");
        }
    }

    /// Plays lines; somebody may have something left to hear.
    pub(crate) fn lines(&mut self, script: &str) {
        script.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| self.line(line));
    }

    fn line(&mut self, line: &str) {
        let mut words = line.splitn(3, ' ');
        let (name, verb, rest) = (words.next().unwrap(), words.next().unwrap_or(""), words.next().unwrap_or(""));
        match verb {
            ">" => self.says(name, rest),
            "<" => self.hears(name, rest, line),
            "." => {
                self.settle();
                self.heard_all(name, line);
            }
            "breaks" => self.ends(name, Client::reset),
            "leaves" => self.ends(name, drop),
            "returns" => self.connect(name, self.clients[name].session.clone()),
            "takes" => self.connect(name, self.clients[rest].session.clone()),
            "closed" => self.closed(name, line),
            _ => panic!("cannot read `{line}`"),
        }
    }

    fn says(&mut self, name: &str, text: &str) {
        if self.speaker.as_ref().is_some_and(|speaker| speaker != name) {
            self.settle();
        }
        if !self.clients.contains_key(name) {
            self.connect(name, crate::client::new_session());
            assert_eq!(self.client(name).hear().head["type"], "welcome");
        }
        let text = fill(text, &self.bound);
        let (head, data) = split(&text);
        self.client(name).say(head, data);
        self.speaker = Some(name.to_owned());
    }

    fn hears(&mut self, name: &str, text: &str, line: &str) {
        let text = fill(text, &self.bound);
        let (head, data) = split(&text);
        let expected: Value = serde_json::from_str(head).unwrap_or_else(|error| panic!("{line}: {error}"));
        let wants_ack = expected["type"] == "ack";
        let heard = loop {
            let heard = self.client(name).hear_any().unwrap_or_else(|| panic!("{line}\nbut the connection has ended"));
            if heard.head["type"] != "ack" || wants_ack {
                break heard;
            }
        };
        let fits = matches(&expected, &heard.head, &mut self.bound) && (data == "…" || data.as_bytes() == heard.data);
        assert!(fits, "{line}\nbut it heard\n{} {}", heard.head, String::from_utf8_lossy(&heard.data));
    }

    fn heard_all(&mut self, name: &str, line: &str) {
        if let Some(client) = &mut self.clients.get_mut(name).unwrap_or_else(|| panic!("{line}: no such client")).client
        {
            let heard = client.heard_until_now();
            assert!(heard.is_empty(), "{line}: {name} also heard {heard:?}");
        }
    }

    fn connect(&mut self, name: &str, session: String) {
        self.settle();
        let client = Client::greeting(self.address, name, &session);
        self.clients.insert(name.to_owned(), Actor { session, client: Some(client) });
        self.speaker = Some(name.to_owned());
    }

    /// Ends a connection and waits until the server has noticed.
    fn ends(&mut self, name: &str, how: impl FnOnce(Client)) {
        self.settle();
        let before = self.stats()["connections"].as_u64();
        how(self.clients.get_mut(name).and_then(|actor| actor.client.take()).unwrap());
        self.until("the server to notice", |stats| stats["connections"].as_u64() < before);
    }

    fn closed(&mut self, name: &str, line: &str) {
        let client = self.clients.get_mut(name).and_then(|actor| actor.client.take());
        let heard = client.unwrap_or_else(|| panic!("{line}: it has no connection")).hear_to_the_end();
        let heard: Vec<_> = heard.iter().filter(|heard| heard.head["type"] != "ack").collect();
        assert!(heard.is_empty(), "{line}: before that it heard {heard:?}");
    }

    /// Waits until the server has taken in what was said.
    fn settle(&mut self) {
        let speaker = self.speaker.take().and_then(|name| self.clients.get_mut(&name));
        if let Some(client) = speaker.and_then(|actor| actor.client.as_mut()) {
            client.settle();
        }
    }

    pub(crate) fn client(&mut self, name: &str) -> &mut Client {
        let client = self.clients.get_mut(name).and_then(|actor| actor.client.as_mut());
        client.unwrap_or_else(|| panic!("{name} has no connection"))
    }

    /// The server's numbers, as `$stats` tells them.
    pub(crate) fn stats(&mut self) -> Value {
        self.ask("$stats", "").json()
    }

    /// Asks the broker itself.
    pub(crate) fn ask(&mut self, action: &str, data: &str) -> Heard {
        self.asked += 1;
        self.observer.call(self.asked, action, data);
        let answer = self.observer.hear();
        // So that nothing is kept for the observer.
        self.observer.say(format!(r#"{{"type":"ack","replies":{}}}"#, self.asked), "");
        answer
    }

    /// Waits until the server's numbers say something.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || Some(self.stats()).filter(&is_so))
    }
}
