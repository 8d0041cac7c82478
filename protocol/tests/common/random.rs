//! Frames of every kind with random contents, all of them within the limits.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use super::common::Dice;
use answerback_protocol::frames::*;
use answerback_protocol::limits::{
    ATTEMPTS_MAX, BEEN_MAX, CREDIT_MAX, ELSEWHERE_MAX, HOLDING_MAX, HOPS_MAX, NAME_BYTES_MAX,
};
use answerback_protocol::{
    ClientFrame, Code, DeliveryId, Name, NodeId, Pattern, Ran, RequestId, ServerFrame, SessionId, Text,
};

/// Characters that make trouble: escapes, wide ones, ones that look like JSON.
const CHARACTERS: [char; 20] =
    ['a', 'b', '7', ' ', '"', '\\', '/', '{', '}', ',', ':', 'é', '€', '😀', '\u{a0}', '\u{feff}', '$', '*', '>', '.'];

const CONTROLS: [char; 7] = ['\0', '\n', '\t', '\u{8}', '\u{1f}', '\u{7f}', '\u{85}'];

impl Dice {
    pub fn flag(&mut self) -> bool {
        self.one_in(2)
    }

    pub fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.flag() { Some(make(self)) } else { None }
    }

    fn characters(&mut self, bytes: usize, controls: bool) -> String {
        let mut text = String::new();
        while text.len() < bytes {
            text.push(if controls && self.one_in(4) { *self.pick(&CONTROLS) } else { *self.pick(&CHARACTERS) });
        }
        text
    }

    /// 1 to 255 bytes without control characters, often at the border.
    pub fn name(&mut self) -> Text<'static> {
        match self.below(8) {
            0 => Text::from("\"".repeat(NAME_BYTES_MAX)),
            1 => Text::from("x".repeat(NAME_BYTES_MAX)),
            _ => {
                let bytes = 1 + self.below(20);
                Text::from(self.characters(bytes, false))
            }
        }
    }

    /// Text for people, not so long that it would be cut.
    pub fn message(&mut self) -> Text<'static> {
        let bytes = self.below(150);
        Text::from(self.characters(bytes, true))
    }

    pub fn action(&mut self) -> Name<'static> {
        Name::new(self.name()).unwrap()
    }

    pub fn topic(&mut self) -> Pattern<'static> {
        let tokens: Vec<String> = (0..1 + self.below(4)).map(|n| format!("t{n}{}", self.below(9))).collect();
        Pattern::topic(tokens.join(".")).unwrap()
    }

    pub fn pattern(&mut self) -> Pattern<'static> {
        let mut tokens: Vec<&str> = (0..self.below(4)).map(|_| *self.pick(&["*", "a", "é", "a*b", "$x"])).collect();
        tokens.push(*self.pick(&[">", "*", "z"]));
        Pattern::new(tokens.join(".")).unwrap()
    }

    pub fn request_id(&mut self) -> RequestId {
        RequestId::new(self.count()).unwrap()
    }

    pub fn delivery_id(&mut self) -> DeliveryId {
        DeliveryId::new(self.count()).unwrap()
    }

    fn session(&mut self) -> SessionId {
        SessionId::new(u128::from(self.roll()) << 64 | u128::from(self.roll()))
    }

    fn attempts(&mut self) -> u32 {
        *self.pick(&[1, 2, 3, ATTEMPTS_MAX])
    }

    pub fn request(&mut self) -> Request<'static> {
        let broadcast = self.one_in(4);
        Request {
            ttl: self.maybe(Self::count),
            timeout: self.maybe(Self::count),
            broadcast,
            attempts: if broadcast { self.maybe(|_| 1) } else { self.maybe(Self::attempts) },
            durable: !broadcast && self.flag(),
            key: if broadcast { None } else { self.maybe(Self::name) },
            reply: self.flag(),
            info: self.flag(),
            trace: self.maybe(Self::name),
            again: self.flag(),
            via: self.maybe(|dice| Box::new(dice.via())),
            ..Request::call(self.request_id(), self.action())
        }
    }

    fn node(&mut self) -> NodeId {
        NodeId::truncated(self.roll())
    }

    fn path(&mut self) -> Vec<NodeId> {
        (0..self.below(HOPS_MAX + 1)).map(|_| self.node()).collect()
    }

    fn via(&mut self) -> Via<'static> {
        Via {
            from: self.name(),
            path: self.path(),
            attempt: self.attempts(),
            holder: self.maybe(Self::name),
            home: self.maybe(Self::node),
            cast: self.maybe(Self::request_id),
        }
    }

    fn answer(&mut self) -> Answer<'static> {
        Answer {
            id: self.delivery_id(),
            error: self.maybe(|dice| AnswerError {
                code: dice.name(),
                message: dice.message(),
                retryable: dice.flag(),
            }),
            part: self.flag(),
            seq: self.maybe(|dice| dice.count().max(1)),
        }
    }

    /// A frame of this kind, by its place in [`ClientFrame::KINDS`].
    pub fn client_frame(&mut self, kind: usize) -> ClientFrame<'static> {
        match ClientFrame::KINDS[kind] {
            "hello" => {
                let least = self.below(3) as u32;
                let protocol = (least, least + self.below(3) as u32);
                let (name, session, agent) = (self.name(), self.session(), self.maybe(Self::name));
                let node = self.maybe(Self::node);
                Hello { protocol, name, session, agent, node }.into()
            }
            "serve" => Serve { action: self.action(), credit: *self.pick(&[1, 64, CREDIT_MAX]) }.into(),
            "unserve" => Unserve { action: self.action() }.into(),
            "request" => self.request().into(),
            "cancel" => Cancel { id: self.request_id() }.into(),
            "reply" => self.answer().into(),
            "release" => Release { id: self.delivery_id() }.into(),
            "resume" => {
                let count = *self.pick(&[0, 1, 5, HOLDING_MAX]);
                Resume { holding: (0..count).map(|_| self.delivery_id()).collect(), more: self.flag() }.into()
            }
            "publish" => Publish {
                topic: self.topic(),
                id: self.maybe(Self::request_id),
                to: self.maybe(Self::count),
                others: self.flag(),
            }
            .into(),
            "subscribe" => {
                let (topic, group) = (self.pattern(), self.maybe(Self::name));
                Subscribe { topic, group, path: self.maybe(Self::path) }.into()
            }
            "unsubscribe" => Unsubscribe { topic: self.pattern(), group: self.maybe(Self::name) }.into(),
            "ack" => Ack { replies: self.count() }.into(),
            "ping" => Ping.into(),
            "pong" => Pong.into(),
            "bye" => Bye.into(),
            "offer" => {
                Offer { action: self.action(), credit: *self.pick(&[0, 1, CREDIT_MAX]), path: self.path() }.into()
            }
            other => panic!("make `{other}` here"),
        }
    }

    fn code(&mut self) -> Code {
        *self.pick(Code::ALL)
    }

    pub fn call_error(&mut self) -> CallError<'static> {
        CallError {
            code: self.code(),
            message: self.message(),
            ran: *self.pick(&[Ran::No, Ran::Maybe, Ran::Yes]),
            attempts: self.below(1 + ATTEMPTS_MAX as usize) as u32,
            retry_after: self.maybe(Self::count),
            fault: self.maybe(|dice| Fault { code: dice.name(), message: dice.message(), retryable: dice.flag() }),
        }
    }

    fn reply(&mut self) -> Reply<'static> {
        Reply {
            error: self.maybe(Self::call_error).map(Box::new),
            part: self.flag(),
            seq: self.maybe(|dice| dice.count().max(1)),
            from: self.maybe(Self::name),
            info: self.maybe(|dice| {
                Box::new(CallInfo { queued: dice.count(), ran: dice.maybe(Self::count), by: dice.maybe(Self::name) })
            }),
            gather: self.maybe(|dice| {
                let (expected, answered) = (dice.count(), dice.count());
                Box::new(Gather { expected, answered, failed: dice.count(), lost: dice.count() })
            }),
            ..Reply::to(self.request_id())
        }
    }

    fn welcome(&mut self) -> Welcome<'static> {
        Welcome {
            protocol: 1 + self.below(3) as u32,
            server: self.name(),
            session: self.session(),
            resumed: self.flag(),
            restarted: self.flag(),
            max_frame: self.roll() as u32,
            heartbeat: self.count(),
            node: self.flag().then(|| NodeId::truncated(self.roll())),
        }
    }

    fn notice(&mut self) -> ErrorNotice<'static> {
        let about = match self.below(4) {
            0 => None,
            1 => Some(About::Id(self.request_id())),
            2 => Some(About::Action(self.name())),
            _ => Some(About::Topic(self.name())),
        };
        ErrorNotice { code: self.code(), message: self.message(), about, fatal: self.flag() }
    }

    /// A frame of this kind, by its place in [`ServerFrame::KINDS`].
    pub fn server_frame(&mut self, kind: usize) -> ServerFrame<'static> {
        match ServerFrame::KINDS[kind] {
            "welcome" => self.welcome().into(),
            "serving" => Serving { action: self.name() }.into(),
            "unserved" => Unserved { action: self.name() }.into(),
            "accepted" => Accepted { id: self.request_id() }.into(),
            "subscribed" => {
                Subscribed { topic: self.pattern(), group: self.maybe(Self::name), events: self.maybe(Self::count) }
                    .into()
            }
            "unsubscribed" => Unsubscribed { topic: self.pattern(), group: self.maybe(Self::name) }.into(),
            "deliver" => Deliver {
                id: self.delivery_id(),
                action: self.name(),
                from: self.name(),
                left: self.count(),
                attempt: self.attempts(),
                trace: self.maybe(Self::name),
            }
            .into(),
            "reply" => self.reply().into(),
            "cancel" => CancelDelivery { id: self.delivery_id() }.into(),
            "event" => {
                let course = self.maybe(|dice| {
                    let been = (0..dice.below(BEEN_MAX + 1)).map(|_| dice.node()).collect();
                    Box::new(Course { cast: dice.request_id(), hops: dice.count(), been })
                });
                let (topic, from) = (self.topic().into_text(), self.name());
                Event { topic, from, group: self.maybe(Self::name), course }.into()
            }
            "ack" => Ack { replies: self.count() }.into(),
            "error" => self.notice().into(),
            "goaway" => {
                let elsewhere = (0..self.below(1 + ELSEWHERE_MAX)).map(|n| format!("host-{n}:7040").into()).collect();
                Goaway { reason: self.message(), after: self.count(), elsewhere }.into()
            }
            "ping" => Ping.into(),
            "pong" => Pong.into(),
            other => panic!("make `{other}` here"),
        }
    }
}
