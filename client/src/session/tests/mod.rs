//! Scripts for one session: what the application asks, what the server says, what time it is, and what must come of it.
//!
//! Everything is compared as short text, so that a test reads like the transcript of a connection.

mod calls;
mod cancelling;
mod connection;
mod limits;
mod lost;
mod model;
mod moving;
mod random;
mod resuming;
mod services;
mod times;
mod work;

use super::*;
use answerback_protocol::codec::FrameCodec;
use answerback_protocol::frames::{Accepted, Ack, CallError, Deliver, Reply, Welcome};
use answerback_protocol::{ClientFrame, ServerFrame, SessionId};
use bytes::{Bytes, BytesMut};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tokio_util::codec::Decoder;

pub(super) const SESSION: SessionId = SessionId::new(7);
pub(super) const HEARTBEAT_MS: u64 = 1_000;
pub(super) const PATIENCE_MS: u64 = 500;

/// What became of the calls.
#[derive(Default)]
pub(super) struct Log {
    pub(super) ended: BTreeMap<u64, Vec<Ending>>,
    pub(super) parts: Vec<String>,
    pub(super) gone: Vec<u64>,
    pub(super) want_no_parts: bool,
}

pub(super) struct Probe {
    id: u64,
    log: Rc<RefCell<Log>>,
}

impl Caller for Probe {
    fn part(&mut self, part: Part) -> bool {
        let from = part.from.map_or(String::new(), |from| format!("{from}: "));
        let line = match part.result {
            Ok(data) => format!("{} {from}{}", self.id, text(&data)),
            Err(error) => format!("{} {from}{}", self.id, error.code()),
        };
        let mut log = self.log.borrow_mut();
        log.parts.push(line);
        !log.want_no_parts
    }

    fn end(self, ending: Ending) {
        self.log.borrow_mut().ended.entry(self.id).or_default().push(ending);
    }

    fn is_gone(&self) -> bool {
        self.log.borrow().gone.contains(&self.id)
    }
}

pub(super) struct Script {
    pub(super) session: Session<Probe>,
    pub(super) now: Instant,
    pub(super) log: Rc<RefCell<Log>>,
    pub(super) max_frame: u32,
}

/// Text of data.
pub(super) fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

pub(super) fn limits() -> Limits {
    Limits {
        calls: 1_000,
        bytes: 1 << 20,
        welcome_within: Duration::from_secs(5),
        patience: Duration::from_millis(PATIENCE_MS),
    }
}

pub(super) fn request_id(id: u64) -> RequestId {
    RequestId::truncated(id)
}

pub(super) fn delivery_id(id: u64) -> DeliveryId {
    DeliveryId::truncated(id)
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Script {
    /// A client that has never been connected.
    pub(super) fn away() -> Self {
        Self::with_limits(limits())
    }

    pub(super) fn with_limits(limits: Limits) -> Self {
        let session = Session::new(Identity { name: "me".into(), session: SESSION }, limits);
        Self { session, now: Instant::now(), log: Rc::default(), max_frame: 1 << 20 }
    }

    /// A client that is welcome on its first connection, and has told of it.
    pub(super) fn welcome() -> Self {
        let mut script = Self::away();
        script.connect(false);
        script
    }

    /// Connects and is welcomed. What it says then is left to be looked at.
    pub(super) fn connect(&mut self, resumed: bool) {
        self.greet();
        self.says(self.welcome_frame(resumed), "");
        assert!(self.events().iter().any(|event| event.starts_with("welcome")));
    }

    /// Loses its connection and gets another one.
    pub(super) fn come_back(&mut self, resumed: bool) {
        self.session.disconnected(self.now);
        self.connect(resumed);
    }

    pub(super) fn greet(&mut self) {
        self.session.connected(self.now);
        assert_eq!(self.said(), ["hello"]);
    }

    pub(super) fn welcome_frame(&self, resumed: bool) -> Welcome<'static> {
        Welcome {
            protocol: 1,
            server: "here".into(),
            session: SESSION,
            resumed,
            restarted: false,
            max_frame: self.max_frame,
            heartbeat: HEARTBEAT_MS,
            node: None,
        }
    }

    // ── the server

    pub(super) fn says<'a>(&mut self, frame: impl Into<ServerFrame<'a>>, data: &str) {
        self.hears(frame, data).expect("a sound frame");
    }

    pub(super) fn hears<'a>(&mut self, frame: impl Into<ServerFrame<'a>>, data: &str) -> Result<(), Broken> {
        let mut bytes = BytesMut::new();
        frame.into().write(data.as_bytes(), &mut bytes);
        self.hears_bytes(bytes)
    }

    pub(super) fn hears_bytes(&mut self, mut bytes: BytesMut) -> Result<(), Broken> {
        self.session.heard(self.now);
        let mut codec = FrameCodec::new(self.session.frame_limit());
        while let Some(frame) = codec.decode(&mut bytes).expect("sound lengths") {
            self.session.handle(self.now, frame)?;
        }
        Ok(())
    }

    pub(super) fn answers(&mut self, id: u64, data: &str) {
        self.says(Reply::to(request_id(id)), data);
    }

    pub(super) fn accepts(&mut self, id: u64) {
        self.says(Accepted { id: request_id(id) }, "");
    }

    pub(super) fn fails(&mut self, id: u64, code: Code, ran: Ran) {
        let error = CallError { code, message: "so".into(), ran, attempts: 0, retry_after: None, fault: None };
        self.says(Reply { error: Some(Box::new(error)), ..Reply::to(request_id(id)) }, "");
    }

    pub(super) fn sends_part(&mut self, id: u64, seq: u64, data: &str) {
        self.says(Reply { part: true, seq: Some(seq), ..Reply::to(request_id(id)) }, data);
    }

    pub(super) fn delivers(&mut self, id: u64) {
        self.says(deliver(id), "1");
    }

    pub(super) fn acknowledges(&mut self, replies: u64) {
        self.says(Ack { replies }, "");
    }

    // ── the application

    pub(super) fn asks(&mut self, id: u64, change: impl FnOnce(&mut Ask)) {
        let mut ask = self.plain_ask();
        change(&mut ask);
        let caller = self.caller(id);
        self.session.ask(self.now, request_id(id), ask, caller);
    }

    pub(super) fn calls(&mut self, id: u64) {
        self.asks(id, |_| {});
    }

    pub(super) fn sends(&mut self, id: u64) {
        self.asks(id, |ask| (ask.reply, ask.timeout) = (false, None));
    }

    /// A call that the server may have got.
    pub(super) fn calls_and_says(&mut self, id: u64) {
        self.calls(id);
        assert_eq!(self.said(), [format!("request {id}")]);
    }

    pub(super) fn plain_ask(&self) -> Ask {
        Ask {
            action: "a".into(),
            data: Bytes::new(),
            ttl: None,
            timeout: Some(Duration::from_secs(30)),
            broadcast: false,
            attempts: None,
            durable: false,
            key: None,
            reply: true,
            info: false,
            trace: None,
            asked: self.now,
        }
    }

    pub(super) fn caller(&self, id: u64) -> Probe {
        Probe { id, log: Rc::clone(&self.log) }
    }

    pub(super) fn done(&mut self, id: u64, data: &str) -> bool {
        self.session.answer(delivery_id(id), Verdict::Done(Bytes::copy_from_slice(data.as_bytes())))
    }

    // ── what came of it

    /// What the session says now: frames as short text.
    pub(super) fn said(&mut self) -> Vec<String> {
        self.said_in_full().iter().map(|(head, data)| short(head, data)).collect()
    }

    /// Heads as JSON, and data.
    pub(super) fn said_in_full(&mut self) -> Vec<(String, String)> {
        let mut out = BytesMut::new();
        while self.session.wants_to_transmit() {
            let before = out.len();
            self.session.transmit(self.now, &mut out, before + 64);
        }
        frames_of(out)
    }

    /// How a call ended, and that it ended once. Empty if it has not.
    pub(super) fn outcome(&self, id: u64) -> String {
        match self.log.borrow().ended.get(&id).map(Vec::as_slice) {
            None => String::new(),
            Some([ending]) => match &ending.result {
                Ok(data) => format!("ok {}", text(data)),
                Err(error) => format!("{} {}", error.code(), error.ran()),
            },
            Some(endings) => panic!("{id} ended {} times", endings.len()),
        }
    }

    pub(super) fn events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.session.next_event()).map(|event| event_text(&event)).collect()
    }

    /// Time passes, with everything that has to be done in it.
    pub(super) fn wait(&mut self, millis: u64) -> Result<(), Broken> {
        let until = self.now + ms(millis);
        let mut turns = 0;
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            self.session.handle_timeout(self.now)?;
            turns += 1;
            assert!(turns < 10_000, "timers ring without end");
        }
        self.now = until;
        Ok(())
    }
}

pub(super) fn deliver(id: u64) -> Deliver<'static> {
    let (action, from) = ("a".into(), "you".into());
    Deliver { id: delivery_id(id), action, from, left: 1_000, attempt: 1, trace: None }
}

/// Frames that were written, as heads and data.
pub(super) fn frames_of(mut bytes: BytesMut) -> Vec<(String, String)> {
    let mut codec = FrameCodec::for_client();
    let mut frames = Vec::new();
    while let Some(frame) = codec.decode(&mut bytes).expect("sound lengths") {
        frames.push((text(&frame.head), text(&frame.data)));
    }
    assert!(bytes.is_empty(), "half a frame was written");
    frames
}

fn short(head: &str, data: &str) -> String {
    let frame = ClientFrame::read(head.as_bytes()).expect("a sound head");
    let told = |what: String| if data.is_empty() { what } else { format!("{what} {data}") };
    match frame {
        ClientFrame::Request(request) => told(format!("request {}", request.id)),
        ClientFrame::Cancel(cancel) => format!("cancel {}", cancel.id),
        ClientFrame::Ack(ack) => format!("ack {}", ack.replies),
        ClientFrame::Release(release) => format!("release {}", release.id),
        ClientFrame::Serve(serve) => format!("serve {} {}", serve.action.as_str(), serve.credit),
        ClientFrame::Unserve(unserve) => format!("unserve {}", unserve.action.as_str()),
        ClientFrame::Resume(resume) => {
            let ids: Vec<_> = resume.holding.iter().map(ToString::to_string).collect();
            format!("resume [{}]{}", ids.join(","), if resume.more { " more" } else { "" })
        }
        ClientFrame::Answer(answer) => {
            let seq = answer.seq.map_or(String::new(), |seq| format!(" part {seq}"));
            let fault = answer.error.map_or(String::new(), |error| format!(" fault {}", &*error.code));
            told(format!("reply {}{seq}{fault}", answer.id))
        }
        other => other.kind().to_owned(),
    }
}

fn event_text(event: &Event) -> String {
    match event {
        Event::Welcome { server, resumed } => format!("welcome {server} {resumed}"),
        Event::Serving { action } => format!("serving {action}"),
        Event::ServeRefused { action, error } => format!("refused {action} {}", error.code()),
        Event::Unserved { action } => format!("unserved {action}"),
        Event::Deliver(delivery) => format!("deliver {} {}", delivery.id, text(&delivery.data)),
        Event::CancelDelivery(id) => format!("cancel {id}"),
        Event::Topic(event) => format!("event {} {}", event.topic, text(&event.data)),
        Event::Missed(events) => format!("missed {events}"),
        Event::Subscribed((pattern, _)) => format!("subscribed {pattern}"),
        Event::SubscribeRefused { topic: (pattern, _), error } => format!("refused {pattern} {}", error.code()),
        Event::Goaway { reason, after, elsewhere } => format!("goaway {reason} {after:?} {elsewhere:?}"),
    }
}
