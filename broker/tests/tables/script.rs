//! How a script is read. One line each:
//!
//! ```text
//! web > {"type":"request","id":1,"action":"a"} {"x":1}     client `web` says this; it connects at its first line
//! web < {"type":"reply","id":1} {"x":1}                    the next thing it hears, at least these members
//! svc < {"type":"deliver","id":$d} {"x":1}                 $d takes what stands there; later lines may use it
//! web .                                                    it has heard all there was
//! +250                                                     250 ms pass
//! web breaks                                               its connection is gone
//! web returns                                              it connects again with the same session
//! web closed                                               the broker has closed its connection
//! drain 1000                                               the server shall leave within 1,000 ms
//! drained true                                             it could finish everything
//! written                                                  what the journal was asked to hold is on disk
//! stored                                                   the same, but the server has not heard of it yet
//! refused                                                  the disk would not take it
//! saved                                                    a snapshot is made and is on disk
//! killed                                                   the server dies, and starts again with what was on disk
//! holder shop call=a.*,b serve=a admin                     holders of keys exist, and this one may do so much from now on
//! holder shop gone                                         it has no key any more
//! web is shop                                              `web` connects with a key of this holder from now on
//! web loses its key                                        the key of its connection is removed
//! left                                                     it saves everything, ends in order, and starts again
//! ```
//!
//! At the end every client must have heard all there was, but for acknowledgements, which pass unseen unless asked for.

use crate::script_text::{matches, quote_unbound, rights, split};
use crate::shelf::Shelf;
use answerback_broker::{
    Broker, ConnectionId, Disconnect, Held, Holder, Input, Note, Output, Recovery, Rights, Settings, StoreNews, Time,
};
use answerback_protocol::{ClientFrame, Payload, ServerFrame};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub(crate) struct Stage {
    pub(crate) broker: Broker,
    pub(crate) now: Time,
    clients: BTreeMap<String, Client>,
    /// What each holder may do.
    holders: BTreeMap<String, Arc<Rights>>,
    /// Whose key each client has.
    has_key_of: BTreeMap<String, String>,
    bound: BTreeMap<String, String>,
    connections: u32,
    drained: Option<bool>,
    settings: Settings,
    pub(crate) shelf: Shelf,
    pub(crate) notes: Vec<Note>,
}

struct Client {
    connection: ConnectionId,
    session: u128,
    heard: VecDeque<(Value, String)>,
    closed: bool,
}

/// Plays a script with the default settings.
pub(crate) fn play(script: &str) -> Stage {
    play_with(|_| {}, script)
}

/// Plays a script with other settings.
pub(crate) fn play_with(change: impl FnOnce(&mut Settings), script: &str) -> Stage {
    let mut settings = Settings::default();
    change(&mut settings);
    let mut stage = Stage::new(settings);
    stage.play(script);
    stage
}

impl Stage {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            broker: Broker::new(settings.clone()),
            settings,
            shelf: Shelf::default(),
            now: Time::from_millis(1_000),
            clients: BTreeMap::new(),
            holders: BTreeMap::new(),
            has_key_of: BTreeMap::new(),
            bound: BTreeMap::new(),
            connections: 0,
            drained: None,
            notes: Vec::new(),
        }
    }

    pub(crate) fn held(&self) -> Held {
        self.broker.held()
    }

    /// How many acknowledgements a client has heard that no line asked for.
    pub(crate) fn acks_heard(&self, name: &str) -> usize {
        self.clients[name].heard.iter().filter(|(head, _)| head["type"] == "ack").count()
    }

    /// Plays lines and checks at the end that nobody has anything left to hear.
    pub(crate) fn play(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.line(line);
        }
        let names: Vec<_> = self.clients.keys().cloned().collect();
        for name in names {
            self.heard_all(&name, "the end");
        }
    }

    fn line(&mut self, line: &str) {
        let mut words = line.splitn(3, ' ');
        let (first, second, rest) = (words.next().unwrap(), words.next(), words.next().unwrap_or(""));
        match (first, second) {
            (wait, None) if wait.starts_with('+') => self.pass(wait[1..].parse().unwrap()),
            ("drain", Some(ms)) => {
                let deadline = self.now + std::time::Duration::from_millis(ms.parse().unwrap());
                self.input(Input::Drain { deadline });
            }
            ("holder", Some(holder)) => self.holder(holder, rest),
            ("written", None) => self.written(),
            ("stored", None) => drop(self.shelf.write(&mut self.broker)),
            ("refused", None) => {
                let upto = self.shelf.refuse(&mut self.broker);
                self.input(Input::Store(StoreNews::NotWritten { upto }));
            }
            ("saved", None) => self.saved(false),
            ("killed", None) => self.start_again(false),
            ("left", None) => {
                self.saved(true);
                self.written();
                self.start_again(true);
            }
            ("drained", Some(expected)) => assert_eq!(self.drained, Some(expected == "true"), "{line}"),
            (name, Some(">")) => self.says(name, rest),
            (name, Some("<")) => self.hears(name, rest, line),
            (name, Some(".")) => self.heard_all(name, line),
            (name, Some("breaks")) => {
                let connection = self.clients[name].connection;
                self.input(Input::Disconnected { connection, reason: Disconnect::ByPeer });
            }
            (name, Some("returns")) => {
                let session = self.clients[name].session;
                self.connect(name, session);
            }
            (name, Some("is")) => drop(self.has_key_of.insert(name.to_owned(), rest.to_owned())),
            (name, Some("loses")) => {
                let connection = self.clients[name].connection;
                self.input(Input::KeyRemoved { connection });
            }
            (name, Some("closed")) => assert!(self.clients[name].closed, "{line}: its connection is open"),
            _ => panic!("cannot read `{line}`"),
        }
    }

    /// A holder comes, goes, or may do other things.
    fn holder(&mut self, holder: &str, text: &str) {
        let rights = (text != "gone").then(|| Arc::new(rights(text)));
        match &rights {
            Some(rights) => drop(self.holders.insert(holder.to_owned(), Arc::clone(rights))),
            None => drop(self.holders.remove(holder)),
        }
        self.input(Input::Rights { holder: holder.into(), rights });
    }

    fn written(&mut self) {
        let upto = self.shelf.write(&mut self.broker);
        self.input(Input::Store(StoreNews::Written { upto }));
    }

    fn saved(&mut self, last: bool) {
        self.shelf.save(&mut self.broker, last);
        self.input(Input::Store(StoreNews::Saved));
    }

    /// Another life: only what was on disk is there, and no connection.
    fn start_again(&mut self, clean: bool) {
        self.broker = Broker::new(self.settings.clone());
        self.broker.recover(self.now, Recovery { clean });
        for (id, item) in self.shelf.items() {
            self.broker.restore(self.now, id, item);
        }
        (self.drained, self.shelf.last_step) = (None, 0);
        self.take_outputs();
        for client in self.clients.values_mut() {
            client.heard.clear();
        }
    }

    fn says(&mut self, name: &str, text: &str) {
        if !self.clients.contains_key(name) {
            let session = self.clients.len() as u128 + 1;
            self.connect(name, session);
            let welcome = self.clients.get_mut(name).unwrap().heard.pop_front();
            assert_eq!(welcome.expect("a welcome").0["type"], "welcome");
        }
        let (head, data) = split(&self.with_bound(text));
        let connection = self.clients[name].connection;
        match ClientFrame::read(head.as_bytes()) {
            Ok(frame) => {
                let mut broker = std::mem::replace(&mut self.broker, Broker::new(Settings::default()));
                broker.handle(self.now, Input::Frame { connection, frame, data: Payload::from(data.as_str()) });
                self.broker = broker;
                self.take_outputs();
            }
            Err(error) => self.input(Input::Malformed { connection, error }),
        }
    }

    /// Opens a connection without saying anything on it.
    pub(crate) fn open(&mut self, name: &str, session: u128) -> ConnectionId {
        self.open_after(name, session, std::time::Duration::ZERO)
    }

    /// The same, told a while after it was accepted.
    pub(crate) fn open_after(&mut self, name: &str, session: u128, waited: std::time::Duration) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId::new(0, self.connections, self.connections);
        let heard = self.clients.remove(name).map(|client| client.heard).unwrap_or_default();
        self.clients.insert(name.to_owned(), Client { connection, session, heard, closed: false });
        let holder = self.has_key_of.get(name);
        let holder = holder.map(|id| Holder { id: id.as_str().into(), rights: Arc::clone(&self.holders[id]) });
        let peer = format!("127.0.0.1:{}", 5_000 + self.connections);
        self.input(Input::Connected { connection, peer, holder, waited });
        connection
    }

    fn connect(&mut self, name: &str, session: u128) {
        self.open(name, session);
        self.says(name, &format!(r#"{{"type":"hello","protocol":[1,1],"name":"{name}","session":"{session:032x}"}}"#));
    }

    fn hears(&mut self, name: &str, text: &str, line: &str) {
        let (head, data) = split(&quote_unbound(&self.with_bound(text)));
        let expected: Value = serde_json::from_str(&head).unwrap_or_else(|error| panic!("{line}: {error}"));
        let client = self.clients.get_mut(name).unwrap_or_else(|| panic!("{line}: no such client"));
        loop {
            let (heard, heard_data) =
                client.heard.pop_front().unwrap_or_else(|| panic!("{line}\nbut it heard nothing"));
            if heard["type"] == "ack" && expected["type"] != "ack" {
                continue;
            }
            let fits = matches(&expected, &heard, &mut self.bound) && (data == "…" || data == heard_data);
            assert!(fits, "{line}\nbut it heard\n{heard} {heard_data}");
            return;
        }
    }

    fn heard_all(&mut self, name: &str, line: &str) {
        let client = self.clients.get_mut(name).unwrap();
        client.heard.retain(|(head, _)| head["type"] != "ack");
        assert!(client.heard.is_empty(), "{line}: {name} also heard {:?}", client.heard);
    }

    /// Lets time pass, waking the broker whenever it wants to be.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.now + std::time::Duration::from_millis(ms);
        while let Some(due) = self.broker.poll_timeout().filter(|&due| due <= until) {
            self.now = self.now.max(due);
            self.broker.handle_timeout(self.now);
            self.take_outputs();
        }
        self.now = until;
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        self.broker.handle(self.now, input);
        self.take_outputs();
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.broker.next_output() {
            match output {
                Output::Send { to, frame, data } => self.sent(to, &frame, &data),
                Output::SendAll { to, frame, data } => to.into_iter().for_each(|to| self.sent(to, &frame, &data)),
                Output::Close { connection } => {
                    if let Some(client) = self.clients.values_mut().find(|client| client.connection == connection) {
                        client.closed = true;
                    }
                }
                Output::Note(note) => self.notes.push(note),
                Output::Say { frame, .. } => panic!("there is no other server here to be told {frame:?}"),
                Output::Drained { complete } => self.drained = Some(complete),
            }
        }
    }

    /// Through bytes and back, so that what is compared is what stands on the wire.
    fn sent(&mut self, to: ConnectionId, frame: &ServerFrame<'_>, data: &[u8]) {
        let mut bytes = bytes::BytesMut::new();
        frame.write(data, &mut bytes);
        let head_length = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
        let head = serde_json::from_slice(&bytes[6..6 + head_length]).expect("a head is JSON");
        if let Some(client) = self.clients.values_mut().find(|client| client.connection == to) {
            client.heard.push_back((head, String::from_utf8(data.to_vec()).unwrap()));
        }
    }

    fn with_bound(&self, text: &str) -> String {
        self.bound.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}
