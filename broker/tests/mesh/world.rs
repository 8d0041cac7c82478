//! Several brokers in one script. One line each:
//!
//! ```text
//! A - B                                      server A dials server B
//! A x B                                      the connection between them breaks
//! web@A > {"type":"request",…} data          client `web` of server A says this; it connects at its first line
//! web@A < {"type":"reply","id":1} data       the next thing it hears, at least these members
//! web@A .                                    it has heard all there was
//! web@A breaks                               its connection is gone
//! web@A returns                              it connects again with the same session
//! web@A is shop                              it connects with a key of this holder from now on
//! A holder shop call=a.*,b serve=a admin     holders of keys exist on server A
//! A dials as mesh                            what A dials is opened with a key of this holder
//! A drain 1000                               server A shall leave within 1,000 ms
//! A drained                                  it could finish everything
//! A dies                                     the server and all its connections are gone; it starts again with nothing
//! A crashes                                  the same, but it knows that it has had a life before
//! A saved                                    a snapshot of server A is made, if it has a store; its journal is always written at once
//! A killed                                   the server and its links are gone; it starts again with what its store has
//! bad@A is server 99                         `bad` says it is a server, with this node: the script plays what that server says
//! +250                                       250 ms pass
//! ```
//!
//! Everything goes through bytes and back. At the end every client that plays no server must have heard all there was, but for acknowledgements.

use crate::script_text::{matches, quote_unbound, rights, split};
use crate::shelf::Shelf;
use answerback_broker::{
    Broker, ConnectionId, Disconnect, Holder, Input, Note, Output, Recovery, Rights, Secrets, Settings, StoreNews, Time,
};
use answerback_protocol::{ClientFrame, LinkFrame, NodeId, Payload, ServerFrame};
use bytes::BytesMut;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct World {
    pub(crate) servers: BTreeMap<String, Server>,
    clients: BTreeMap<String, Client>,
    /// Both ends of every open link, each with the other.
    links: BTreeMap<(String, ConnectionId), (String, ConnectionId)>,
    /// What is on its way between servers.
    wire: VecDeque<(String, ConnectionId, String, Payload)>,
    bound: BTreeMap<String, String>,
    pub(crate) now: Time,
    connections: u32,
    change: fn(&mut Settings),
}

pub(crate) struct Server {
    pub(crate) broker: Broker,
    settings: Settings,
    holders: BTreeMap<String, Arc<Rights>>,
    dials_as: Option<String>,
    drained: bool,
    shelf: Shelf,
    pub(crate) notes: Vec<Note>,
    /// Kinds of frames that went to other servers.
    pub(crate) said: Vec<String>,
}

struct Client {
    server: String,
    connection: ConnectionId,
    session: u128,
    holder: Option<String>,
    /// What it says it is, if it plays a server.
    node: Option<u64>,
    heard: VecDeque<(Value, String)>,
}

pub(crate) fn play(script: &str) -> World {
    play_with(|_| {}, script)
}

pub(crate) fn play_with(change: fn(&mut Settings), script: &str) -> World {
    let mut world = World {
        servers: BTreeMap::new(),
        clients: BTreeMap::new(),
        links: BTreeMap::new(),
        wire: VecDeque::new(),
        bound: BTreeMap::new(),
        now: Time::from_millis(1_000),
        connections: 0,
        change,
    };
    world.play(script);
    world
}

impl World {
    pub(crate) fn play(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.line(line);
            self.settle();
        }
        let people = self.clients.iter().filter(|(_, client)| client.node.is_none());
        let names: Vec<_> = people.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.heard_all(&name, "the end");
        }
    }

    fn line(&mut self, line: &str) {
        let mut words = line.splitn(3, ' ');
        let (first, second, rest) = (words.next().unwrap(), words.next(), words.next().unwrap_or(""));
        match (first, second) {
            (wait, None) if wait.starts_with('+') => self.pass(wait[1..].parse().unwrap()),
            (name, Some(">")) => self.says(name, rest),
            (name, Some("<")) => self.hears(name, rest, line),
            (name, Some(".")) => self.heard_all(name, line),
            (from, Some("-")) => self.dial(from, rest),
            (from, Some("x")) => self.cut(from, rest),
            (name, Some("breaks")) => {
                let client = &self.clients[name];
                let (server, connection) = (client.server.clone(), client.connection);
                self.input(&server, Input::Disconnected { connection, reason: Disconnect::ByPeer });
            }
            (name, Some("returns")) => self.connect(name),
            (name, Some("is")) => match rest.strip_prefix("server ") {
                Some(node) => self.client(name).node = Some(node.parse().unwrap()),
                None => self.client(name).holder = Some(rest.to_owned()),
            },
            (server, Some("holder")) => {
                let (holder, text) = rest.split_once(' ').unwrap_or((rest, ""));
                let rights = Arc::new(rights(text));
                self.server(server).holders.insert(holder.to_owned(), Arc::clone(&rights));
                self.input(server, Input::Rights { holder: holder.into(), rights: Some(rights) });
            }
            (server, Some("dials")) => self.server(server).dials_as = rest.strip_prefix("as ").map(str::to_owned),
            (server, Some("drain")) => {
                let deadline = self.now + Duration::from_millis(rest.parse().unwrap());
                self.input(server, Input::Drain { deadline });
            }
            (server, Some("drained")) => assert!(self.server(server).drained, "{line}: not yet"),
            (server, Some("dies")) => self.die(server),
            (server, Some("crashes")) => self.crash(server),
            (server, Some("saved")) => self.save(server),
            (server, Some("killed")) => self.kill(server),
            _ => panic!("cannot read `{line}`"),
        }
    }

    pub(crate) fn server(&mut self, name: &str) -> &mut Server {
        let (number, change) = (self.servers.len() as u64 + 1, self.change);
        self.servers.entry(name.to_owned()).or_insert_with(|| Server::new(name, number, change))
    }

    fn client(&mut self, name: &str) -> &mut Client {
        let server = name.split_once('@').expect("a client is called name@server").1.to_owned();
        let session = self.clients.len() as u128 + 1;
        self.server(&server);
        self.clients.entry(name.to_owned()).or_insert_with(|| Client {
            server,
            connection: ConnectionId::new(0, 0, 0),
            session,
            holder: None,
            node: None,
            heard: VecDeque::new(),
        })
    }

    fn place(&mut self) -> ConnectionId {
        self.connections += 1;
        ConnectionId::new(0, self.connections, self.connections)
    }

    fn dial(&mut self, from: &str, to: &str) {
        let (here, there) = (self.place(), self.place());
        self.server(from);
        self.server(to);
        self.links.insert((from.to_owned(), here), (to.to_owned(), there));
        self.links.insert((to.to_owned(), there), (from.to_owned(), here));
        let dials_as = self.servers[from].dials_as.clone();
        let holder =
            dials_as.map(|id| Holder { id: id.as_str().into(), rights: self.servers[to].holders[&id].clone() });
        let accepted = Input::Connected { connection: there, peer: from.to_owned(), holder, waited: Duration::ZERO };
        self.input(to, accepted);
        self.input(from, Input::Dialed { connection: here, address: to.into() });
    }

    fn cut(&mut self, from: &str, to: &str) {
        let between = |((a, _), (b, _)): &(&(String, ConnectionId), &(String, ConnectionId))| a == from && b == to;
        let found = self.links.iter().find(between).map(|(a, b)| (a.clone(), b.clone()));
        let (here, there) = found.unwrap_or_else(|| panic!("{from} and {to} are not linked"));
        self.links.remove(&here);
        self.links.remove(&there);
        self.wire.retain(|(server, connection, ..)| {
            (server, connection) != (&here.0, &here.1) && (server, connection) != (&there.0, &there.1)
        });
        for (server, connection) in [here, there] {
            self.input(&server, Input::Disconnected { connection, reason: Disconnect::ByPeer });
        }
    }

    fn cut_all(&mut self, name: &str) {
        let peers: Vec<_> =
            self.links.iter().filter(|((server, _), _)| server == name).map(|(_, (peer, _))| peer.clone()).collect();
        for peer in peers {
            self.cut(name, &peer);
        }
    }

    fn crash(&mut self, name: &str) {
        self.cut_all(name);
        let now = self.now;
        let server = self.servers.get_mut(name).unwrap();
        server.broker = Broker::new(server.settings.clone());
        server.broker.recover(now, Recovery { clean: false });
    }

    fn save(&mut self, name: &str) {
        let server = self.server(name);
        server.shelf.save(&mut server.broker, false);
        self.input(name, Input::Store(StoreNews::Saved));
    }

    fn kill(&mut self, name: &str) {
        // What it still did when its links broke is not in the store.
        let (journal, snapshot) = (self.servers[name].shelf.journal.clone(), self.servers[name].shelf.snapshot.clone());
        self.cut_all(name);
        let now = self.now;
        let server = self.server(name);
        server.shelf = Shelf { journal, snapshot, last_step: 0 };
        server.broker = Broker::new(server.settings.clone());
        server.broker.recover(now, Recovery { clean: false });
        for (id, item) in server.shelf.items() {
            server.broker.restore(now, id, item);
        }
        self.take_outputs(name);
        self.clients.values_mut().filter(|client| client.server == name).for_each(|client| client.heard.clear());
    }

    fn die(&mut self, name: &str) {
        let settings = self.servers[name].settings.clone();
        self.cut_all(name);
        let lives = settings.secrets.tables + 100;
        let server = self.servers.get_mut(name).unwrap();
        server.settings.secrets = Secrets { delivery: [lives as u8; 16], tables: lives };
        server.settings.node = NodeId::truncated(lives);
        server.broker = Broker::new(server.settings.clone());
    }

    fn says(&mut self, name: &str, text: &str) {
        if self.client(name).connection == ConnectionId::new(0, 0, 0) {
            self.connect(name);
        }
        let (head, data) = split(&self.with_bound(text));
        let client = &self.clients[name];
        let (server, connection) = (client.server.clone(), client.connection);
        let data = Payload::from(data.as_str());
        if self.server(&server).broker.is_link(connection) {
            return self.said_by_server(&server, connection, &head, data);
        }
        match ClientFrame::read(head.as_bytes()) {
            Ok(frame) => self.input(&server, Input::Frame { connection, frame, data }),
            Err(error) => self.input(&server, Input::Malformed { connection, error }),
        }
    }

    fn said_by_server(&mut self, server: &str, connection: ConnectionId, head: &str, data: Payload) {
        match LinkFrame::read(head.as_bytes()).unwrap_or_else(|error| panic!("{head}: {error}")) {
            LinkFrame::AsClient(frame) => self.input(server, Input::Frame { connection, frame, data }),
            LinkFrame::AsServer(frame) => self.input(server, Input::Told { connection, frame, data }),
        }
    }

    fn connect(&mut self, name: &str) {
        let connection = self.place();
        let client = self.client(name);
        client.connection = connection;
        let (server, session, holder) = (client.server.clone(), client.session, client.holder.clone());
        let holder =
            holder.map(|id| Holder { id: id.as_str().into(), rights: self.servers[&server].holders[&id].clone() });
        let peer = name.to_owned();
        self.input(&server, Input::Connected { connection, peer, holder, waited: Duration::ZERO });
        let short = name.split('@').next().unwrap();
        let node = self.clients[name].node.map(|node| format!(r#","node":{node}"#)).unwrap_or_default();
        let hello = format!(r#"{{"type":"hello","protocol":[1,1],"name":"{short}","session":"{session:032x}"{node}}}"#);
        self.says(name, &hello);
        self.settle();
        let welcome = self.clients.get_mut(name).unwrap().heard.pop_front();
        assert_eq!(welcome.expect("a welcome").0["type"], "welcome");
    }

    fn hears(&mut self, name: &str, text: &str, line: &str) {
        let (head, data) = split(&quote_unbound(&self.with_bound(text)));
        let expected: Value = serde_json::from_str(&head).unwrap_or_else(|error| panic!("{line}: {error}"));
        let client = self.clients.get_mut(name).unwrap_or_else(|| panic!("{line}: no such client"));
        client.heard.retain(|(head, _)| head["type"] != "ack");
        let Some((heard, heard_data)) = client.heard.pop_front() else { panic!("{line}\nbut it heard nothing") };
        let fits = matches(&expected, &heard, &mut self.bound) && (data == "…" || data == heard_data);
        assert!(fits, "{line}\nbut it heard\n{heard} {heard_data}");
    }

    fn heard_all(&mut self, name: &str, line: &str) {
        let client = self.clients.get_mut(name).unwrap();
        client.heard.retain(|(head, _)| head["type"] != "ack");
        assert!(client.heard.is_empty(), "{line}: {name} also heard {:?}", client.heard);
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        loop {
            self.settle();
            let due = self.servers.iter().filter_map(|(name, s)| Some((s.broker.poll_timeout()?, name.clone()))).min();
            let Some((due, name)) = due.filter(|(due, _)| *due <= until) else { break };
            self.now = self.now.max(due);
            let now = self.now;
            self.server(&name).broker.handle_timeout(now);
            self.take_outputs(&name);
        }
        self.now = until;
    }

    /// Lets everything arrive that is on its way, and everything be offered that is due within a moment.
    fn settle(&mut self) {
        let mut most = 100_000;
        loop {
            while let Some((server, connection, head, data)) = self.wire.pop_front() {
                most -= 1;
                assert!(most > 0, "servers talk for ever");
                self.said_by_server(&server, connection, &head, data);
            }
            let soon = self.now + Duration::from_millis(6);
            let names: Vec<_> = self.servers.keys().cloned().collect();
            for name in names {
                if self.server(&name).broker.poll_timeout().is_some_and(|due| due <= soon) {
                    self.now = self.now.max(self.server(&name).broker.poll_timeout().unwrap());
                    let now = self.now;
                    self.server(&name).broker.handle_timeout(now);
                    self.take_outputs(&name);
                }
            }
            if self.wire.is_empty() {
                return;
            }
        }
    }

    fn input(&mut self, server: &str, input: Input<'_>) {
        let now = self.now;
        self.server(server).broker.handle(now, input);
        self.take_outputs(server);
    }

    fn take_outputs(&mut self, server: &str) {
        self.carry_out(server);
        while self.servers[server].settings.has_store {
            let (now, here) = (self.now, self.server(server));
            let before = here.shelf.last_step;
            let upto = here.shelf.write(&mut here.broker);
            if upto == before {
                break;
            }
            here.broker.handle(now, Input::Store(StoreNews::Written { upto }));
            self.carry_out(server);
        }
    }

    fn carry_out(&mut self, server: &str) {
        while let Some(output) = self.server(server).broker.next_output() {
            match output {
                Output::Send { to, frame, data } => self.sent(server, to, Said::Server(&frame), &data),
                Output::Say { to, frame, data } => self.sent(server, to, Said::Client(&frame), &data),
                Output::SendAll { to, frame, data } => {
                    for to in to {
                        self.sent(server, to, Said::Server(&frame), &data);
                    }
                }
                Output::Close { connection } => self.closed(server, connection),
                Output::Note(note) => self.server(server).notes.push(note),
                Output::Drained { .. } => self.server(server).drained = true,
            }
        }
    }

    fn sent(&mut self, server: &str, to: ConnectionId, frame: Said<'_>, data: &Payload) {
        let mut bytes = BytesMut::new();
        match frame {
            Said::Server(frame) => frame.write(data, &mut bytes),
            Said::Client(frame) => frame.write(data, &mut bytes),
        }
        let head_length = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
        let head = String::from_utf8(bytes[6..6 + head_length].to_vec()).unwrap();
        if let Some((peer, connection)) = self.links.get(&(server.to_owned(), to)).cloned() {
            let kind = serde_json::from_str::<Value>(&head).unwrap()["type"].as_str().unwrap().to_owned();
            self.server(server).said.push(kind);
            self.wire.push_back((peer, connection, head, data.clone()));
        } else if let Some(client) = self.clients.values_mut().find(|c| c.connection == to && c.server == server) {
            let head = serde_json::from_str(&head).expect("a head is JSON");
            client.heard.push_back((head, String::from_utf8(data.to_vec()).unwrap()));
        }
    }

    fn closed(&mut self, server: &str, connection: ConnectionId) {
        self.input(server, Input::Disconnected { connection, reason: Disconnect::Asked });
        if let Some(other) = self.links.remove(&(server.to_owned(), connection)) {
            self.settle();
            self.links.remove(&other);
            self.input(&other.0, Input::Disconnected { connection: other.1, reason: Disconnect::ByPeer });
        }
    }

    fn with_bound(&self, text: &str) -> String {
        self.bound.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

#[derive(Clone, Copy)]
enum Said<'a> {
    Server(&'a ServerFrame<'static>),
    Client(&'a ClientFrame<'static>),
}

impl Server {
    fn new(name: &str, number: u64, change: fn(&mut Settings)) -> Self {
        let mut settings = Settings {
            server: name.to_owned(),
            node: NodeId::truncated(number),
            secrets: Secrets { delivery: [number as u8; 16], tables: number },
            ..Settings::default()
        };
        change(&mut settings);
        Self {
            broker: Broker::new(settings.clone()),
            settings,
            holders: BTreeMap::new(),
            dials_as: None,
            drained: false,
            shelf: Shelf::default(),
            notes: Vec::new(),
            said: Vec::new(),
        }
    }
}
